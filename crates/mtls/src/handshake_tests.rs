//! Handshakes of both sides over real connections.

use std::io;

use rcgen::KeyPair;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    Anonymous, AnonymousPeers, Dialling, Files, Identity, Issuer, NewKey, Request, Role, Tls, accept,
    connect,
    issue::params,
    testing::{Ca, TlsDirectory},
    why,
};

const SCHEDULER: &str = "graywave://role/scheduler/s";
const WORKER: &str = "graywave://role/worker/w";
const HERE: &[&str] = &["127.0.0.1"];

fn tls(ca: &Ca, trusted: &Ca, uri: &str, names: &[&str], days: i64) -> (Tls, TlsDirectory) {
    let place = TlsDirectory::new();
    place.put(trusted, &ca.signed(&[uri], names, days));
    (Tls::load(place.files()).unwrap(), place)
}

/// Results of a connection: of the server first, then of the client.
async fn meet(dialled: &Tls, dialling: &Tls) -> (io::Result<Identity>, io::Result<()>) {
    let (seen, made) = meet_anybody(dialled, AnonymousPeers::Refused, &dialling.clone().into()).await;
    (seen.map(|who| who.unwrap()), made)
}

async fn meet_anybody(
    dialled: &Tls,
    strangers: AnonymousPeers,
    dialling: &Dialling,
) -> (io::Result<Option<Identity>>, io::Result<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taking = async {
        let (stream, _) = listener.accept().await?;
        let mut accepted = accept(dialled, strangers, stream).await?;
        accepted.stream.write_all(b"!").await?;
        Ok(accepted.who.map(|who| who.identity))
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
    assert_eq!(why(&seen.unwrap_err()), "its certificate is from another CA");
    assert_eq!(why(&made.unwrap_err()), "the peer reports that this certificate is from another CA");
    let (old, _then) = tls(&ca, &ca, WORKER, &[], -1);
    let (seen, made) = meet(&scheduler, &old).await;
    assert_eq!(why(&seen.unwrap_err()), "its certificate has expired");
    assert_eq!(why(&made.unwrap_err()), "the peer reports that this certificate has expired");
}

#[tokio::test]
async fn who_is_dialled_must_have_the_name_and_the_role() {
    let ca = Ca::new();
    let (worker, _at) = tls(&ca, &ca, WORKER, &[], 1);
    let (elsewhere, _there) = tls(&ca, &ca, SCHEDULER, &["elsewhere"], 1);
    assert!(why(&meet(&elsewhere, &worker).await.1.unwrap_err()).contains("not valid"));
    let (another, _too) = tls(&ca, &ca, "graywave://role/api/a", HERE, 1);
    assert_eq!(
        why(&meet(&another, &worker).await.1.unwrap_err()),
        "graywave://role/api/a does not have the role scheduler"
    );
}

#[tokio::test]
async fn one_without_a_certificate_is_refused_or_let_in_as_nobody() {
    let ca = Ca::new();
    let (scheduler, at) = tls(&ca, &ca, SCHEDULER, HERE, 1);
    let stranger = Anonymous::load(&at.files().ca).unwrap().into();
    let (seen, made) = meet_anybody(&scheduler, AnonymousPeers::Refused, &stranger).await;
    assert_eq!(why(&seen.unwrap_err()), "the peer sent no certificate");
    assert_eq!(why(&made.unwrap_err()), "the peer requires a certificate");
    let (seen, made) = meet_anybody(&scheduler, AnonymousPeers::LetIn, &stranger).await;
    assert_eq!(seen.unwrap(), None);
    made.unwrap();
    // A peer with a certificate has its identity; an invalid certificate does not make a peer
    // anonymous.
    let (worker, _of) = tls(&ca, &ca, WORKER, &[], 1);
    let (seen, _) = meet_anybody(&scheduler, AnonymousPeers::LetIn, &worker.into()).await;
    assert_eq!(seen.unwrap().unwrap().to_string(), WORKER);
    let (old, _then) = tls(&ca, &ca, WORKER, &[], -1);
    let (seen, _) = meet_anybody(&scheduler, AnonymousPeers::LetIn, &old.into()).await;
    assert_eq!(why(&seen.unwrap_err()), "its certificate has expired");
    // An anonymous client verifies servers too.
    let (_, elsewhere) = tls(&Ca::new(), &ca, SCHEDULER, HERE, 1);
    let lost = Anonymous::load(&elsewhere.files().ca).unwrap();
    let (_other, at) = tls(&Ca::new(), &Ca::new(), SCHEDULER, HERE, 1);
    let other = Anonymous::load(&at.files().ca).unwrap();
    assert!(meet_anybody(&scheduler, AnonymousPeers::LetIn, &lost.into()).await.1.is_ok());
    assert!(meet_anybody(&scheduler, AnonymousPeers::LetIn, &other.into()).await.1.is_err());
}

const DESKTOP: &str = "graywave://desktop/p/d";

/// Certificate signed by an issuer, without regard to its name constraints.
fn through_issuer(ca: &Ca, uri: &str, names: &[&str]) -> (Tls, TlsDirectory) {
    let place = TlsDirectory::new();
    place.put(ca, &ca.signed(&[uri], names, 1));
    let directory = tempfile::tempdir().unwrap();
    let files = ca.issuer(directory.path());
    let read = |path| std::fs::read_to_string(path).unwrap();
    let (certificate, key) = (read(&files.cert), read(&files.key));
    let issuer = rcgen::Issuer::from_ca_cert_pem(&certificate, KeyPair::from_pem(&key).unwrap()).unwrap();
    let own = KeyPair::generate().unwrap();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let mut params = params(&uri.parse().unwrap(), now, now + 100).unwrap();
    for name in names {
        params.subject_alt_names.push(rcgen::SanType::IpAddress(name.parse().unwrap()));
    }
    let signed = params.signed_by(&own, &issuer).unwrap();
    let Files { cert, key, .. } = place.files();
    std::fs::write(cert, signed.pem() + &certificate).unwrap();
    std::fs::write(key, own.serialize_pem()).unwrap();
    (Tls::load(place.files()).unwrap(), place)
}

#[tokio::test]
async fn an_issuer_speaks_for_desktops_and_for_nobody_else() {
    let ca = Ca::new();
    let (scheduler, _at) = tls(&ca, &ca, SCHEDULER, HERE, 1);
    let (desktop, _of) = through_issuer(&ca, DESKTOP, &[]);
    assert_eq!(meet(&scheduler, &desktop).await.0.unwrap().to_string(), DESKTOP);
    for role in Role::ALL {
        let (thief, _of) = through_issuer(&ca, &format!("graywave://role/{role}/w"), &[]);
        let (seen, made) = meet(&scheduler, &thief).await;
        let refused = why(&seen.unwrap_err());
        // A signer is accepted nowhere, whichever CA signed its certificate.
        let reason =
            if role == Role::Signer { "does not allow extended key usage" } else { "is from another CA" };
        assert!(refused.contains(reason), "{role}: {refused}");
        assert!(made.is_err());
    }
    let (thief, _of) = through_issuer(&ca, SCHEDULER, HERE);
    let (_, made) = meet(&thief, &desktop).await;
    assert_eq!(why(&made.unwrap_err()), "its certificate is from another CA");
}

#[test]
fn an_issuer_signs_what_it_is_asked_for_by_whoever_has_the_key() {
    let ca = Ca::new();
    let (tls, place) = tls(&ca, &ca, SCHEDULER, HERE, 1);
    let directory = tempfile::tempdir().unwrap();
    let files = ca.issuer(directory.path());
    let issuer = Issuer::load(&files, &tls).unwrap();
    let key = NewKey::generate().unwrap();
    let request = key.request().unwrap();
    let read = Request::read(&request).unwrap();
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let issued = issuer.sign(&DESKTOP.parse().unwrap(), &read, now, now + 60).unwrap();
    assert!(key.is_of(&issued.chain[0].clone().into()) && !key.is_of(&issued.chain[1].clone().into()));
    assert_eq!((issued.not_after_unix, issued.chain.len()), (now + 60, 2));
    let cut = issuer.sign(&DESKTOP.parse().unwrap(), &read, now, i64::MAX).unwrap();
    assert_eq!(cut.not_after_unix, issuer.not_after_unix);
    assert!(
        issuer.sign(&WORKER.parse().unwrap(), &read, now, now + 60).unwrap_err().contains("not a desktop")
    );
    assert!(
        issuer.sign(&DESKTOP.parse().unwrap(), &read, i64::MAX, i64::MAX).unwrap_err().contains("expired")
    );
    // A modified request, and bytes that are not a request.
    let mut changed = request;
    *changed.last_mut().unwrap() ^= 1;
    assert!(Request::read(&changed).is_err());
    assert!(Request::read(b"x").is_err());
    let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let other = rcgen::CertificateParams::default().serialize_request(&other).unwrap();
    assert!(Request::read(other.der()).unwrap_err().contains("P-256"));
    // Files that do not match.
    let again = NewKey::from_pem(&key.pem()).unwrap();
    std::fs::write(&files.key, again.pem()).unwrap();
    assert!(Issuer::load(&files, &tls).unwrap_err().to_string().contains("does not match the certificate"));
    let mut ours = files;
    ours.cert = place.files().cert;
    assert!(Issuer::load(&ours, &tls).unwrap_err().to_string().contains("graywave ca issuer"));
}

#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_is_waited_for_a_bounded_time() {
    let ca = Ca::new();
    let (scheduler, _at) = tls(&ca, &ca, SCHEDULER, HERE, 1);
    let (here, _silent) = tokio::io::duplex(64);
    assert!(why(&accept(&scheduler, AnonymousPeers::Refused, here).await.unwrap_err()).contains("timed out"));
}

#[tokio::test]
async fn denied_certificate_is_refused_by_both_sides() {
    let ca = Ca::new();
    let (scheduler, _at) = tls(&ca, &ca, SCHEDULER, HERE, 1);
    let (worker, _at_too) = tls(&ca, &ca, WORKER, &[], 1);
    let (serial_of_scheduler, serial_of_worker) = (scheduler.facts().serial, worker.facts().serial);
    scheduler.deny_list().replace([serial_of_worker.as_str()]);
    let (seen, made) = meet(&scheduler, &worker).await;
    assert_eq!(why(&seen.unwrap_err()), "its certificate is denied");
    assert_eq!(why(&made.unwrap_err()), "the peer reports that this certificate is denied");
    scheduler.deny_list().replace([]);
    worker.deny_list().replace([serial_of_scheduler.as_str()]);
    let (seen, made) = meet(&scheduler, &worker).await;
    assert_eq!(why(&made.unwrap_err()), "its certificate is denied");
    assert!(seen.is_err());
    worker.deny_list().replace([]);
    let (seen, made) = meet(&scheduler, &worker).await;
    seen.unwrap();
    made.unwrap();
}
