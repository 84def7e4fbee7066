//! Changes of tasks, for the clients that watch them: one row for each transaction. A row is added
//! with the changes of the waves ([`crate::wave`]), in the same statement.

use std::collections::BTreeMap;

use domain::{
    Timestamp,
    ids::{ProjectId, TaskId},
    limits::{EVENTS_PER_LOOK, MAP_CHANGES_PER_LOOK, MAP_CHANGES_PER_SWEEP, TASKS_PER_LOOK},
    map::{MapChange, MapCode, MapRun},
    stream_position::SeenTransactions,
};
use serde::Deserialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    Connection, Error,
    codec::{count, int4, word},
    event::EventRow,
};

/// The columns of a change's runs.
pub(crate) struct Runs {
    pub(crate) firsts: Vec<i32>,
    pub(crate) lengths: Vec<i32>,
    pub(crate) codes: Vec<u8>,
}

impl Runs {
    pub(crate) fn of(change: &MapChange) -> Self {
        let runs = change.runs();
        Self {
            firsts: runs.iter().map(|run| int4(run.first)).collect(),
            lengths: runs.iter().map(|run| int4(run.last - run.first + 1)).collect(),
            codes: runs.iter().map(|run| run.code.byte()).collect(),
        }
    }

    fn restore(&self) -> Result<MapChange, Error> {
        let places = self.firsts.iter().zip(&self.lengths).zip(&self.codes);
        let run = |((&first, &length), &code): ((&i32, &i32), &u8)| {
            let first: u32 = count("task_change", first)?;
            let length: u32 = count("task_change", length)?;
            let code = MapCode::of_byte(code)
                .ok_or_else(|| Error::corrupt("task_change", format!("code {code}")))?;
            Ok(MapRun { first, last: first + length.saturating_sub(1), code })
        };
        Ok(MapChange::of_runs(places.map(run).collect::<Result<_, Error>>()?))
    }
}

/// Changes of a project's tasks that a moment shows in addition to an earlier one.
#[derive(Debug, Clone)]
pub struct News {
    /// What the moment shows.
    pub seen: SeenTransactions,
    /// Tasks that changed, at most one more than [`TASKS_PER_LOOK`].
    pub tasks: Vec<TaskId>,
    /// Events by task, at most one more than [`EVENTS_PER_LOOK`], in the order of their ids.
    pub events: Vec<(TaskId, EventRow)>,
    /// Number of connected desktops; `None` if it was not asked for.
    pub connected: Option<i64>,
}

/// An event as the statement of [`news`] returns it.
#[derive(Debug, Deserialize)]
struct RawEvent {
    task_id: Uuid,
    event_id: i64,
    at: Timestamp,
    kind: String,
    wave: Option<i16>,
    actor: String,
    detail: String,
}

/// Reads what is new since a moment, in one statement, and therefore at one moment. Reads only the
/// moment itself if `since` is `None`. With `only`, the changes of these tasks alone.
pub async fn news(
    connection: &mut Connection,
    project_id: &ProjectId,
    since: Option<&SeenTransactions>,
    only: Option<&[TaskId]>,
    with_presence: bool,
) -> Result<News, Error> {
    let only: Option<Vec<Uuid>> = only.map(|ids| ids.iter().map(|id| id.0).collect());
    let row = sqlx::query!(
        r#"SELECT pg_current_snapshot()::text AS "seen!",
                  ARRAY(SELECT c.task_id FROM task_change c
                        WHERE c.project_id = $1 AND c.xact >= $3::text::xid8
                          AND NOT pg_visible_in_snapshot(c.xact, $2::text::pg_snapshot)
                          AND ($4::uuid[] IS NULL OR c.task_id = ANY($4))
                        GROUP BY c.task_id ORDER BY c.task_id LIMIT $5) AS "tasks!",
                  (SELECT coalesce(jsonb_agg(to_jsonb(n) ORDER BY n.event_id), '[]') FROM (
                       SELECT e.task_id, e.event_id, e.at, e.kind, e.wave, e.actor, e.detail
                       FROM task_event e JOIN task k USING (task_id)
                       WHERE k.project_id = $1 AND e.xact >= $3::text::xid8
                         AND NOT pg_visible_in_snapshot(e.xact, $2::text::pg_snapshot)
                         AND ($4::uuid[] IS NULL OR e.task_id = ANY($4))
                       ORDER BY e.event_id LIMIT $6) AS n) AS "events!: Json<Vec<RawEvent>>",
                  CASE WHEN $7 THEN (
                      SELECT coalesce(sum(number), 0)::int8 FROM (
                          SELECT number FROM project_count
                          WHERE project_id = $1 AND kind = 'DESKTOP' AND word = 'CONNECTED'
                          UNION ALL
                          SELECT number FROM project_count_change
                          WHERE project_id = $1 AND kind = 'DESKTOP' AND word = 'CONNECTED') AS parts)
                  END AS connected"#,
        project_id.as_str(),
        since.map(ToString::to_string),
        since.map(|since| since.xmin().to_string()),
        only.as_deref(),
        TASKS_PER_LOOK + 1,
        EVENTS_PER_LOOK + 1,
        with_presence,
    )
    .fetch_one(connection)
    .await?;
    let seen = row.seen.parse().map_err(|()| Error::corrupt("pg_current_snapshot", row.seen.clone()))?;
    let event = |raw: RawEvent| {
        let event = EventRow {
            event_id: raw.event_id,
            at: raw.at,
            kind: word("task_event", &raw.kind)?,
            wave: raw.wave.map(|wave| count("task_event", wave)).transpose()?,
            actor: raw.actor,
            detail: raw.detail,
        };
        Ok((TaskId(raw.task_id), event))
    };
    Ok(News {
        seen,
        tasks: row.tasks.into_iter().map(TaskId).collect(),
        events: row.events.0.into_iter().map(event).collect::<Result<_, Error>>()?,
        connected: row.connected,
    })
}

/// Changes of a map after a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapNews {
    /// Version of the map with the changes.
    pub version: i64,
    /// The changes, merged.
    pub change: MapChange,
}

/// Reads the changes of maps after a version each. Omits maps without a change. A map whose next
/// change is deleted, or that has too many, gets a reset to its last version.
pub async fn map_news(
    connection: &mut Connection,
    maps: &BTreeMap<TaskId, i64>,
) -> Result<BTreeMap<TaskId, MapNews>, Error> {
    let ids: Vec<Uuid> = maps.keys().map(|id| id.0).collect();
    let versions: Vec<i64> = maps.values().copied().collect();
    let rows = sqlx::query!(
        r#"SELECT m.task_id AS "task_id!", c.version, c.is_reset, c.firsts, c.lengths, c.codes, n.newest AS "newest!"
           FROM unnest($1::uuid[], $2::int8[]) AS m (task_id, version)
           CROSS JOIN LATERAL (SELECT max(version) AS newest FROM task_change n WHERE n.task_id = m.task_id) AS n
           CROSS JOIN LATERAL (
               SELECT * FROM task_change c WHERE c.task_id = m.task_id AND c.version > m.version
               ORDER BY c.version LIMIT $3) AS c
           ORDER BY m.task_id, c.version"#,
        &ids,
        &versions,
        MAP_CHANGES_PER_LOOK + 1,
    )
    .fetch_all(connection)
    .await?;
    let mut found: BTreeMap<TaskId, (i64, Vec<MapChange>)> = BTreeMap::new();
    for row in rows {
        let task_id = TaskId(row.task_id);
        let (newest, changes) = found.entry(task_id).or_insert_with(|| (row.newest, Vec::new()));
        // Versions have no gaps, so the next change shows whether earlier ones are deleted.
        let expected = maps.get(&task_id).copied().unwrap_or_default() + 1 + int8(changes.len());
        let is_gap = row.version != expected || int8(changes.len()) >= MAP_CHANGES_PER_LOOK;
        changes.push(match row.is_reset || is_gap {
            true => MapChange::reset(),
            false => Runs { firsts: row.firsts, lengths: row.lengths, codes: row.codes }.restore()?,
        });
        *newest = (*newest).max(row.version);
    }
    let merged = |(task_id, (newest, changes)): (TaskId, (i64, Vec<MapChange>))| {
        let from = maps.get(&task_id).copied().unwrap_or_default();
        let change = MapChange::merged(&changes);
        let version = if change.is_reset() { newest } else { from + int8(changes.len()) };
        (task_id, MapNews { version, change })
    };
    Ok(found.into_iter().map(merged).collect())
}

fn int8(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Deletes changes from before a time: all but the last one of a task that has not ended, which
/// keeps the version. Returns whether more are left.
pub async fn sweep(connection: &mut Connection, before: Timestamp) -> Result<bool, Error> {
    let deleted = sqlx::query!(
        "DELETE FROM task_change WHERE ctid = ANY(ARRAY(
             SELECT c.ctid FROM task_change c
             WHERE c.at < $1
               AND (EXISTS (SELECT FROM task_change later
                            WHERE later.task_id = c.task_id AND later.version > c.version)
                    OR NOT EXISTS (SELECT FROM task k WHERE k.task_id = c.task_id AND k.ended_at IS NULL))
             ORDER BY c.at LIMIT $2))",
        before,
        MAP_CHANGES_PER_SWEEP,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected() == MAP_CHANGES_PER_SWEEP.cast_unsigned())
}
