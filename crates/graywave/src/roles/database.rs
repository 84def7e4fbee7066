//! Shared parts of all roles on the database.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use control::{Control, DatabaseClock, MasterKeys};
use domain::schema::SCHEMA_VERSION;
use mtls::Source as _;
use store::Store;
use telemetry::metric;
use tokio::net::TcpListener;

use super::health::{self, Readiness};
use crate::{config::Settings, reload::DatabaseSource};

/// Timeout of a readiness probe.
const READY_WITHIN: Duration = Duration::from_secs(2);
const CONNECTIONS_INTERVAL: Duration = Duration::from_secs(5);

/// Binds an address. The error names the address and its purpose.
pub(crate) async fn bind(address: &str, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for {what}"))
}

/// Creates the use cases on a database.
pub(crate) fn control(settings: &Settings, store: Store, master_keys: MasterKeys) -> anyhow::Result<Control> {
    let clock = Arc::new(DatabaseClock::new(&store));
    let control = Control::new(store, settings.defaults(), clock, settings.access(master_keys)?);
    let control = control.with_session_terms(settings.console.session_terms());
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
    let sources = [settings.database.source(), settings.database.partition_source()];
    let warning = |source: DatabaseSource| {
        let options = source.read().and_then(|address| source.build(&address)).ok()?;
        source.unverified(&options)
    };
    sources.into_iter().flatten().filter_map(warning).collect()
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
    let store = settings.store()?.store;
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

/// Returns a readiness check that waits for a database with the schema of this program.
///
/// Once ready, the role stays ready without the database, also at a new address, until a database
/// answers without that schema. All roles share the database, so an
/// orchestrator that took them out of service would help no client: clients would get refused
/// connections instead of 503, and a budget for disruptions would protect nothing.
pub(crate) fn database_seen(store: &Store) -> Readiness {
    let (store, was_ready) = (store.clone(), Arc::new(AtomicBool::new(false)));
    health::readiness(move || {
        let (store, was_ready) = (store.clone(), Arc::clone(&was_ready));
        async move {
            let found = tokio::time::timeout(READY_WITHIN, store.unless_silent(store.schema())).await;
            match found {
                Ok(Ok(found)) => {
                    let fits = found.check(SCHEMA_VERSION);
                    was_ready.store(fits.is_ok(), Ordering::Relaxed);
                    fits.map_err(|reason| reason.to_string())
                }
                _ if was_ready.load(Ordering::Relaxed) => Ok(()),
                _ => Err("the database has not answered since the start".to_owned()),
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

#[cfg(test)]
mod tests {
    use store::PoolOptions;

    use super::*;

    #[tokio::test]
    async fn role_stays_ready_while_its_database_is_away() {
        let database = testkit::database().await.unwrap();
        let ready = database_seen(&database.store);
        assert_eq!(ready().await, Ok(()));
        database.store.reconnect(&PoolOptions::new("postgres://nobody@127.0.0.1:1/nothing")).unwrap();
        assert!(database.store.ping().await.is_err());
        assert_eq!(ready().await, Ok(()));
        database.store.close().await;
        assert_eq!(ready().await, Ok(()));
    }

    #[tokio::test]
    async fn role_is_not_ready_on_another_database_without_schema() {
        let (database, empty) =
            (testkit::database().await.unwrap(), testkit::empty_database().await.unwrap());
        let ready = database_seen(&database.store);
        assert_eq!(ready().await, Ok(()));
        database.store.reconnect(&PoolOptions::new(&empty.url)).unwrap();
        assert!(ready().await.unwrap_err().contains("schema version 0"));
        empty.store.migrate().await.unwrap();
        assert_eq!(ready().await, Ok(()));
    }

    #[tokio::test]
    async fn role_waits_for_a_database_with_its_schema() {
        let database = testkit::empty_database().await.unwrap();
        let ready = database_seen(&database.store);
        let reason = ready().await.unwrap_err();
        assert!(reason.contains("schema version 0") && reason.contains("graywave migrate"), "{reason}");
        database.store.migrate().await.unwrap();
        assert_eq!(ready().await, Ok(()));

        let options = PoolOptions {
            acquire_timeout: Duration::from_millis(100),
            ..PoolOptions::new("postgres://nobody@127.0.0.1:1/nothing")
        };
        let ready = database_seen(&Store::connect(&options).unwrap());
        assert_eq!(ready().await, Err("the database has not answered since the start".to_owned()));
    }
}
