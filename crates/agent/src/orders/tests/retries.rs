//! A retry starts only when the earlier attempts of its target have ended on the desktop.

use super::*;

const ENDED: &str = "ended on the desktop while it ran, because its retry was to start";

/// Order of a task that retries the task of `order(1, ..)`.
fn retry(scripts: &[&str]) -> Order {
    let retried_task_ids = vec!["another-retry".to_owned(), key(1).task];
    Order { key: Some(retry_key().into()), retried_task_ids, ..order(0, scripts) }
}

fn retry_key() -> Key {
    Key { task: format!("{}-retry", key(1).task), ordinal: 0, attempt: 2 }
}

impl Rig {
    /// Starts the earlier attempt, which runs until it is ended.
    async fn earlier_attempt_runs(&self) {
        let up = self.fifo("up");
        let alive = self.alive();
        let content = format!("echo $$ > {}; echo > {}; sleep 300", alive.display(), up.display());
        assert_eq!(self.orders.accept(order(1, &[&content, "true"])).await, None);
        written(&up).await;
    }

    fn alive(&self) -> PathBuf {
        self.dir.path().join("alive")
    }

    /// Script that says whether the earlier attempt runs.
    fn looks(&self) -> String {
        // Empty for a process that has ended and was not waited for.
        let command = format!("/proc/$(cat {})/cmdline", self.alive().display());
        format!("if grep -q . {command} 2>/dev/null; then echo both; else echo alone; fi")
    }

    async fn retry_runs_alone(&self) {
        assert_eq!(self.orders.accept(retry(&[&self.looks()])).await, None);
        let results = self.result_of(retry_key()).await;
        assert_eq!(results[0].0, "SUCCESS", "{results:?}");
        assert!(results[0].2.ends_with("alone\n"), "{results:?}");
    }
}

#[tokio::test]
async fn retry_ends_the_running_attempt_first() {
    // With one place, the retry could not even begin to wait.
    for max_parallel in [1, 4] {
        let rig = rig(max_parallel);
        rig.earlier_attempt_runs().await;
        rig.retry_runs_alone().await;
        assert_eq!(rig.result(1).await, [row("STOPPED", ENDED, ""), row("SKIPPED", SKIPPED, "")]);
    }
}

#[tokio::test]
async fn retry_ends_an_attempt_of_an_earlier_agent() {
    let rig = rig(1);
    rig.earlier_attempt_runs().await;
    let rig = rig.killed().await;
    rig.retry_runs_alone().await;
    assert_eq!(rig.result(1).await, [row("STOPPED", ENDED, ""), row("SKIPPED", SKIPPED, "")]);
}

#[tokio::test]
async fn retry_ends_an_attempt_that_the_journal_lost() {
    let rig = rig(1);
    rig.earlier_attempt_runs().await;
    let rig = rig.killed_with(|rig| fs::remove_file(rig.dir.path().join("journal.log")).unwrap()).await;
    assert_eq!(rig.orders.result(key(1)).await, None);
    rig.retry_runs_alone().await;
}

#[tokio::test]
async fn retry_ends_an_attempt_whose_data_directory_is_lost() {
    let rig = rig(1);
    rig.earlier_attempt_runs().await;
    let alive = fs::read(rig.alive()).unwrap();
    let dir = rig.dir.path().to_owned();
    let lose = move |_: &Rig| {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                fs::remove_dir_all(entry.path()).unwrap();
            } else {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    };
    let rig = rig.killed_with(lose).await;
    fs::write(rig.alive(), alive).unwrap();
    rig.retry_runs_alone().await;
}

#[tokio::test]
async fn retry_leaves_attempts_of_other_desktops_alone() {
    let (rig, other) = (
        rig(1),
        rig_with(tempfile::tempdir().unwrap(), 1, |config, _| {
            config.desktop.desktop_id = "d2".to_owned();
        }),
    );
    let up = other.fifo("up");
    let content = format!("echo $$ > {}; echo > {}; sleep 300", rig.alive().display(), up.display());
    assert_eq!(other.orders.accept(order(2, &[&content])).await, None);
    written(&up).await;
    assert_eq!(rig.orders.accept(retry(&[&rig.looks()])).await, None);
    assert_eq!(rig.result_of(retry_key()).await, [row("SUCCESS", "", "both\n")]);
    other.orders.stop(&key(2), 0).await;
    assert_eq!(other.result(2).await[0].0, "STOPPED");
}

#[tokio::test]
async fn retry_ends_an_attempt_whose_runner_was_killed() {
    let rig = rig(1);
    rig.earlier_attempt_runs().await;
    let rig = rig
        .killed_with(|rig| {
            fs::remove_file(rig.dir.path().join("journal.log")).unwrap();
            signal_runner(&format!("{}-1-0-1", key(1).task), "KILL");
        })
        .await;
    rig.retry_runs_alone().await;
}

#[tokio::test]
async fn queued_attempt_ends_before_its_retry() {
    let rig = rig(1);
    let (up, go) = (rig.fifo("up"), rig.fifo("go"));
    let content = format!("echo > {}; cat {}", up.display(), go.display());
    assert_eq!(rig.orders.accept(order(7, &[&content])).await, None);
    written(&up).await;
    let mark = rig.dir.path().join("mark");
    let queued = Order {
        key: Some(ExecutionKey::from(Key { task: key(1).task + "-old", ..key(1) })),
        ..order(1, &[&format!("echo > {}", mark.display())])
    };
    let queued_key = Key::from(queued.key.clone().unwrap());
    assert_eq!(rig.orders.accept(queued).await, None);
    let again = Order { retried_task_ids: vec![queued_key.task.clone()], ..retry(&["true"]) };
    assert_eq!(rig.orders.accept(again).await, None);
    let stopped = row("STOPPED", "not started, because its retry was to start", "");
    assert_eq!(rig.result_of(queued_key).await, [stopped]);
    assert_eq!(rig.orders.result(key(7)).await, None, "another task goes on");
    blocking(move || fs::write(go, "").unwrap()).await;
    assert_eq!(rig.result_of(retry_key()).await, [row("SUCCESS", "", "")]);
    assert!(!mark.exists());
}

#[tokio::test]
async fn waiting_retry_can_be_stopped() {
    let rig = rig(4);
    rig.earlier_attempt_runs().await;
    // A runner that does not respond keeps the retry waiting.
    signal_runner(&format!("{}-1-0-1", key(1).task), "STOP");
    assert_eq!(rig.orders.accept(retry(&["echo no"])).await, None);
    rig.orders.stop(&retry_key(), 0).await;
    let stopped = row("STOPPED", "stopped by request before it started", "");
    assert_eq!(rig.result_of(retry_key()).await, [stopped]);
    signal_runner(&format!("{}-1-0-1", key(1).task), "CONT");
    assert_eq!(rig.result(1).await[0].0, "STOPPED");
}

#[tokio::test]
async fn ended_attempt_keeps_its_background_process() {
    let rig = rig(1);
    let daemon = format!("sleep 300 & echo $! > {}", rig.alive().display());
    assert_eq!(rig.run(order(1, &[&daemon])).await[0].0, "SUCCESS");
    assert_eq!(rig.orders.accept(retry(&[&rig.looks()])).await, None);
    assert_eq!(rig.result_of(retry_key()).await, [row("SUCCESS", "", "both\n")]);
    assert!(runner::kill_processes(&format!("{}-1-0-1", key(1).task), None).is_empty());
}

/// Sends a signal to the runner of an execution.
fn signal_runner(mark: &str, signal: &str) {
    let wanted = format!("{}={mark}", runner::MARK).into_bytes();
    let is_runner = |pid: &str| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|shown| shown == wanted)
            && command.contains(runner::RUNNER_ARGUMENT)
    };
    let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    let pids: Vec<String> =
        names.filter_map(|name| name.into_string().ok()).filter(|pid| is_runner(pid)).collect();
    assert_eq!(pids.len(), 1, "{pids:?}");
    let status = process::Command::new("kill").args([format!("-{signal}"), pids[0].clone()]).status();
    assert!(status.unwrap().success());
}
