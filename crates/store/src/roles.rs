//! Database roles: what the runtime may do, and who owns the partitions.
//!
//! The role that migrates owns the schema. The runtime role has no rights on the audit but to read
//! and add rows. The partition role owns the partitioned tables; only the retention loop and the
//! creation of partitions use it.

use sqlx::{AssertSqlSafe, Connection as _};

use crate::{Connection, Error, partition::Table};

/// Arbitrary id of the advisory lock that serialises the grants.
const LOCK: i64 = 0x6772_6179_0003;

/// Tables whose rows the runtime may add, and never change or delete.
const APPEND_ONLY: [&str; 4] = ["audit", "audit_seal", "audit_signer", "audit_checkpoint"];

/// Creates the roles that do not exist, without a password, and gives both their rights. Changes
/// nothing if all is in place. The caller owns the schema.
pub async fn grant(connection: &mut Connection, runtime: &str, partition: &str) -> Result<(), Error> {
    if let Some(wrong) = [runtime, partition].into_iter().find(|role| !is_name(role)) {
        let what = format!("{wrong:?} is not a role: use ASCII letters, digits, _ and -");
        return Err(Error::corrupt("pg_roles", what));
    }
    let mut tx = connection.begin().await?;
    // Several processes may migrate at the same time.
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
    sqlx::query("SET LOCAL lock_timeout = '5s'").execute(&mut *tx).await?;
    let schema: String =
        sqlx::query_scalar("SELECT quote_ident(current_schema())").fetch_one(&mut *tx).await?;
    let (names, owner) = ([runtime, partition], partition);
    let (runtime, partition) = (quoted(&mut tx, runtime).await?, quoted(&mut tx, partition).await?);
    for (name, quoted) in names.into_iter().zip([&runtime, &partition]) {
        create_role(&mut tx, name, quoted).await?;
    }
    // The owner of the schema gives its tables away, and may still migrate them.
    execute(&mut tx, join(&partition)).await?;
    execute(&mut tx, format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO {partition}")).await?;
    for table in Table::ALL {
        for name in family(&mut tx, table, owner).await? {
            execute(&mut tx, format!("ALTER TABLE {name} OWNER TO {partition}")).await?;
        }
    }
    execute(&mut tx, format!("REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {runtime}")).await?;
    execute(&mut tx, format!("GRANT USAGE ON SCHEMA {schema} TO {runtime}")).await?;
    execute(&mut tx, format!("REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {runtime}")).await?;
    execute(&mut tx, format!("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {runtime}")).await?;
    // A statement on a partitioned table needs no right on its partitions.
    let tables: Vec<(String, String)> = sqlx::query_as(
        "SELECT relname::text, quote_ident(relname) FROM pg_class
         WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition",
    )
    .fetch_all(&mut *tx)
    .await?;
    for (name, table) in tables {
        let rights = match name.as_str() {
            "_sqlx_migrations" => "SELECT",
            name if APPEND_ONLY.contains(&name) => "SELECT, INSERT",
            // Its rows are never deleted: a chain goes on for ever.
            "audit_chain" => "SELECT, INSERT, UPDATE",
            _ => "SELECT, INSERT, UPDATE, DELETE",
        };
        execute(&mut tx, format!("GRANT {rights} ON {schema}.{table} TO {runtime}")).await?;
    }
    Ok(tx.commit().await?)
}

/// Returns whether a text is the name of a role, as this module accepts it.
pub fn is_name(role: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=63).contains(&role.len()) && role.bytes().all(is_allowed)
}

/// Lists a partitioned table and its partitions, as quoted names, as far as another role owns them:
/// a change of the owner locks the table.
async fn family(connection: &mut Connection, table: Table, owner: &str) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar(
        "SELECT c.oid::regclass::text FROM pg_class c
         WHERE (c.oid = to_regclass($1)
                OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass($1)))
           AND pg_get_userbyid(c.relowner) <> $2
         ORDER BY c.relkind = 'p' DESC, 1",
    )
    .bind(table.as_str())
    .bind(owner)
    .fetch_all(connection)
    .await?)
}

async fn quoted(connection: &mut Connection, role: &str) -> Result<String, Error> {
    Ok(sqlx::query_scalar("SELECT quote_ident($1)").bind(role).fetch_one(connection).await?)
}

/// Creates a role, unless it exists: only then does the caller need the right to create roles.
async fn create_role(connection: &mut Connection, name: &str, quoted: &str) -> Result<(), Error> {
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(name)
        .fetch_one(&mut *connection)
        .await?;
    if exists { Ok(()) } else { execute(connection, format!("CREATE ROLE {quoted} LOGIN")).await }
}

/// Makes the current role a member of another one, unless it is.
fn join(role: &str) -> String {
    format!(
        "DO $graywave$ BEGIN
             IF NOT pg_has_role(current_user, '{role}'::regrole, 'USAGE') THEN
                 GRANT {role} TO CURRENT_USER;
             END IF;
         END $graywave$"
    )
}

/// Executes a statement whose names Postgres has quoted.
async fn execute(connection: &mut Connection, statement: String) -> Result<(), Error> {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
