//! Time of the database by statement, from `pg_stat_statements`.

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

/// Library that counts statements.
pub(crate) const LIBRARY: &str = "pg_stat_statements";
/// Number of statements that are reported.
const MOST: i64 = 20;
/// Characters of a statement that are reported.
const MAX_CHARS: usize = 110;

/// Time of one statement, over all of its calls.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub(crate) struct Statement {
    pub(crate) calls: i64,
    pub(crate) total_ms: f64,
    pub(crate) rows: i64,
    pub(crate) statement: String,
}

/// Begins to count from zero.
pub(crate) async fn reset(url: &str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()")
        .execute(&mut connection)
        .await?;
    Ok(())
}

/// Returns the statements that took most time, the longest first.
pub(crate) async fn longest(url: &str) -> anyhow::Result<Vec<Statement>> {
    let mut connection = PgConnection::connect(url).await?;
    let mut found: Vec<Statement> = sqlx::query_as(
        "SELECT calls, total_exec_time AS total_ms, rows, query AS statement FROM pg_stat_statements
         ORDER BY total_exec_time DESC LIMIT $1",
    )
    .bind(MOST)
    .fetch_all(&mut connection)
    .await?;
    for row in &mut found {
        row.statement = row.statement.split_whitespace().collect::<Vec<_>>().join(" ");
        row.statement = row.statement.chars().take(MAX_CHARS).collect();
    }
    Ok(found)
}
