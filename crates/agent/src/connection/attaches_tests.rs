use std::time::{Duration, Instant};

use mtls::{Shown, Signer};
use proto::{agent::ExecutionKey, types::ScriptResult};

use super::*;
use crate::connection::test_certificates::certificates;

const WORKER: &str = "graywave://role/worker/w";

fn desktop() -> Desktop {
    let texts = ("p".to_owned(), "d".to_owned(), "a".to_owned());
    Desktop { project_id: texts.0, desktop_id: texts.1, agent_id: texts.2, ..Desktop::default() }
}

fn sign(attaches: &Attaches) -> SignedAttach {
    attaches.sign(desktop(), &WORKER.parse().unwrap()).unwrap()
}

fn statement(attach: &SignedAttach) -> AttachStatement {
    AttachStatement::decode(attach.statement.as_slice()).unwrap()
}

/// Answers an attach as a scheduler does; returns the answer and the scheduler's key.
fn answer(signer: &Signer, attach: &SignedAttach) -> (Session, SessionKey) {
    let offer = SessionOffer::generate().unwrap();
    let session = Session {
        attach_sha256: session_signing::attach_sha256(attach).to_vec(),
        public_key: offer.public_key().to_vec(),
        ..Session::default()
    };
    let sender = Sender { project_id: "p", desktop_id: "d", agent_id: "a" };
    let context = session_signing::key_context(&session, sender);
    let key = offer.agree(&statement(attach).public_key, &context).unwrap();
    let Shown { certificate, signature } = signer.sign(&session_signing::session_message(&session)).unwrap();
    (Session { certificate, signature, ..session }, key)
}

fn result() -> OrderResult {
    let script = ScriptResult { outcome: "SUCCESS".into(), exit_code: Some(0), ..ScriptResult::default() };
    let key = ExecutionKey { task_id: "t".into(), ordinal: 1, attempt: 1 };
    OrderResult { key: Some(key), scripts: vec![script], ..OrderResult::default() }
}

fn authenticator(attaches: &Attaches) -> Option<Authenticator> {
    match attaches.authenticated(Message::Result(result())) {
        Message::Result(result) => result.authenticator,
        other => panic!("{other:?}"),
    }
}

fn message() -> Vec<u8> {
    let sender = Sender { project_id: "p", desktop_id: "d", agent_id: "a" };
    session_signing::result_message(sender, &result().key.unwrap(), &result().scripts, None)
}

#[test]
fn result_is_authenticated_with_the_key_of_the_last_answer() {
    let certificates = certificates();
    let attaches = Attaches::new(certificates.tls);
    let (first, second) = (sign(&attaches), sign(&attaches));
    assert_eq!([statement(&first).number, statement(&second).number], [1, 2]);
    assert_eq!(statement(&first).worker, WORKER);
    assert!(!attaches.has_session() && authenticator(&attaches).is_none());
    for attach in [first, second] {
        let (session, key) = answer(&certificates.signer, &attach);
        attaches.answered(&session);
        let Authenticator { key_id, mac } = authenticator(&attaches).unwrap();
        assert_eq!(key_id, session_signing::key_id(&session));
        assert!(key.is_authentic(&message(), &mac));
        // A repetition changes nothing.
        attaches.answered(&answer(&certificates.signer, &attach).0);
        assert_eq!(authenticator(&attaches).unwrap().key_id, key_id);
    }
    attaches.reset();
    assert!(!attaches.has_session());
}

#[test]
fn answer_that_no_scheduler_signed_is_ignored() {
    let certificates = certificates();
    let attaches = Attaches::new(certificates.tls.clone());
    let attach = sign(&attaches);
    let (genuine, _) = answer(&certificates.signer, &attach);
    let other_key = Session { public_key: vec![9; 32], ..genuine.clone() };
    let of_desktop = certificates.tls.prove(&session_signing::session_message(&genuine)).unwrap();
    let by_desktop = Session {
        certificate: of_desktop.chain[0].clone(),
        signature: of_desktop.signature,
        ..genuine.clone()
    };
    let other_ca = answer(&super::super::test_certificates::certificates().signer, &attach).0;
    for forged in [other_key, by_desktop, other_ca] {
        attaches.answered(&forged);
        assert!(!attaches.has_session(), "{forged:?}");
    }
    attaches.answered(&genuine);
    assert!(attaches.has_session());
}

/// Measures the mean time of a call.
fn mean(calls: u32, mut call: impl FnMut()) -> Duration {
    let begun = Instant::now();
    for _ in 0..calls {
        call();
    }
    begun.elapsed() / calls
}

#[test]
fn authentication_costs_a_fraction_of_a_signature() {
    let certificates = certificates();
    let attaches = Attaches::new(certificates.tls.clone());
    attaches.answered(&answer(&certificates.signer, &sign(&attaches)).0);
    // The smallest of several ratios: other processes use the same processors.
    let ratio = (0..5)
        .map(|_| {
            let signature = mean(200, || drop(certificates.tls.prove(&message()).unwrap()));
            let authentication = mean(2_000, || drop(authenticator(&attaches).unwrap()));
            signature.as_secs_f64() / authentication.as_secs_f64()
        })
        .fold(0.0, f64::max);
    assert!(ratio >= 4.0, "a signature costs {ratio:.1} times as much");
}
