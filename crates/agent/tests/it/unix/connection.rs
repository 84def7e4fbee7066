//! Messages on a connection beside orders and results.

use std::fs;

use proto::agent::attach_request;
use tonic::Status;

use crate::{fake_worker::FakeWorker, key, order, start};

#[tokio::test]
async fn long_script_is_reported_as_started_once() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    session.order(order("long", &["true", "sleep 3.5"])).await;
    let attach_request::Message::Started(started) = session.request().await else {
        panic!("the start must come before the result")
    };
    let script = &started.scripts[0];
    assert_eq!((script.key.as_ref(), script.script), (Some(&key("long")), 1));
    assert!(script.started_at_unix_ms > 0);
    let result = session.request().await;
    assert!(matches!(result, attach_request::Message::Result(_)), "reported twice: {result:?}");
    agent.stop().await;
}

#[tokio::test]
async fn agent_with_an_outdated_identity_makes_a_new_one() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let session = worker.session().await;
    let first = session.desktop.clone();
    assert_eq!((first.incarnation, first.run_id.len()), (1, 16));
    session.refuse(Status::aborted("the identity is outdated")).await;
    let second = worker.session().await.desktop.clone();
    assert_ne!(second.agent_id, first.agent_id);
    assert_eq!(second.run_id, first.run_id);
    let stored = fs::read_to_string(dir.path().join("agent-id")).unwrap();
    assert_eq!(stored.trim_end(), second.agent_id);
    agent.stop().await;
}
