//! Both sides together, over real connections.

use std::io;

use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName, version::TLS13};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

use crate::{
    Identity, Role, Tls, accept,
    certificate::read_certificates,
    connect,
    testing::{Ca, Place},
    why,
};

const SCHEDULER: &str = "graywave://role/scheduler/s";
const WORKER: &str = "graywave://role/worker/w";
const HERE: &[&str] = &["127.0.0.1"];

fn tls(ca: &Ca, trusted: &Ca, uri: &str, names: &[&str], days: i64) -> (Tls, Place) {
    let place = Place::new();
    place.put(trusted, &ca.signed(&[uri], names, days));
    (Tls::load(place.files()).unwrap(), place)
}

/// What both sides say of a connection: the dialled one first.
async fn meet(dialled: &Tls, dialling: &Tls) -> (io::Result<Identity>, io::Result<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taking = async {
        let (stream, _) = listener.accept().await?;
        let mut accepted = accept(dialled, stream).await?;
        accepted.stream.write_all(b"!").await?;
        Ok(accepted.identity)
    };
    let making = async {
        let mut stream = connect(dialling, "127.0.0.1", port, Role::Scheduler).await?;
        stream.read_exact(&mut [0]).await?;
        Ok(())
    };
    tokio::join!(taking, making)
}

#[tokio::test]
async fn each_side_learns_who_the_other_is() {
    let ca = Ca::new();
    let (scheduler, _at) = tls(&ca, &ca, SCHEDULER, HERE, 1);
    let (worker, _at_too) = tls(&ca, &ca, WORKER, &[], 1);
    let (seen, made) = meet(&scheduler, &worker).await;
    assert_eq!(seen.unwrap(), *worker.identity());
    made.unwrap();
}

#[tokio::test]
async fn one_of_another_ca_and_one_that_has_expired_are_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (scheduler, _at) = tls(&ca, &ca, SCHEDULER, HERE, 1);
    let (stranger, _of) = tls(&other, &ca, WORKER, &[], 1);
    let (seen, made) = meet(&scheduler, &stranger).await;
    assert_eq!(why(&seen.unwrap_err()), "its certificate is of another CA");
    assert_eq!(why(&made.unwrap_err()), "it says that our certificate is of another CA");
    let (old, _then) = tls(&ca, &ca, WORKER, &[], -1);
    let (seen, made) = meet(&scheduler, &old).await;
    assert_eq!(why(&seen.unwrap_err()), "its certificate has expired");
    assert_eq!(why(&made.unwrap_err()), "it says that our certificate has expired");
}

#[tokio::test]
async fn who_is_dialled_must_have_the_name_and_the_role() {
    let ca = Ca::new();
    let (worker, _at) = tls(&ca, &ca, WORKER, &[], 1);
    let (elsewhere, _there) = tls(&ca, &ca, SCHEDULER, &["elsewhere"], 1);
    assert!(why(&meet(&elsewhere, &worker).await.1.unwrap_err()).contains("not good"));
    let (another, _too) = tls(&ca, &ca, "graywave://role/api/a", HERE, 1);
    assert_eq!(why(&meet(&another, &worker).await.1.unwrap_err()), "graywave://role/api/a is no scheduler");
}

#[tokio::test]
async fn one_without_a_certificate_is_refused() {
    let ca = Ca::new();
    let (scheduler, at) = tls(&ca, &ca, SCHEDULER, HERE, 1);
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(at.files().ca).unwrap();
    roots.add(read_certificates(&pem).unwrap().remove(0)).unwrap();
    let config = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let making = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await?;
        stream.read_exact(&mut [0]).await
    };
    let taking =
        async { accept(&scheduler, listener.accept().await?.0).await.map(|accepted| accepted.identity) };
    let (seen, made) = tokio::join!(taking, making);
    assert_eq!(why(&seen.unwrap_err()), "it shows no certificate");
    assert_eq!(why(&made.unwrap_err()), "it asks for a certificate");
}

#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_is_waited_for_a_bounded_time() {
    let ca = Ca::new();
    let (scheduler, _at) = tls(&ca, &ca, SCHEDULER, HERE, 1);
    let (here, _silent) = tokio::io::duplex(64);
    assert!(why(&accept(&scheduler, here).await.unwrap_err()).contains("in time"));
}
