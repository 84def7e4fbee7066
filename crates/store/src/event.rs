//! Events of tasks: the history that clients watch. Rows are append-only.

use domain::{Timestamp, event::EventKind, ids::TaskId};
pub use engine::NewEvent;

use crate::{
    Connection, Error,
    codec::{count, int2, word},
};

/// Appends events of a task, in order. Call under the locks of the task's waves, so that ids follow
/// the order of commits.
pub async fn insert(
    connection: &mut Connection,
    task_id: TaskId,
    events: &[NewEvent],
    now: Timestamp,
) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(events);
    sqlx::query!(
        "INSERT INTO task_event (task_id, at, kind, wave, actor, detail)
         SELECT $1, $2, kind, wave, actor, detail
         FROM unnest($3::text[], $4::int2[], $5::text[], $6::text[]) WITH ORDINALITY AS n (kind, wave, actor, detail, place)
         ORDER BY n.place",
        task_id.0,
        now,
        &columns.kind,
        &columns.wave as &[Option<i16>],
        &columns.actor,
        &columns.detail,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Columns of new events, in order.
#[derive(Default)]
pub(crate) struct Columns {
    pub(crate) kind: Vec<String>,
    pub(crate) wave: Vec<Option<i16>>,
    pub(crate) actor: Vec<String>,
    pub(crate) detail: Vec<String>,
}

impl Columns {
    pub(crate) fn of(events: &[NewEvent]) -> Self {
        let mut columns = Self::default();
        for event in events {
            columns.kind.push(event.kind.as_str().to_owned());
            columns.wave.push(event.wave.map(int2));
            columns.actor.push(event.actor.clone());
            columns.detail.push(event.detail.clone());
        }
        columns
    }
}

/// An event in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Id of the event; later events of the same task have greater ids.
    pub event_id: i64,
    /// Time of the event.
    pub at: Timestamp,
    /// Kind of the event.
    pub kind: EventKind,
    /// Wave that the event concerns; `None` if it concerns the whole task.
    pub wave: Option<u16>,
    /// Principal that caused the event; empty for the scheduler.
    pub actor: String,
    /// Human-readable details.
    pub detail: String,
}

/// Lists events of a task after a given one, in order.
pub async fn list(
    connection: &mut Connection,
    task_id: TaskId,
    after: i64,
    limit: i64,
) -> Result<Vec<EventRow>, Error> {
    let rows = sqlx::query!(
        "SELECT event_id, at, kind, wave, actor, detail FROM task_event
         WHERE task_id = $1 AND event_id > $2 ORDER BY event_id LIMIT $3",
        task_id.0,
        after,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(EventRow {
                event_id: row.event_id,
                at: row.at,
                kind: word("task_event", &row.kind)?,
                wave: row.wave.map(|wave| count("task_event", wave)).transpose()?,
                actor: row.actor,
                detail: row.detail,
            })
        })
        .collect()
}
