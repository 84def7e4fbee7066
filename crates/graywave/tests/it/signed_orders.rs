//! A stolen worker with a valid certificate and connected agents. It tries to run orders that no
//! scheduler signed.

use std::{fs, path::Path};

use chrono::{DateTime, Utc};
use prost::Message as _;
use proto::{
    agent::{Order, ResultAck, attach_response::Message},
    order::{BatchTerms, Signed, Signer},
    order_signing::sha256,
    types::Script,
};
use serde_json::json;

use crate::{
    cluster::{Cluster, desktop},
    harness::wait_for,
    thief::{orders, stolen},
};

fn changed(order: &Order, change: impl FnOnce(&mut Order, &mut Signed)) -> Order {
    let mut order = order.clone();
    let mut signed = order.signed.take().unwrap();
    change(&mut order, &mut signed);
    Order { signed: Some(signed), ..order }
}

fn marks(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn stolen_worker_starts_only_ordered_scripts_and_once() {
    let cluster = Cluster::start_with_tls();
    let (mut thief, _agents, mut sessions) = stolen(&cluster);
    let path = cluster.directory.path().join("marks");
    let leaves =
        |word: &str| format!("echo {word} $GRAYWAVE_DESKTOP_ID $GRAYWAVE_WAVE >> {}", path.display());
    let task = cluster.api.run(&leaves("ordered"), &[desktop(0), desktop(1)], json!({}));
    let (genuine, certificate) = orders(&thief.pull());
    assert_eq!(genuine.len(), 2);
    let evil = Script { content: leaves("evil"), script_type: "SHELL".into(), ..Script::default() };
    let own = thief.own_certificate.clone();
    let session = &mut sessions[0];
    thief.runtime.block_on(async {
        session.say(Message::Signer(Signer { certificate })).await;
        let unsigned = Order { signed: None, scripts: vec![evil.clone()], ..genuine[0].clone() };
        session.refuses(unsigned, "the order is not signed").await;
        let another_script = Order { scripts: vec![evil.clone()], ..genuine[0].clone() };
        session.refuses(another_script, "script 0 differs from the signed one").await;
        session.refuses(genuine[1].clone(), "signed for another desktop").await;
        let later = changed(&genuine[0], |_, signed| {
            let mut terms = BatchTerms::decode(signed.batch.as_slice()).unwrap();
            terms.deliver_by_unix_ms += 3_600_000;
            signed.batch = terms.encode_to_vec();
        });
        session.refuses(later, "signature is not valid").await;
        // A valid certificate of the same CA without the role signer.
        session.say(Message::Signer(Signer { certificate: own.clone() })).await;
        let by_itself = changed(&genuine[0], |_, signed| signed.certificate_sha256 = sha256(&own).to_vec());
        session.refuses(by_itself, "graywave://role/worker/thief does not have the role signer").await;
        let never_shown = changed(&genuine[0], |_, signed| signed.certificate_sha256 = vec![7; 32]);
        session.refuses(never_shown, "was not received").await;
    });
    assert_eq!(marks(&path), Vec::<String>::new());
    // Refused orders under its key do not block the genuine order. Unsigned fields beside the
    // signed ones have no effect.
    let dressed_up = Order { wave: 7, execution_timeout_ms: 1, ..genuine[0].clone() };
    let result = thief.runtime.block_on(session.order(dressed_up));
    assert_eq!(result.scripts[0].outcome, "SUCCESS", "{result:?}");
    let ran = [format!("ordered {} 1", desktop(0))];
    assert_eq!(marks(&path), ran);
    let acked = result.key.unwrap();
    assert_eq!(acked.task_id, task);
    thief.runtime.block_on(async {
        let again = session.order(genuine[0].clone()).await;
        assert_eq!(again.scripts[0].outcome, "SUCCESS");
        session.say(Message::Ack(ResultAck { key: Some(acked), scripts: 0 })).await;
        let again = session.order(genuine[0].clone()).await;
        assert_eq!(again.scripts[0].outcome, "SUCCESS", "the journal repeats the result after the end");
        let forged = Order { signed: None, scripts: vec![evil], ..genuine[0].clone() };
        assert_eq!(
            session.order(forged).await.scripts[0].outcome,
            "SUCCESS",
            "the forged order does not change the result"
        );
    });
    assert_eq!(marks(&path), ran, "once");
}

#[test]
fn order_withheld_by_stolen_worker_expires_at_its_deadline() {
    let cluster = Cluster::start_with_tls();
    let (mut thief, _agents, mut sessions) = stolen(&cluster);
    let path = cluster.directory.path().join("marks");
    let rollout = json!({"rollout": {"delivery_timeout_seconds": 1}});
    cluster.api.run(&format!("echo late >> {}", path.display()), &[desktop(0)], rollout);
    let (genuine, certificate) = orders(&thief.pull());
    let terms = BatchTerms::decode(genuine[0].signed.as_ref().unwrap().batch.as_slice()).unwrap();
    let deadline = DateTime::from_timestamp_millis(terms.deliver_by_unix_ms).unwrap();
    wait_for("the deadline", || (Utc::now() > deadline + chrono::TimeDelta::milliseconds(100)).then_some(()));
    thief.runtime.block_on(async {
        sessions[0].say(Message::Signer(Signer { certificate })).await;
        let kept_back = Order { deliver_by_unix_ms: i64::MAX, ..genuine[0].clone() };
        sessions[0].refuses(kept_back, "the delivery deadline passed").await;
    });
    assert_eq!(marks(&path), Vec::<String>::new());
}
