//! Shell scripts on Linux.

mod agent_process;
mod connection;
mod documented;
mod live_output;
mod restart;
mod script_process;
mod working_directory;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use agent::Config;
use proto::agent::Order;
use tempfile::TempDir;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

use crate::{
    fake_worker::{FakeWorker, NOW_UNIX_MS, soon},
    key, order, runner, start,
};

fn fifo(dir: &TempDir, name: &str) -> PathBuf {
    let path = dir.path().join(name);
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// Returns when the fifo has been written to.
async fn written(fifo: &Path) {
    let receiver = pipe::OpenOptions::new().read_write(true).open_receiver(fifo).unwrap();
    soon(receiver.readable()).await.unwrap();
}

#[tokio::test]
async fn executed_order_is_not_reported_again_after_its_ack() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    assert_eq!((session.desktop.project_id.as_str(), session.desktop.desktop_id.as_str()), ("p1", "d1"));
    assert_eq!(session.desktop.os_type, "Linux");
    session.order(order("a", &["echo hello"])).await;
    let result = session.result().await;
    assert_eq!(result.key, Some(key("a")));
    let script = result.scripts.first().unwrap();
    assert_eq!((script.outcome.as_str(), script.output.as_str()), ("SUCCESS", "hello\n"));
    assert!(script.started_at_unix_ms <= script.ended_at_unix_ms);
    let since = script.started_at_unix_ms - NOW_UNIX_MS;
    assert!((0..60_000).contains(&since), "times are based on the worker's time: {since}");
    assert_eq!(session.desktop.agent_id.len(), 32);
    session.ack(key("a")).await;
    session.order(order("a2", &["true"])).await;
    assert_eq!(session.result().await.key, Some(key("a2")));
    drop(session);
    // Only the unacknowledged order is sent again; the next result is new.
    let mut session = worker.session().await;
    assert_eq!(session.result().await.key, Some(key("a2")));
    session.order(order("a3", &["true"])).await;
    assert_eq!(session.result().await.key, Some(key("a3")));
    agent.stop().await;
}

#[tokio::test]
async fn unacknowledged_results_keep_their_order_over_restarts() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let names = ["w1", "w2", "w3"];
    let mut agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    let mut outputs = Vec::new();
    for name in names {
        session.order(order(name, &["echo $GRAYWAVE_TASK_ID; date +%N"])).await;
        outputs.push(session.result().await.scripts);
    }
    for _ in 0..2 {
        drop(session);
        agent.stop().await;
        agent = start(&worker, dir.path());
        session = worker.session().await;
        for (name, output) in names.iter().zip(&outputs) {
            let again = session.result().await;
            assert_eq!((again.key, &again.scripts), (Some(key(name)), output), "the result is identical");
        }
    }
    for name in names {
        session.ack(key(name)).await;
    }
    session.order(order("w4", &["true"])).await;
    assert_eq!(session.result().await.key, Some(key("w4")));
    drop(session);
    agent.stop().await;
    let agent = start(&worker, dir.path());
    assert_eq!(
        worker.session().await.result().await.key,
        Some(key("w4")),
        "acknowledged results are not sent again"
    );
    agent.stop().await;
}

#[tokio::test]
async fn a_duplicate_is_answered_from_the_journal() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let starts = dir.path().join("starts");
    let content = format!("echo x >> {}; echo out", starts.display());
    let agent = start(&worker, &dir.path().join("data"));
    let mut session = worker.session().await;
    session.order(order("b", &[&content])).await;
    let first = session.result().await;
    session.order(order("b", &[&content])).await;
    assert_eq!(session.result().await, first);
    session.ack(key("b")).await;
    session.order(order("b", &[&content])).await;
    let after_ack = session.result().await;
    assert_eq!(after_ack.scripts.first().unwrap().outcome, "SUCCESS");
    agent.stop().await;
    // A restarted agent knows the order too.
    let agent = start(&worker, &dir.path().join("data"));
    let mut session = worker.session().await;
    session.order(order("b", &[&content])).await;
    assert_eq!(session.result().await, after_ack);
    assert_eq!(fs::read_to_string(&starts).unwrap(), "x\n");
    agent.stop().await;
}

#[tokio::test]
async fn disconnected_script_runs_on_and_resends_until_acked() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let (up, go) = (fifo(&dir, "up"), fifo(&dir, "go"));
    let agent = start(&worker, &dir.path().join("data"));
    let session = worker.session().await;
    let content = format!("echo > {}; cat {}", up.display(), go.display());
    session.order(order("c", &[&content])).await;
    written(&up).await;
    drop(session);
    soon(tokio::task::spawn_blocking(move || fs::write(go, "gone on"))).await.unwrap().unwrap();
    for _ in 0..3 {
        let result = worker.session().await.result().await;
        assert_eq!(result.scripts.first().unwrap().output, "gone on");
    }
    agent.stop().await;
}

#[tokio::test]
async fn script_outlives_an_agent_that_died_in_mid_run() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let (up, go, starts) = (fifo(&dir, "up"), fifo(&dir, "go"), dir.path().join("starts"));
    let content = format!("echo x >> {}; echo > {}; cat {}", starts.display(), up.display(), go.display());
    let scripts = ["true", content.as_str(), "exit 3"];
    let first = start(&worker, &dir.path().join("data"));
    let session = worker.session().await;
    session.order(order("d", &scripts)).await;
    written(&up).await;
    first.running.abort();
    assert!(soon(first.running).await.unwrap_err().is_cancelled());
    drop(session);
    let second = start(&worker, &dir.path().join("data"));
    let mut session = worker.session().await;
    // A repeated order starts nothing.
    session.order(order("d", &scripts)).await;
    soon(tokio::task::spawn_blocking(move || fs::write(go, "went on"))).await.unwrap().unwrap();
    let result = session.result().await;
    let rows: Vec<_> =
        result.scripts.iter().map(|script| (script.outcome.as_str(), script.output.as_str())).collect();
    assert_eq!(rows, [("SUCCESS", ""), ("SUCCESS", "went on"), ("FAILED", "")]);
    assert_eq!(fs::read_to_string(&starts).unwrap(), "x\n");
    second.stop().await;
}

#[tokio::test]
async fn after_a_failure_the_rest_is_skipped() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    session.order(order("e", &["exit 3", "echo no"])).await;
    let result = session.result().await;
    let rows: Vec<_> = result
        .scripts
        .iter()
        .map(|script| {
            (script.script, script.outcome.as_str(), script.exit_code, script.started_at_unix_ms > 0)
        })
        .collect();
    assert_eq!(rows, [(0, "FAILED", Some(3), true), (1, "SKIPPED", None, false)]);
    agent.stop().await;
}

#[tokio::test]
async fn a_stop_ends_an_order_on_whatever_connection_it_comes() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let up = fifo(&dir, "up");
    let agent = start(&worker, &dir.path().join("data"));
    let session = worker.session().await;
    let content = format!("echo out; echo > {}; sleep 300", up.display());
    session.order(Order { first_script: 1, ..order("f", &["exit 1", &content, "true"]) }).await;
    written(&up).await;
    drop(session);
    let mut session = worker.session().await;
    for _ in 0..3 {
        session.stop(key("f"), 0).await;
    }
    let result = session.result().await;
    assert_eq!(result.key, Some(key("f")));
    let rows: Vec<_> = result
        .scripts
        .iter()
        .map(|script| (script.outcome.as_str(), script.output.as_str(), script.started_at_unix_ms > 0))
        .collect();
    assert_eq!(rows, [("SUCCESS", "", false), ("STOPPED", "out\n", true), ("SKIPPED", "", false)]);
    // Stops of ended or unknown orders are not answered; the next result belongs to the next order.
    session.stop(key("f"), 0).await;
    session.stop(key("nobody's"), 0).await;
    session.order(order("g", &["true"])).await;
    assert_eq!(session.result().await.key, Some(key("g")));
    agent.stop().await;
}

#[tokio::test]
async fn what_cannot_work_is_said_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let desktop = agent::this_machine("p1".to_owned(), "d1".to_owned());
    for urls in [vec![], vec!["not a url".to_owned()], vec!["host".to_owned()]] {
        let config = Config::new(urls, desktop.clone(), dir.path().to_owned(), runner());
        let error = Box::pin(agent::run(config, CancellationToken::new())).await.unwrap_err();
        assert!(matches!(error, agent::Error::Config(_)), "{error}");
    }
}

/// Starts an agent, runs one script, stops the agent, and returns the agent's id.
async fn life(worker: &mut FakeWorker, data_dir: &Path, name: &str, content: &str) -> String {
    let agent = start(worker, data_dir);
    let mut session = worker.session().await;
    let agent_id = session.desktop.agent_id.clone();
    session.order(order(name, &[content])).await;
    // A result of the previous run may come first.
    while session.result().await.key != Some(key(name)) {}
    agent.stop().await;
    agent_id
}

#[tokio::test]
async fn agent_that_lost_its_journal_gets_a_new_id() {
    let lost = [
        ("rm", "rm ../../journal.log"),
        ("mv", "mv ../../journal.log ../../other"),
        ("dir", "rm ../../journal.log; mkdir ../../journal.log"),
        ("fifo", "rm ../../journal.log; mkfifo ../../journal.log"),
        ("link", "rm ../../journal.log; ln -s nowhere ../../journal.log"),
        ("empty", ": > ../../journal.log"),
        ("other", "rm ../../journal.log; echo other > ../../journal.log"),
    ];
    for (name, content) in lost {
        let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
        let id = life(&mut worker, dir.path(), &format!("{name}-1"), content).await;
        let second = life(&mut worker, dir.path(), &format!("{name}-2"), "true").await;
        assert_ne!(second, id, "{name}");
        let third = life(&mut worker, dir.path(), &format!("{name}-3"), "true").await;
        assert_eq!(third, second, "{name}: the journal is intact again");
    }
}

#[tokio::test]
async fn agent_with_a_good_journal_keeps_its_id() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let id = life(&mut worker, dir.path(), "good-1", "true").await;
    // The machine stopped while a line was being written.
    let mut log = fs::File::options().append(true).open(dir.path().join("journal.log")).unwrap();
    std::io::Write::write_all(&mut log, b"00000000 {\"eve").unwrap();
    assert_eq!(life(&mut worker, dir.path(), "good-2", "true").await, id);
}
