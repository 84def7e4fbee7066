//! A database for each test, copied from a template that is migrated once.
//!
//! The name of a database contains the process id of its test. Later tests drop the databases of
//! ended processes. A run therefore needs space for a few databases instead of hundreds; the server
//! of `cargo xtask test` keeps them in memory.

use anyhow::{Context as _, bail};
use chrono::Utc;
use domain::{
    Timestamp,
    retention::{Month, months_in_use},
};
use rustix::process::{Pid, test_kill_process};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use store::{PoolOptions, Store};
use uuid::Uuid;

const VARIABLE: &str = "GRAYWAVE_TEST_POSTGRES";
/// Start of a template's name. The digest of its schema follows, because branches with other
/// schemas use the same server.
const TEMPLATE_PREFIX: &str = "graywave_template_";
/// Characters of the digest in a template's name; Postgres allows 63 in all.
const DIGEST_CHARS: usize = 16;
/// Advisory lock, an arbitrary number. Tests that create the template concurrently wait for each
/// other.
const TEMPLATE_LOCK: i64 = 0x6772_6179;
/// Advisory lock of the test that drops databases. Other tests skip the cleanup without waiting.
const CLEANUP_LOCK: i64 = TEMPLATE_LOCK + 1;
const PREFIX: &str = "test_";

/// A database that belongs to one test.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    /// URL of the database.
    pub url: String,
    /// A connection pool of the database.
    pub store: Store,
}

impl TestDatabase {
    /// Opens another pool on the same database, as a second process would.
    pub fn another_store(&self) -> anyhow::Result<Store> {
        Ok(Store::connect(&PoolOptions { max_connections: 8, ..PoolOptions::new(&self.url) })?)
    }

    /// Opens a connection for a test that reads rows directly.
    pub async fn connection(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }
}

/// Creates a migrated database on the server that `cargo xtask test` started. Its partitions accept
/// ids of any time.
pub async fn database() -> anyhow::Result<TestDatabase> {
    let (server, mut admin) = server().await?;
    let template = template();
    ensure_template(&mut admin, &server, &template).await?;
    copy_of(&mut admin, &server, &template).await
}

/// Creates an empty database, for tests of the migrations.
pub async fn empty_database() -> anyhow::Result<TestDatabase> {
    let (server, mut admin) = server().await?;
    copy_of(&mut admin, &server, "template0").await
}

async fn server() -> anyhow::Result<(String, PgConnection)> {
    let Ok(server) = std::env::var(VARIABLE) else {
        bail!("{VARIABLE} is not set: run the tests with `cargo xtask test`, which starts a Postgres server");
    };
    let admin = PgConnection::connect(&server).await.with_context(|| format!("cannot reach {server}"))?;
    Ok((server, admin))
}

async fn copy_of(admin: &mut PgConnection, server: &str, template: &str) -> anyhow::Result<TestDatabase> {
    drop_abandoned(admin).await?;
    let name = format!("{PREFIX}{}_{}", std::process::id(), Uuid::now_v7().simple());
    execute(admin, format!("CREATE DATABASE {name} TEMPLATE {template}")).await?;
    let url = with_database(server, &name)?;
    let store = Store::connect(&PoolOptions { max_connections: 8, ..PoolOptions::new(&url) })?;
    Ok(TestDatabase { url, store })
}

/// Drops the databases of ended tests, unless another test is doing so.
async fn drop_abandoned(admin: &mut PgConnection) -> anyhow::Result<()> {
    let is_ours: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(CLEANUP_LOCK)
        .fetch_one(&mut *admin)
        .await?;
    if !is_ours {
        return Ok(());
    }
    let names: Vec<String> =
        sqlx::query_scalar("SELECT datname FROM pg_database WHERE starts_with(datname, $1)")
            .bind(PREFIX)
            .fetch_all(&mut *admin)
            .await?;
    for name in names.iter().filter(|name| is_abandoned(name)) {
        execute(admin, format!("DROP DATABASE {name} WITH (FORCE)")).await?;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(CLEANUP_LOCK).execute(admin).await?;
    Ok(())
}

/// Whether the process that created the database has ended. A name without a process id is never
/// abandoned.
fn is_abandoned(name: &str) -> bool {
    let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('_').next()?.parse().ok());
    pid.and_then(Pid::from_raw).is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// Name of the template of this program's schema.
fn template() -> String {
    let digest: String = store::schema_digest().chars().take(DIGEST_CHARS).collect();
    format!("{TEMPLATE_PREFIX}{digest}")
}

async fn ensure_template(admin: &mut PgConnection, server: &str, name: &str) -> anyhow::Result<()> {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut *admin).await?;
    let ready: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)")
            .bind(name)
            .fetch_one(&mut *admin)
            .await?;
    if !ready {
        execute(admin, format!("DROP DATABASE IF EXISTS {name}")).await?;
        execute(admin, format!("CREATE DATABASE {name}")).await?;
        let (store, now) = (Store::connect(&PoolOptions::new(with_database(server, name)?))?, Utc::now());
        store.migrate().await?;
        store::partition::ensure(&mut *store.acquire().await?, now).await?;
        store.close().await;
        let mut template = PgConnection::connect(&with_database(server, name)?).await?;
        take_every_time(&mut template, now).await?;
        template.close().await?;
        // Marked last: a template that a killed test left incomplete is created again.
        execute(admin, format!("ALTER DATABASE {name} IS_TEMPLATE true")).await?;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(TEMPLATE_LOCK).execute(admin).await?;
    Ok(())
}

/// Adds partitions before and after those of the current months, because fixed clocks produce ids
/// of any time.
async fn take_every_time(template: &mut PgConnection, now: Timestamp) -> anyhow::Result<()> {
    let months: Vec<Month> = months_in_use(now).collect();
    let (Some(first), Some(last)) = (months.first(), months.last()) else { return Ok(()) };
    let (before, after) = (first.ids().start, last.ids().end);
    for table in ["target", "record", "audit", "audit_seal"] {
        for (name, bounds) in
            [("before", format!("MINVALUE) TO ('{before}'")), ("after", format!("'{after}') TO (MAXVALUE"))]
        {
            execute(
                template,
                format!("CREATE TABLE {table}_{name} PARTITION OF {table} FOR VALUES FROM ({bounds})"),
            )
            .await?;
        }
    }
    Ok(())
}

async fn execute(admin: &mut PgConnection, statement: String) -> anyhow::Result<()> {
    sqlx::query(AssertSqlSafe(statement)).execute(admin).await?;
    Ok(())
}

fn with_database(server: &str, name: &str) -> anyhow::Result<String> {
    let (base, _) = server.rsplit_once('/').context("the server's URL ends in /database")?;
    Ok(format!("{base}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_of_ended_processes_are_abandoned() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(is_abandoned(&format!("{PREFIX}{}_0192", child.id())));
        assert!(!is_abandoned(&format!("{PREFIX}{}_0192", std::process::id())));
        assert!(!is_abandoned("test_0192f7c5"), "no process id");
        assert!(!is_abandoned("graywave"));
    }
}
