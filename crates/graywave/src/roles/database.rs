//! What all roles over the database share.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context as _;
use control::{Control, DatabaseClock};
use store::Store;
use telemetry::metric;
use tokio::net::TcpListener;

use super::health::{self, Readiness};
use crate::config::Settings;

/// A probe is answered in this time.
const READY_WITHIN: Duration = Duration::from_secs(2);
const CONNECTIONS_EVERY: Duration = Duration::from_secs(5);

/// Binds an address, with an error that names it.
pub(crate) async fn bind(address: &str, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for {what}"))
}

/// The use cases over a database.
pub(crate) fn control(settings: &Settings, store: Store) -> anyhow::Result<Control> {
    let clock = Arc::new(DatabaseClock::new(&store));
    Ok(Control::new(store, settings.defaults(), clock, settings.access()?))
}

/// Brings the schema up to date.
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

/// Whether the database of a role answers.
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

/// Tells from time to time how the pool is used.
async fn tell_connections(store: &Store) -> Infallible {
    loop {
        let (used, idle) = store.connections();
        metric::DATABASE_CONNECTIONS.set(used.into(), &["used"]);
        metric::DATABASE_CONNECTIONS.set(idle.into(), &["idle"]);
        tokio::time::sleep(CONNECTIONS_EVERY).await;
    }
}

/// Serves, and looks meanwhile whether the database still answers.
pub(crate) async fn watched(
    store: &Store,
    serving: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tokio::select! {
        served = serving => served,
        never = store.watch() => match never {},
        never = tell_connections(store) => match never {},
    }
}
