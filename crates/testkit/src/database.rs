//! A database for each test, copied from a template that is migrated once.

use anyhow::{Context as _, bail};
use chrono::Utc;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use store::{PoolOptions, Store};
use uuid::Uuid;

const VARIABLE: &str = "GRAYWAVE_TEST_POSTGRES";
const TEMPLATE: &str = "graywave_template";
/// Any number: tests that make the template at once wait for each other on it.
const TEMPLATE_LOCK: i64 = 0x6772_6179;

/// A database of a test's own.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    /// Where it is.
    pub url: String,
    /// A pool on it.
    pub store: Store,
}

impl TestDatabase {
    /// Another pool on the same database, as another process would have.
    pub fn another_store(&self) -> anyhow::Result<Store> {
        Ok(Store::connect(&PoolOptions { max_connections: 8, ..PoolOptions::new(&self.url) })?)
    }

    /// A connection for a test that looks at rows itself.
    pub async fn connection(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&self.url).await?)
    }
}

/// A fresh, migrated database on the server that `cargo xtask test` started.
pub async fn database() -> anyhow::Result<TestDatabase> {
    let Ok(server) = std::env::var(VARIABLE) else {
        bail!(
            "{VARIABLE} is not set: run the tests with `cargo xtask test`, which starts a Postgres for them"
        );
    };
    let mut admin = PgConnection::connect(&server).await.with_context(|| format!("cannot reach {server}"))?;
    ensure_template(&mut admin, &server).await?;
    let name = format!("test_{}", Uuid::now_v7().simple());
    execute(&mut admin, format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await?;
    let url = with_database(&server, &name)?;
    let store = Store::connect(&PoolOptions { max_connections: 8, ..PoolOptions::new(&url) })?;
    Ok(TestDatabase { url, store })
}

async fn ensure_template(admin: &mut PgConnection, server: &str) -> anyhow::Result<()> {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut *admin).await?;
    let ready: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1 AND datistemplate)")
            .bind(TEMPLATE)
            .fetch_one(&mut *admin)
            .await?;
    if !ready {
        execute(admin, format!("DROP DATABASE IF EXISTS {TEMPLATE}")).await?;
        execute(admin, format!("CREATE DATABASE {TEMPLATE}")).await?;
        let store = Store::connect(&PoolOptions::new(with_database(server, TEMPLATE)?))?;
        store.migrate().await?;
        store::partition::ensure(&mut *store.acquire().await?, Utc::now()).await?;
        store.close().await;
        // Only now: a template that was half made by a killed test is made again.
        execute(admin, format!("ALTER DATABASE {TEMPLATE} IS_TEMPLATE true")).await?;
    }
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(TEMPLATE_LOCK).execute(admin).await?;
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
