//! Events of tasks: what happened, for whoever watches. Only ever added.

use domain::{Timestamp, event::EventKind, ids::TaskId};

use crate::{
    Connection, Error,
    values::{count, int2, word},
};

/// An event about to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewEvent<'a> {
    /// What happened.
    pub kind: EventKind,
    /// To which wave.
    pub wave: Option<u16>,
    /// The principal that did it; empty for what the scheduler did.
    pub actor: &'a str,
    /// In words.
    pub detail: &'a str,
}

impl<'a> NewEvent<'a> {
    /// Something that the scheduler did to a wave.
    pub const fn of_wave(kind: EventKind, wave: u16, detail: &'a str) -> Self {
        Self { kind, wave: Some(wave), actor: "", detail }
    }

    /// Something that a person did.
    pub const fn by(kind: EventKind, actor: &'a str, detail: &'a str) -> Self {
        Self { kind, wave: None, actor, detail }
    }
}

/// Adds an event. To be called under the locks of the task's waves, so that ids are in the order of commits.
pub async fn insert(
    connection: &mut Connection,
    task_id: TaskId,
    event: NewEvent<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO task_event (task_id, at, kind, wave, actor, detail) VALUES ($1, $2, $3, $4, $5, $6)",
        task_id.0,
        now,
        event.kind.as_str(),
        event.wave.map(int2),
        event.actor,
        event.detail,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An event as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// A later event of the same task has a greater one.
    pub event_id: i64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// To which wave.
    pub wave: Option<u16>,
    /// The principal that did it; empty for what the scheduler did.
    pub actor: String,
    /// In words.
    pub detail: String,
}

/// Events of a task behind one of them, in order.
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
