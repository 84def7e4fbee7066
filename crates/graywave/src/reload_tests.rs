use std::{fs, path::Path};

use super::*;

const KEY: &str = "database.url";

fn source(directory: &Path, ca: Option<&str>) -> DatabaseSource {
    DatabaseSource {
        key: KEY,
        url: String::new(),
        url_file: Some(directory.join("url")),
        ca_file: ca.map(|name| directory.join(name)),
        options: PoolOptions::new(""),
    }
}

fn ca_certificate() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn url_file_is_read_again_and_a_broken_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("url");
    fs::write(&path, "postgres://u:first@127.0.0.1/db\n").unwrap();
    let reloaded = Reloaded::load(source(directory.path(), None)).unwrap();
    let url = || reloaded.current().url.clone();
    assert_eq!(url(), "postgres://u:first@127.0.0.1/db", "the line end does not belong to the URL");
    for (broken, expected) in [
        ("", "has no URL"),
        ("mysql://u:secret@host/db", "the scheme is mysql"),
        ("postgres://u:secret@host:port/db", "is not valid"),
    ] {
        fs::write(&path, broken).unwrap();
        let error = format!("{:#}", reloaded.look().unwrap_err());
        assert!(error.starts_with("database.url_file ") && error.contains(expected), "{error}");
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(reloaded.look().unwrap(), mtls::Look::Same, "the error is reported once");
        assert_eq!(url(), "postgres://u:first@127.0.0.1/db");
    }
    fs::remove_file(&path).unwrap();
    let error = format!("{:#}", reloaded.look().unwrap_err());
    assert!(error.starts_with("database.url_file: cannot read "), "{error}");
    fs::write(&path, "postgres://u:second@127.0.0.1/db").unwrap();
    assert_eq!(reloaded.look().unwrap(), mtls::Look::New);
    assert_eq!(url(), "postgres://u:second@127.0.0.1/db");
}

#[test]
fn ca_file_verifies_the_database_and_must_have_a_ca() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("url"), "postgres://u@db.example/db?sslmode=require").unwrap();
    let ca = directory.path().join("ca");
    fs::write(&ca, ca_certificate()).unwrap();
    let without = Reloaded::load(source(directory.path(), None)).unwrap();
    let warning = without.source().unverified(&without.current()).unwrap();
    assert!(warning.contains("db.example") && warning.ends_with(KEY), "{warning}");
    let with = Reloaded::load(source(directory.path(), Some("ca"))).unwrap();
    assert_eq!(with.source().unverified(&with.current()), None);
    fs::write(&ca, "no certificate").unwrap();
    let error = format!("{:#}", with.look().unwrap_err());
    assert!(error.starts_with("database.ca_file: ") && error.contains("contains no certificate"), "{error}");
    assert!(with.current().ca_pem.as_ref().is_some_and(|pem| pem.starts_with(b"-----BEGIN")));
    // Two CAs, as during a rotation.
    fs::write(&ca, ca_certificate() + &ca_certificate()).unwrap();
    assert_eq!(with.look().unwrap(), mtls::Look::New);
}

#[test]
fn master_keys_are_replaced_in_use_and_an_empty_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let (first, second) = ("1".repeat(64), "2".repeat(64));
    fs::write(&path, &first).unwrap();
    let keys = ReloadedKeys::load(MasterKeySource { keys: Vec::new(), file: Some(path.clone()) }).unwrap();
    let used = keys.keys.clone();
    let wrapped = used.wrap(b"context", b"plain").unwrap();
    fs::write(&path, "\n").unwrap();
    assert!(keys.reloaded.look().unwrap_err().to_string().contains("has no key"));
    fs::write(&path, format!("{second}\n{first}\n")).unwrap();
    assert_eq!(keys.reloaded.look().unwrap(), mtls::Look::New);
    keys.keys.replace(&keys.reloaded.current());
    assert_eq!(used.unwrap(b"context", &wrapped).as_deref(), Some(&b"plain"[..]));
    assert_ne!(used.wrap(b"context", b"plain").unwrap()[..16], wrapped[..16], "the new key encrypts");
}

#[tokio::test]
async fn changed_url_reaches_the_store_while_it_serves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("url");
    let (old, new) = (testkit::database().await.unwrap(), testkit::database().await.unwrap());
    fs::write(&path, &old.url).unwrap();
    let database = ReloadedStore::open(source(directory.path(), None)).unwrap();
    let keys = ReloadedKeys::load(MasterKeySource { keys: Vec::new(), file: None }).unwrap();
    let serving = async {
        let mut listener = store::notify::Listener::connect(&database.store).await.unwrap();
        fs::write(&path, &new.url).unwrap();
        // The listener connects again when the store does.
        listener.next().await.unwrap();
        let mut connection = new.store.acquire().await.unwrap();
        store::notify::send(&mut connection, store::notify::Wake::Ready).await.unwrap();
        listener.next().await.unwrap()
    };
    let heard = Box::pin(reloading([Some(&database), None], &keys, serving)).await;
    assert_eq!(heard, store::notify::Wake::Ready);
}
