//! A database node that is not a primary.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use pgcluster::{Cluster, Durability, Options};
use sqlx::{Connection as _, PgConnection};
use store::{PoolOptions, Store};
use tempfile::TempDir;

/// Creates a directory that the Postgres user can access.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap()
}

/// Creates a server for one test, which the test may break.
pub(crate) fn cluster(directory: &TempDir) -> Cluster {
    let directory = directory.path().join("postgres");
    let binaries = pgcluster::find_binaries().unwrap();
    Cluster::start(&Options {
        directory,
        binaries,
        durability: Durability::None,
        max_connections: 20,
        preload: "",
    })
    .unwrap()
}

/// Simulates an address that still leads to the former primary and later to the new one.
#[tokio::test]
async fn pool_refuses_a_standby_until_it_is_promoted() {
    let directory = directory();
    let mut cluster = cluster(&directory);
    cluster.crash().unwrap();
    fs::write(directory.path().join("postgres/data/standby.signal"), "").unwrap();
    cluster.restart().unwrap();
    let url = cluster.url("postgres");
    let store = Store::connect(&PoolOptions {
        acquire_timeout: Duration::from_millis(500),
        ..PoolOptions::new(&url)
    })
    .unwrap();
    let error = store.begin().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");

    let mut admin = PgConnection::connect(&url).await.unwrap();
    let is_promoted: bool = sqlx::query_scalar("SELECT pg_promote()").fetch_one(&mut admin).await.unwrap();
    assert!(is_promoted);
    let mut tx = store.begin().await.unwrap();
    sqlx::query("CREATE TABLE it_takes_writes ()").execute(&mut *tx).await.unwrap();
    store.commit(tx).await.unwrap();
}
