//! Shared parts of all roles on the database.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context as _;
use control::{Control, DatabaseClock};
use store::Store;
use telemetry::metric;
use tokio::net::TcpListener;

use super::health::{self, Readiness};
use crate::config::Settings;

/// Timeout of a readiness probe.
const READY_WITHIN: Duration = Duration::from_secs(2);
const CONNECTIONS_INTERVAL: Duration = Duration::from_secs(5);

/// Binds an address. The error names the address and its purpose.
pub(crate) async fn bind(address: &str, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for {what}"))
}

/// Creates the use cases on a database.
pub(crate) fn control(settings: &Settings, store: Store) -> anyhow::Result<Control> {
    let clock = Arc::new(DatabaseClock::new(&store));
    Ok(Control::new(store, settings.defaults(), clock, settings.access()?))
}

/// Warns of a database on another machine that is not authenticated.
pub(crate) fn warn_of_unverified(settings: &Settings) {
    if let Some(warning) = unverified(settings) {
        tracing::warn!("{warning}");
    }
}

/// Returns a warning if a machine between this one and the database could read and change
/// everything.
pub(crate) fn unverified(settings: &Settings) -> Option<String> {
    let host = store::unverified_host(&settings.database.url)?;
    Some(format!(
        "the connection to the database at {host} is not authenticated: add sslmode=verify-full and sslrootcert \
         to the URL"
    ))
}

/// Migrates the schema to this version.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    migrate_store(&settings.store()?).await?;
    tracing::info!("the schema is up to date");
    Ok(())
}

pub(crate) async fn migrate_store(store: &Store) -> anyhow::Result<()> {
    store.migrate().await?;
    let mut connection = store.acquire().await?;
    Ok(store::partition::ensure(&mut connection, store.clock().now()).await?)
}

/// Returns a readiness check that queries the database.
pub(crate) fn database_answers(store: &Store) -> Readiness {
    let store = store.clone();
    health::readiness(move || {
        let store = store.clone();
        async move {
            let answer = tokio::time::timeout(READY_WITHIN, store.unless_silent(store.ping())).await;
            match answer {
                Ok(Ok(())) => Ok(()),
                _ => Err("the database does not answer".to_owned()),
            }
        }
    })
}

/// Reports the usage of the pool periodically.
async fn report_connections(store: &Store) -> Infallible {
    loop {
        let (used, idle) = store.connections();
        metric::DATABASE_CONNECTIONS.set(used.into(), &["used"]);
        metric::DATABASE_CONNECTIONS.set(idle.into(), &["idle"]);
        tokio::time::sleep(CONNECTIONS_INTERVAL).await;
    }
}

/// Serves while monitoring the database and its pool.
pub(crate) async fn watched(
    store: &Store,
    serving: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tokio::select! {
        served = serving => served,
        never = store.watch() => match never {},
        never = report_connections(store) => match never {},
    }
}
