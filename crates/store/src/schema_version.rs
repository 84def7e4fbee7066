//! Version of the schema in the database.

use domain::schema::{DatabaseSchema, SCHEMA_VERSION};

use crate::{Connection, migrations::migrator};

/// Reads the newest migration that the database has.
pub(crate) async fn schema(connection: &mut Connection) -> Result<DatabaseSchema, sqlx::Error> {
    const UNDEFINED_TABLE: &str = "42P01";
    // The migrator creates the table, so the migrations do not describe it for a checked query.
    let newest = sqlx::query_as(
        "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version DESC LIMIT 1",
    );
    let newest: Result<Option<(i64, Vec<u8>)>, sqlx::Error> = newest.fetch_optional(connection).await;
    match newest {
        Ok(newest) => Ok(newest.map(|(version, checksum)| found(version, &checksum)).unwrap_or_default()),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => {
            Ok(DatabaseSchema::default())
        }
        Err(error) => Err(error),
    }
}

/// Compares the newest migration of the database with the one of this program.
fn found(version: i64, checksum: &[u8]) -> DatabaseSchema {
    let is_different = version == i64::from(SCHEMA_VERSION)
        && migrator().iter().any(|known| known.version == version && *known.checksum != *checksum);
    DatabaseSchema { version: u32::try_from(version).unwrap_or_default(), is_different }
}
