//! Shared parts of all roles on the database.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::Args;
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
    let control = Control::new(store, settings.defaults(), clock, settings.access()?);
    Ok(control.with_cluster_admins(settings.access.cluster_admins()?))
}

/// Warns of a database on another machine that is not authenticated.
pub(crate) fn warn_of_unverified(settings: &Settings) {
    for warning in unverified(settings) {
        tracing::warn!("{warning}");
    }
}

/// Returns a warning for each URL with which a machine between this one and the database could read
/// and change everything.
pub(crate) fn unverified(settings: &Settings) -> Vec<String> {
    let database = &settings.database;
    let urls = [("database.url", &database.url), ("database.partition_url", &database.partition_url)];
    let warning = |(key, url): (&str, &String)| {
        let host = store::unverified_host(url)?;
        Some(format!(
            "the connection to the database at {host} is not authenticated: add sslmode=verify-full and \
             sslrootcert to {key}"
        ))
    };
    urls.into_iter().filter_map(warning).collect()
}

/// Arguments of `graywave migrate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  graywave migrate
  graywave migrate --runtime-role graywave_app --partition-role graywave_parts")]
pub(crate) struct MigrateArgs {
    /// Role of the API, the schedulers and the database commands: it cannot change the audit.
    /// Created without a password if it does not exist
    #[arg(long, value_name = "NAME", requires = "partition_role", value_parser = role_name)]
    runtime_role: Option<String>,
    /// Role that owns the partitions, for `database.partition_url` of schedulers
    #[arg(long, value_name = "NAME", requires = "runtime_role", value_parser = role_name)]
    partition_role: Option<String>,
}

fn role_name(text: &str) -> Result<String, String> {
    if store::roles::is_name(text) {
        Ok(text.to_owned())
    } else {
        Err("use ASCII letters, digits, _ and -".into())
    }
}

/// Migrates the schema to this version, and gives the database roles their rights.
pub(crate) async fn migrate(settings: &Settings, arguments: &MigrateArgs) -> anyhow::Result<()> {
    warn_of_unverified(settings);
    let store = settings.store()?;
    store.check_reachable().await?;
    migrate_store(&store).await?;
    if let (Some(runtime), Some(partition)) = (&arguments.runtime_role, &arguments.partition_role) {
        store::roles::grant(&mut *store.acquire().await?, runtime, partition).await?;
        tracing::info!(runtime, partition, "the database roles have their rights");
    }
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

/// Reports the usage of the pool periodically. Logs once if the database is not usable at the
/// start: the role waits for the database, and serves when it is.
async fn report_connections(store: &Store) -> Infallible {
    if let Err(error) = store.check_usable().await {
        tracing::error!("{error}");
    }
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
