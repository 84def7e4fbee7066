//! Output of scripts while they run.

use std::fs;

use super::fifo;
use crate::{fake_worker::FakeWorker, key, order, start};

#[tokio::test]
async fn output_is_sent_while_the_script_runs() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    assert!(session.desktop.live_output);
    let go = fifo(&dir, "go");
    session.order(order("live", &[&format!("echo one; cat {}; echo two", go.display())])).await;
    let first = loop {
        // Repeated, as schedulers do: the script may not run yet.
        session.watch_output(key("live"), 0).await;
        let chunk = session.output().await;
        if !chunk.content.is_empty() {
            break chunk;
        }
    };
    assert_eq!((first.key.clone().unwrap(), first.content.as_slice()), (key("live"), &b"one\n"[..]));
    assert_eq!((first.from_offset, first.offset, first.is_last), (0, 0, false));
    fs::write(go, "").unwrap();
    assert_eq!(session.output_from(4).await, b"two\n");
    agent.stop().await;
}

#[tokio::test]
async fn output_goes_on_after_a_reconnect() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    let go = fifo(&dir, "go");
    session.order(order("again", &[&format!("echo one; cat {}; echo two", go.display())])).await;
    loop {
        session.watch_output(key("again"), 0).await;
        if !session.output().await.content.is_empty() {
            break;
        }
    }
    drop(session);
    let mut session = worker.session().await;
    session.watch_output(key("again"), 2).await;
    let rest = session.output().await;
    assert_eq!((rest.offset, rest.content.as_slice()), (2, &b"e\n"[..]), "from the requested position");
    fs::write(go, "").unwrap();
    assert_eq!(session.output_from(4).await, b"two\n");
    drop(session);
    agent.stop().await;
}
