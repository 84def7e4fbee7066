//! A node of the database that is no primary.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use pgcluster::{Cluster, Durability, Options};
use sqlx::{Connection as _, PgConnection};
use store::{PoolOptions, Store};
use tempfile::TempDir;

/// One that Postgres's user can come to.
pub(crate) fn directory() -> TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap()
}

/// A server of a test's own, which it may treat as it likes.
pub(crate) fn cluster(directory: &TempDir) -> Cluster {
    let directory = directory.path().join("postgres");
    Cluster::start(&Options { directory, durability: Durability::None, max_connections: 20 }).unwrap()
}

/// As when the address of the database still leads to the node that was primary, and later to one that is.
#[tokio::test]
async fn a_pool_takes_no_connection_to_a_standby_and_recovers_when_it_is_promoted() {
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
