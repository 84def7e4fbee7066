//! The durability check: searches a database for every task whose id was answered, and for every
//! acknowledged result.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::journals::{self, Key, ScriptResult};
use crate::chaos::{
    load::Accepted,
    system::{System, desktop_id},
};

/// Numbers of accepted tasks and acknowledged results, and those that the database does not hold.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Comparison {
    pub(crate) accepted: usize,
    pub(crate) acknowledged: usize,
    /// Descriptions of the lost ones.
    pub(crate) lost: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    task_id: Uuid,
    ordinal: i32,
    attempt: i16,
    script: i16,
    outcome: String,
    exit_code: Option<i32>,
}

/// Compares the journals of all agents and the ids that clients have with a database.
pub(crate) async fn compare(
    database_url: &str,
    system: &System,
    accepted: &[Accepted],
) -> anyhow::Result<Comparison> {
    let journals = (0..system.agents.len()).map(|desktop| system.data_dir(desktop).join("journal.log"));
    let journals: Vec<PathBuf> = journals.collect();
    let mut connection = PgConnection::connect(database_url).await?;
    let mut comparison = Comparison { accepted: accepted.len(), ..Comparison::default() };
    let tasks: Vec<Uuid> = sqlx::query_scalar("SELECT task_id FROM task").fetch_all(&mut connection).await?;
    let tasks: HashSet<Uuid> = tasks.into_iter().collect();
    for Accepted { task_id, kind } in accepted {
        if !tasks.contains(&task_id.parse()?) {
            comparison.lost.push(format!("accepted and lost: {task_id} ({kind})"));
        }
    }
    let rows = records(&mut connection).await?;
    for (desktop, journal) in journals.iter().enumerate() {
        let acknowledged = journals::acknowledged(journal)?;
        comparison.acknowledged += acknowledged.len();
        for (key, results) in &acknowledged {
            for wrong in results.iter().filter_map(|result| contradiction(&rows, key, result)) {
                let desktop = desktop_id(desktop);
                comparison.lost.push(format!("acknowledged to {desktop} and lost: {key:?}: {wrong}"));
            }
        }
    }
    Ok(comparison)
}

type Records = HashMap<(Uuid, i32, i16, i16), (String, Option<i32>)>;

async fn records(connection: &mut PgConnection) -> anyhow::Result<Records> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT task_id, ordinal, attempt, script, outcome::text AS outcome, exit_code FROM record",
    )
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| ((row.task_id, row.ordinal, row.attempt, row.script), (row.outcome, row.exit_code)))
        .collect())
}

/// Returns how the record of a result differs from the journal; `None` if they agree.
fn contradiction(records: &Records, key: &Key, result: &ScriptResult) -> Option<String> {
    let task_id: Uuid = key.task.parse().ok()?;
    match records.get(&(task_id, key.ordinal, key.attempt, result.script)) {
        None => Some(format!("no record of script {}", result.script)),
        Some((outcome, exit_code)) if *outcome != result.outcome || *exit_code != result.exit_code => {
            Some(format!("script {} is stored as {outcome} {exit_code:?}, not as {result:?}", result.script))
        }
        Some(_) => None,
    }
}
