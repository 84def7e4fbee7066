mod never_claimed;
mod reboots;
mod retries;
mod stops;

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::Arc,
    thread,
    time::Duration,
};

use chrono::TimeDelta;
use proto::{
    ScriptOutcome,
    agent::{ExecutionKey, Order, OrderReturn},
    limits::MAX_ORDERS_PER_AGENT,
    types::{Desktop, Script},
};
use tempfile::TempDir;
use time_sync::{Clock, TimeSample};
use tokio::{net::unix::pipe, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{state::MAX_UNACKED_BYTES, *};
use crate::{
    Config, RunnerProgram,
    blocking::blocking,
    journal::{Event, Journal, Key, Record, Span, open_data_dir},
};

const SOON: Duration = Duration::from_secs(30);

struct Rig {
    dir: TempDir,
    orders: Orders,
    journal: Arc<Journal>,
    clock: Clock,
    stop: CancellationToken,
    dispatcher: JoinHandle<()>,
}

fn rig(max_parallel: usize) -> Rig {
    rig_in(tempfile::tempdir().unwrap(), max_parallel)
}

fn rig_in(dir: TempDir, max_parallel: usize) -> Rig {
    rig_with(dir, max_parallel, |_, _| {})
}

fn rig_with(dir: TempDir, max_parallel: usize, change: impl FnOnce(&mut Config, &Path)) -> Rig {
    let clock = Clock::new();
    let journal = Arc::new(open_data_dir(dir.path()).unwrap().journal);
    let desktop = Desktop { desktop_id: "d1".to_owned(), ..Desktop::default() };
    let mut config = Config::new(Vec::new(), desktop, dir.path().to_owned(), RunnerProgram::of_tests());
    config.ends_scripts = true;
    config.max_parallel = max_parallel;
    change(&mut config, dir.path());
    let stop = CancellationToken::new();
    let (orders, dispatcher, going_down) = new(&config, Arc::clone(&journal), clock.clone(), stop.clone());
    let dispatcher = tokio::spawn(async {
        tokio::join!(dispatcher.run(), going_down.run());
    });
    Rig { dir, orders, journal, clock, stop, dispatcher }
}

fn key(ordinal: u32) -> Key {
    // The mark of an execution must be unique on this machine, or one test kills the scripts of
    // another. A test's thread has the name of the test.
    let test = thread::current().name().unwrap().replace("::", "-");
    Key { task: format!("{test}-{}", process::id()), ordinal, attempt: 1 }
}

fn order(ordinal: u32, scripts: &[&str]) -> Order {
    let script = |content: &&str| Script {
        script_id: "s1".to_owned(),
        script_type: "SHELL".to_owned(),
        content: (*content).to_owned(),
    };
    Order {
        key: Some(ExecutionKey::from(key(ordinal))),
        wave: 2,
        scripts: scripts.iter().map(script).collect(),
        execution_timeout_ms: 30_000,
        ..Order::default()
    }
}

impl Rig {
    /// The next agent on the data directory of one that died.
    async fn killed(self) -> Self {
        self.killed_with(|_| {}).await
    }

    /// Like `killed`; `damage` happens while no agent runs.
    async fn killed_with(mut self, damage: impl FnOnce(&Self)) -> Self {
        self.dispatcher.abort();
        assert!((&mut self.dispatcher).await.unwrap_err().is_cancelled());
        damage(&self);
        drop((self.orders, self.journal));
        rig_in(self.dir, 1)
    }

    async fn result(&self, ordinal: u32) -> Vec<(String, String, String)> {
        self.result_of(key(ordinal)).await
    }

    async fn result_of(&self, key: Key) -> Vec<(String, String, String)> {
        let finished = async {
            loop {
                if let Some(result) = self.orders.result(key.clone()).await {
                    return result;
                }
                self.orders.finished().await;
            }
        };
        let result = timeout(SOON, finished).await.unwrap();
        result.scripts.into_iter().map(|script| (script.outcome, script.reason, script.output)).collect()
    }

    async fn run(&self, order: Order) -> Vec<(String, String, String)> {
        let ordinal = order.key.as_ref().unwrap().ordinal;
        assert_eq!(self.orders.accept(order).await, None);
        self.result(ordinal).await
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        assert!(process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }
}

fn row(outcome: &str, reason: &str, output: &str) -> (String, String, String) {
    (outcome.to_owned(), reason.to_owned(), output.to_owned())
}

/// Waits until no process has the mark of an execution.
pub(crate) async fn gone(mark: &str) {
    let wanted = format!("{}={mark}", runner::MARK).into_bytes();
    let has_mark = |entry: fs::DirEntry| {
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|shown| shown == wanted)
    };
    let started = std::time::Instant::now();
    while fs::read_dir("/proc").unwrap().flatten().any(has_mark) {
        assert!(started.elapsed() < SOON, "processes of {mark} remain");
        tokio::task::yield_now().await;
    }
}

fn returned(ordinal: u32, reason: &str, is_full: bool) -> OrderReturn {
    OrderReturn {
        key: Some(ExecutionKey::from(key(ordinal))),
        reason: reason.to_owned(),
        is_full,
        authenticator: None,
    }
}

/// Returns when the fifo has been written to.
async fn written(fifo: &Path) {
    let receiver = pipe::OpenOptions::new().read_write(true).open_receiver(fifo).unwrap();
    timeout(SOON, receiver.readable()).await.unwrap().unwrap();
}

const SKIPPED: &str = "an earlier script did not succeed";

#[tokio::test]
async fn scripts_run_in_order_up_to_the_first_that_does_not_succeed() {
    let rig = rig(4);
    let results = rig.run(order(1, &["echo one", "exit 2", "echo three"])).await;
    let wanted = [row("SUCCESS", "", "one\n"), row("FAILED", "exit code 2", ""), row("SKIPPED", SKIPPED, "")];
    assert_eq!(results, wanted);
}

#[tokio::test]
async fn a_script_is_told_what_it_runs_for() {
    let rig = rig(4);
    let content = "echo $GRAYWAVE_TASK_ID $GRAYWAVE_DESKTOP_ID $GRAYWAVE_SCRIPT_ID $GRAYWAVE_WAVE \
                   $GRAYWAVE_ATTEMPT $GRAYWAVE_EXECUTION";
    let task = key(1).task;
    let wanted = format!("{task} d1 s1 2 1 {task}-1-0-1\n");
    assert_eq!(rig.run(order(1, &[content])).await, [row("SUCCESS", "", &wanted)]);
}

#[tokio::test]
async fn after_its_deadline_an_order_does_not_start() {
    let rig = rig(4);
    let mut late = order(1, &["echo no", "echo no"]);
    late.deliver_by_unix_ms = rig.clock.now().timestamp_millis() - 1;
    let reason = "the delivery deadline passed before it could start";
    assert_eq!(rig.run(late).await, [row("REJECTED", reason, ""), row("SKIPPED", SKIPPED, "")]);
    let mut early = order(2, &["echo yes"]);
    early.deliver_by_unix_ms = rig.clock.now().timestamp_millis() + 60_000;
    assert_eq!(rig.run(early).await, [row("SUCCESS", "", "yes\n")]);
}

#[tokio::test]
async fn a_deadline_is_judged_by_the_time_that_was_told() {
    let rig = rig(4);
    let hours = |hours| rig.clock.now() + TimeDelta::hours(hours);
    let (in_an_hour, in_three) = (hours(1), hours(3));
    let asked = rig.clock.asks();
    rig.clock.answered(asked, TimeSample { now: hours(2), error: Duration::ZERO });
    let mut late = order(1, &["echo no"]);
    late.deliver_by_unix_ms = in_an_hour.timestamp_millis();
    let reason = "the delivery deadline passed before it could start";
    assert_eq!(rig.run(late).await, [row("REJECTED", reason, "")]);
    let mut early = order(2, &["echo yes"]);
    early.deliver_by_unix_ms = in_three.timestamp_millis();
    assert_eq!(rig.run(early).await, [row("SUCCESS", "", "yes\n")]);
}

#[tokio::test]
async fn order_is_given_back_while_results_are_unacknowledged() {
    let rig = rig(4);
    let result =
        Record { output: "x".repeat(MAX_UNACKED_BYTES), ..Record::bare(0, ScriptOutcome::Success, "", 1) };
    rig.journal.record(Event::Finished { key: key(1), results: vec![result], action: None });
    assert_eq!(rig.orders.accept(order(2, &["echo yes"])).await, None);
    let reason = "too many results of this desktop are unacknowledged";
    assert_eq!(rig.orders.take_returns(), [returned(2, reason, true)]);
    rig.orders.acked(key(1), 0).await;
    assert_eq!(rig.run(order(2, &["echo yes"])).await, [row("SUCCESS", "", "yes\n")]);
}

#[tokio::test]
async fn a_finished_order_is_sent_again_and_not_run_again() {
    let rig = rig(4);
    let starts = rig.dir.path().join("starts");
    let content = format!("echo x >> {}", starts.display());
    rig.run(order(1, &[&content])).await;
    assert_eq!(rig.orders.accept(order(1, &[&content])).await, Some(key(1)));
    rig.orders.acked(key(1), 0).await;
    assert!(rig.orders.unacked_after(0).await.is_empty());
    assert_eq!(rig.orders.accept(order(1, &[&content])).await, Some(key(1)));
    assert_eq!(fs::read_to_string(&starts).unwrap(), "x\n");
}

#[tokio::test]
async fn an_order_that_only_asks_starts_nothing_now_or_later() {
    let rig = rig(4);
    let mark = rig.dir.path().join("mark");
    let content = format!("echo x > {}", mark.display());
    let asks = || Order { query_only: true, ..order(1, &[&content, "true"]) };
    let reason = "the task was halted before it started";
    assert_eq!(rig.run(asks()).await, [row("SKIPPED", reason, ""), row("SKIPPED", reason, "")]);
    // A late order with the same key gets the same answer.
    assert_eq!(rig.orders.accept(order(1, &[&content, "true"])).await, Some(key(1)));
    assert!(!mark.exists());
    // An executed order is reported.
    rig.run(order(2, &["echo done"])).await;
    assert_eq!(rig.orders.accept(Order { query_only: true, ..order(2, &["echo done"]) }).await, Some(key(2)));
    assert_eq!(rig.orders.result(key(2)).await.unwrap().scripts.first().unwrap().outcome, "SUCCESS");
}

#[tokio::test]
async fn without_a_journal_nothing_starts() {
    let rig = rig(4);
    let mark = rig.dir.path().join("mark");
    let content = format!("echo x > {}", mark.display());
    rig.journal.fill_disk();
    let results = rig.run(order(1, &[&content])).await;
    let (outcome, reason, _) = results.first().unwrap();
    assert_eq!(outcome, "REJECTED");
    assert!(reason.starts_with("writing the journal failed: "), "{reason}");
    assert!(!mark.exists());
    assert_eq!(rig.run(order(2, &["echo room"])).await, [row("SUCCESS", "", "room\n")]);
}

#[tokio::test]
async fn unsupported_script_is_rejected_before_its_start_record() {
    let rig = rig(4);
    let mut bat = order(1, &["dir"]);
    bat.scripts.first_mut().unwrap().script_type = "BAT".to_owned();
    assert_eq!(rig.run(bat).await, [row("REJECTED", "BAT scripts run only on Windows", "")]);
    let log = fs::read_to_string(rig.dir.path().join("journal.log")).unwrap();
    assert!(!log.contains("started\""), "{log}");
    assert_eq!(rig.run(order(2, &[])).await, [row("REJECTED", "the order has no scripts", "")]);
}

#[tokio::test]
async fn order_beyond_the_queue_is_given_back_and_taken_later() {
    let rig = rig(1);
    let (up, go) = (rig.fifo("up"), rig.fifo("go"));
    let content = format!("echo > {}; cat {}", up.display(), go.display());
    assert_eq!(rig.orders.accept(order(0, &[&content])).await, None);
    written(&up).await;
    let waiting = u32::try_from(MAX_ORDERS_PER_AGENT).unwrap();
    for ordinal in 1..=waiting {
        assert_eq!(rig.orders.accept(order(ordinal, &["true"])).await, None);
    }
    for duplicate in [0, 1] {
        assert_eq!(rig.orders.accept(order(duplicate, &["true"])).await, None);
        assert_eq!(rig.orders.result(key(duplicate)).await, None);
    }
    assert_eq!(rig.orders.accept(order(waiting + 1, &["true"])).await, None);
    let reason = "too many orders are queued on this desktop";
    assert_eq!(rig.orders.take_returns(), [returned(waiting + 1, reason, true)]);
    blocking(move || fs::write(go, "go").unwrap()).await;
    assert_eq!(rig.result(0).await, [row("SUCCESS", "", "go")]);
    assert_eq!(rig.result(waiting).await, [row("SUCCESS", "", "")]);
    assert_eq!(rig.run(order(waiting + 1, &["true"])).await, [row("SUCCESS", "", "")]);
}

#[tokio::test]
async fn overdue_queue_is_given_back_in_order() {
    let rig = rig(1);
    let (up, go) = (rig.fifo("up"), rig.fifo("go"));
    let content = format!("echo > {}; cat {}", up.display(), go.display());
    assert_eq!(rig.orders.accept(order(0, &[&content])).await, None);
    written(&up).await;
    let now = rig.clock.now().timestamp_millis();
    for (ordinal, deliver_by_unix_ms) in [(1, now + 60_000), (2, now + 300), (3, 0)] {
        let waiting = Order { deliver_by_unix_ms, ..order(ordinal, &["echo late"]) };
        assert_eq!(rig.orders.accept(waiting).await, None);
    }
    let mut given_back = Vec::new();
    let all = async {
        while given_back.len() < 3 {
            rig.orders.finished().await;
            given_back.append(&mut rig.orders.take_returns());
        }
    };
    timeout(SOON, all).await.unwrap();
    let late = "the delivery deadline passed before it could start";
    assert_eq!(given_back, [1, 2, 3].map(|ordinal| returned(ordinal, late, false)));
    // The same order comes again.
    assert_eq!(rig.orders.accept(order(2, &["echo now"])).await, None);
    blocking(move || fs::write(go, "go").unwrap()).await;
    assert_eq!(rig.result(2).await, [row("SUCCESS", "", "now\n")]);
}

#[tokio::test]
async fn running_script_has_a_start_until_it_ends() {
    let rig = rig(1);
    let (up, go) = (rig.fifo("up"), rig.fifo("go"));
    let content = format!("echo > {}; cat {}", up.display(), go.display());
    let before = rig.clock.now().timestamp_millis();
    assert_eq!(rig.orders.accept(order(1, &["true", &content])).await, None);
    written(&up).await;
    let started = rig.orders.started_before(i64::MAX).await;
    assert!(matches!(&started[..], [(at, 1, ms)] if *at == key(1) && *ms >= before), "{started:?}");
    assert!(rig.orders.started_before(before).await.is_empty(), "only scripts that started before");
    blocking(move || fs::write(go, "go").unwrap()).await;
    rig.result(1).await;
    assert!(rig.orders.started_before(i64::MAX).await.is_empty());
}

#[tokio::test]
async fn a_stop_ends_what_runs_and_journals_it() {
    let rig = rig(4);
    let up = rig.fifo("up");
    let content = format!("echo > {}; sleep 300", up.display());
    assert_eq!(rig.orders.accept(order(1, &[&content, "true"])).await, None);
    written(&up).await;
    rig.stop.cancel();
    timeout(SOON, rig.dispatcher).await.unwrap().unwrap();
    let journal = open_data_dir(rig.dir.path()).unwrap().journal;
    let result = journal.book(|book| book.result(&key(1))).unwrap();
    let outcomes: Vec<_> = result.scripts.iter().map(|script| script.outcome.as_str()).collect();
    assert_eq!(outcomes, ["UNKNOWN", "SKIPPED"]);
    assert_eq!(result.scripts.first().unwrap().reason, "the agent was stopped while it ran");
}

#[tokio::test]
async fn a_refused_order_leaves_nothing_behind_and_the_real_one_runs() {
    let rig = rig(1);
    let refusal = rig.orders.refuse(order(1, &["true", "true"]), "not signed").await;
    let Some(Answer::Refusal(result)) = refusal else { panic!("{refusal:?}") };
    let outcomes: Vec<&str> = result.scripts.iter().map(|script| script.outcome.as_str()).collect();
    assert_eq!(outcomes, ["REJECTED", "SKIPPED"]);
    assert_eq!(rig.orders.unacked_after(0).await, [], "the refusal is not journaled");
    let ended = rig.run(order(1, &["echo ran", "true"])).await;
    assert_eq!(ended[0], row("SUCCESS", "", "ran\n"));
    // The journal now has the result and answers every later order.
    let again = rig.orders.refuse(order(1, &["true", "true"]), "not signed").await;
    assert_eq!(again, Some(Answer::FromJournal(key(1))));
}

/// Script that fills its working directory with many entries, whose removal takes a while.
const MANY_FILES: &str = "i=0; while [ $i -lt 5000 ]; do : > $i; i=$((i+1)); done";

#[tokio::test]
async fn next_script_starts_after_a_quick_removal() {
    let rig = rig(4);
    let results = rig.run(order(1, &[MANY_FILES, "ls .. | grep -c ^run-"])).await;
    assert_eq!(results, [row("SUCCESS", "", ""), row("SUCCESS", "", "1\n")]);
}

#[tokio::test]
async fn removal_is_complete_when_the_agent_has_stopped() {
    let rig = rig(4);
    let up = rig.fifo("up");
    let content = format!("{MANY_FILES}; echo > {}; sleep 300", up.display());
    assert_eq!(rig.orders.accept(order(1, &[&content])).await, None);
    written(&up).await;
    rig.stop.cancel();
    timeout(SOON, rig.dispatcher).await.unwrap().unwrap();
    assert_eq!(fs::read_dir(rig.dir.path().join("scripts")).unwrap().count(), 0);
}

#[tokio::test]
async fn order_of_an_earlier_agent_goes_on_with_its_next_script() {
    let rig = rig(1);
    let (up, go) = (rig.fifo("up"), rig.fifo("go"));
    let content = format!("echo one; echo > {}; cat {}", up.display(), go.display());
    assert_eq!(rig.orders.accept(order(1, &[&content, "echo two", "exit 4"])).await, None);
    written(&up).await;
    let rig = rig.killed().await;
    blocking(move || fs::write(go, "went on\n")).await.unwrap();
    let wanted =
        [row("SUCCESS", "", "one\nwent on\n"), row("SUCCESS", "", "two\n"), row("FAILED", "exit code 4", "")];
    assert_eq!(rig.result(1).await, wanted);
}

#[tokio::test]
async fn script_that_ended_without_its_agent_keeps_its_result() {
    let rig = rig(1);
    let (up, go) = (rig.fifo("up"), rig.fifo("go"));
    let content = format!("echo > {}; cat {}; exit 3", up.display(), go.display());
    assert_eq!(rig.orders.accept(order(1, &[&content])).await, None);
    written(&up).await;
    rig.dispatcher.abort();
    let result = rig.dir.path().join(format!("runs/{}-1-0-1/result", key(1).task));
    blocking(move || fs::write(go, "alone")).await.unwrap();
    timeout(SOON, async {
        while !result.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    drop((rig.orders, rig.journal));
    let rig = rig_in(rig.dir, 1);
    assert_eq!(rig.result(1).await, [row("FAILED", "exit code 3", "alone")]);
}

#[tokio::test]
async fn start_without_a_run_directory_is_unknown() {
    let rig = rig(1);
    rig.journal.start(key(1), 0, Span { first: 0, count: 2 }, 5).unwrap();
    // The order is lost too: the agent died before it wrote the run directory.
    let rig = rig.killed().await;
    let (outcome, reason, _) = rig.result(1).await.remove(0);
    assert_eq!(
        (outcome.as_str(), reason.as_str()),
        ("UNKNOWN", "the run directory was removed while it ran")
    );
}

#[tokio::test]
async fn result_is_kept_until_it_is_acknowledged() {
    let rig = rig(1);
    rig.run(order(1, &["true"])).await;
    let run = rig.dir.path().join(format!("runs/{}-1-0-1", key(1).task));
    assert!(run.join("result").exists());
    rig.orders.acked(key(1), 0).await;
    rig.orders.shared.scratch.idle().await;
    assert!(!run.exists());
}
