//! What a task leaves behind: records, groups of failures and events. The engine writes these rows
//! and reads none of them.

use domain::ids::TaskId;
use sim::memory::TaskTable;
use sqlx::{PgConnection, Row as _};

/// The lines of a task in memory.
pub(super) fn of_table(table: &TaskTable) -> Vec<String> {
    let mut lines = Vec::new();
    for record in table.records.iter().flatten() {
        let outcome = record.outcome.as_str();
        lines.push(format!(
            "record {} {} {outcome} {:?} {} {:?}",
            record.ordinal, record.script, record.exit_code, record.reason, record.fingerprint_id
        ));
    }
    for ((wave, fingerprint_id), count) in &table.failures {
        let (ordinal, script) = count.sample_record;
        lines.push(format!("failure {wave} {fingerprint_id} {} {ordinal} {script}", count.records));
    }
    for event in &table.events {
        lines.push(format!(
            "event {} {:?} {} {}",
            event.kind.as_str(),
            event.wave,
            event.actor,
            event.detail
        ));
    }
    lines
}

/// Number of events of a task.
pub(super) async fn count_events(connection: &mut PgConnection, task_id: TaskId) -> i64 {
    let statement = "SELECT count(*) FROM task_event WHERE task_id = $1";
    sqlx::query_scalar(statement).bind(task_id.0).fetch_one(connection).await.unwrap()
}

/// The lines of a task on Postgres, without its first events.
pub(super) async fn read(connection: &mut PgConnection, task_id: TaskId, first_event: i64) -> Vec<String> {
    let mut lines = Vec::new();
    let statement = "SELECT ordinal, script, outcome::text, exit_code, reason, fingerprint_id
         FROM record WHERE task_id = $1 ORDER BY ordinal, script";
    for row in sqlx::query(statement).bind(task_id.0).fetch_all(&mut *connection).await.unwrap() {
        lines.push(format!(
            "record {} {} {} {:?} {} {:?}",
            row.get::<i32, _>(0),
            row.get::<i16, _>(1),
            row.get::<String, _>(2),
            row.get::<Option<i32>, _>(3),
            row.get::<String, _>(4),
            row.get::<Option<i64>, _>(5),
        ));
    }
    let statement = "SELECT wave, fingerprint_id, records, sample_ordinal, sample_script
         FROM failure_group WHERE task_id = $1 ORDER BY wave, fingerprint_id";
    for row in sqlx::query(statement).bind(task_id.0).fetch_all(&mut *connection).await.unwrap() {
        lines.push(format!(
            "failure {} {} {} {} {}",
            row.get::<i16, _>(0),
            row.get::<i64, _>(1),
            row.get::<i32, _>(2),
            row.get::<i32, _>(3),
            row.get::<i16, _>(4),
        ));
    }
    let statement = "SELECT kind, wave, actor, detail FROM task_event
         WHERE task_id = $1 ORDER BY event_id OFFSET $2";
    for row in
        sqlx::query(statement).bind(task_id.0).bind(first_event).fetch_all(&mut *connection).await.unwrap()
    {
        lines.push(format!(
            "event {} {:?} {} {}",
            row.get::<String, _>(0),
            row.get::<Option<i16>, _>(1),
            row.get::<String, _>(2),
            row.get::<String, _>(3),
        ));
    }
    lines
}
