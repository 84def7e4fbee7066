//! Version of the schema in the database.

use crate::Connection;

/// Reads the number of the newest migration that the database has; 0 if it has none.
pub(crate) async fn schema_version(connection: &mut Connection) -> Result<u32, sqlx::Error> {
    const UNDEFINED_TABLE: &str = "42P01";
    // The migrator creates the table, so the migrations do not describe it for a checked query.
    let newest = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success");
    let newest: Result<Option<i64>, sqlx::Error> = newest.fetch_one(connection).await;
    match newest {
        Ok(newest) => Ok(newest.and_then(|version| u32::try_from(version).ok()).unwrap_or_default()),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error),
    }
}
