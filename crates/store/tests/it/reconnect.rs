//! A store whose database gets another address.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sqlx::{Connection as _, PgConnection};
use store::{PoolOptions, Store, notify};
use testkit::TestDatabase;

async fn name(connection: &mut PgConnection) -> String {
    crate::text(connection, "SELECT current_database()::text").await
}

/// A store on the first database with a pool for each purpose, and the second database.
async fn store_and_other() -> (Store, TestDatabase, TestDatabase, PoolOptions) {
    let (old, new) = (testkit::database().await.unwrap(), testkit::database().await.unwrap());
    let options = PoolOptions {
        max_connections: 6,
        liveness_connections: 1,
        list_connections: 1,
        ..PoolOptions::new(&old.url)
    };
    let other = PoolOptions { url: new.url.clone(), ..options.clone() };
    (Store::connect(&options).unwrap(), old, new, other)
}

#[tokio::test]
async fn new_address_applies_to_every_pool_without_a_restart() {
    let (store, old, new, other) = store_and_other().await;
    let mut before = Vec::new();
    for pool in [store.clone(), store.for_liveness(), store.for_lists()] {
        before.push(name(&mut pool.acquire().await.unwrap()).await);
    }
    let mut begun = store.begin().await.unwrap();
    assert!(old.url.ends_with(&before[0]) && before.iter().all(|name| *name == before[0]), "{before:?}");

    store.reconnect(&other).unwrap();
    for pool in [store.clone(), store.for_liveness(), store.for_lists()] {
        let name = name(&mut pool.acquire().await.unwrap()).await;
        assert!(new.url.ends_with(&name), "{name} is not {}", new.url);
    }
    assert_eq!(name(&mut begun).await, before[0], "work in progress keeps its connection");
    store.commit(begun).await.unwrap();
    // The connection of that work is not used again.
    let mut all = Vec::new();
    for _ in 0..store.max_connections() {
        all.push(store.acquire().await.unwrap());
    }
    for connection in &mut all {
        assert_ne!(name(connection).await, before[0]);
    }
}

#[tokio::test]
async fn listener_follows_the_new_address() {
    let (store, _old, new, other) = store_and_other().await;
    let mut listener = notify::Listener::connect(&store).await.unwrap();
    store.reconnect(&other).unwrap();
    assert_eq!(listener.next().await.unwrap(), notify::Wake::Everything, "changes may have been missed");
    notify::send(&mut new.store.acquire().await.unwrap(), notify::Wake::Ready).await.unwrap();
    assert_eq!(listener.next().await.unwrap(), notify::Wake::Ready);
}

#[tokio::test]
async fn address_that_is_not_valid_changes_nothing() {
    let (store, old, _new, other) = store_and_other().await;
    assert!(store.reconnect(&PoolOptions { url: "postgres://u@host:port/db".into(), ..other }).is_err());
    assert!(old.url.ends_with(&name(&mut store.acquire().await.unwrap()).await));
}

#[tokio::test]
async fn database_without_tls_is_refused_with_a_ca() {
    let (_store, old, _new, other) = store_and_other().await;
    let ca_pem = Some(Vec::new());
    let options = PoolOptions {
        url: format!("{}?sslmode=disable", old.url),
        ca_pem,
        acquire_timeout: Duration::from_secs(2),
        ..other
    };
    assert_eq!(store::unverified_host(&options), None);
    let refused = Store::connect(&options).unwrap().ping().await.unwrap_err();
    assert!(refused.is_unavailable(), "a CA requires TLS, also against the URL: {refused:?}");
}

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes the certificate and the key of a server at 127.0.0.1, for the user of its data directory.
fn certify(data: &Path, ca: &Ca) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, ca).unwrap();
    let owner = fs::metadata(data).unwrap();
    for (name, pem) in [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())] {
        let path = data.join(name);
        fs::write(&path, pem).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}

#[tokio::test]
async fn database_is_verified_by_its_ca_also_in_a_rotation() {
    let directory = crate::standby::directory();
    let cluster = crate::standby::cluster(&directory);
    let url = cluster.url("postgres");
    let (old, new) = (ca(), ca());
    certify(&directory.path().join("postgres/data"), &old);
    let mut admin = PgConnection::connect(&format!("{url}?sslmode=disable")).await.unwrap();
    // The Postgres of the Python package index is built without TLS. Debian's tests this.
    let with_tls = "SELECT setting ~ '--with-(openssl|ssl=openssl)' FROM pg_config WHERE name = 'CONFIGURE'";
    if !sqlx::query_scalar::<_, bool>(with_tls).fetch_one(&mut admin).await.unwrap() {
        return;
    }
    sqlx::query("ALTER SYSTEM SET ssl = on").execute(&mut admin).await.unwrap();
    sqlx::query("SELECT pg_reload_conf()").execute(&mut admin).await.unwrap();
    let with = |ca_pem: String| PoolOptions {
        ca_pem: Some(ca_pem.into_bytes()),
        acquire_timeout: Duration::from_secs(2),
        ..PoolOptions::new(&url)
    };
    let store = Store::connect(&with(old.pem())).unwrap();
    // The server reads its settings some time after the call.
    let is_encrypted = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let encrypted = async {
        loop {
            if let Ok(mut connection) = store.acquire().await {
                break crate::text(&mut connection, is_encrypted).await;
            }
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), encrypted).await.unwrap(), "true");
    store.reconnect(&with(new.pem())).unwrap();
    assert!(store.ping().await.unwrap_err().is_unavailable(), "the certificate is of another CA");
    store.reconnect(&with(old.pem() + &new.pem())).unwrap();
    store.ping().await.unwrap();
    let other_name = PoolOptions { url: url.replace("127.0.0.1", "localhost"), ..with(old.pem()) };
    store.reconnect(&other_name).unwrap();
    assert!(store.ping().await.unwrap_err().is_unavailable(), "the certificate has another name");
}
