use std::{path::Path, thread, time::Instant};

use rustix::process::Pid;

use super::*;
use crate::execution::carriers;

fn shell(content: &str) -> Script {
    Script { script_type: "SHELL".into(), content: content.into(), ..Script::default() }
}

fn terms(timeout: Duration) -> Terms {
    use std::sync::atomic::{AtomicU32, Ordering};
    static LAST: AtomicU32 = AtomicU32::new(0);
    let mark = format!("execute-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
    Terms { mark, env: vec![("GRAYWAVE_TASK_ID", "t-1".into())], timeout, success_exit_codes: vec![3010, 9] }
}

const LONG: Duration = Duration::from_secs(60);

fn prepared(content: &str, data_dir: &Path) -> Prepared {
    prepare(&shell(content), &Scratch::new(data_dir)).unwrap()
}

async fn run_for(content: &str, timeout: Duration) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let prepared = prepared(content, dir.path());
    let run_dir = prepared.dir.path().to_owned();
    let ended = execute(prepared, terms(timeout), pending(), &Drains::default()).await.unwrap();
    wait_for("the removal of the working directory", || !run_dir.exists());
    ended
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LONG, "timed out waiting for {what}");
        thread::yield_now();
    }
}

async fn run(content: &str) -> Ended {
    run_for(content, LONG).await
}

fn ended(outcome: ScriptOutcome, exit_code: Option<i32>, output: &str, reason: &str) -> Ended {
    Ended { outcome, exit_code, output: output.into(), reason: reason.into() }
}

#[tokio::test]
async fn exit_code_0_is_success_and_output_keeps_its_order() {
    let content = "echo 1; echo 2 >&2; echo 3; echo 4 >&2";
    assert_eq!(run(content).await, ended(ScriptOutcome::Success, Some(0), "1\n2\n3\n4\n", ""));
}

#[tokio::test]
async fn another_exit_code_or_a_signal_is_a_failure() {
    assert_eq!(run("echo no; exit 3").await, ended(ScriptOutcome::Failed, Some(3), "no\n", "exit code 3"));
    assert_eq!(run("kill -9 $$").await, ended(ScriptOutcome::Failed, None, "", "killed by signal 9"));
}

#[tokio::test]
async fn a_script_has_its_environment_no_input_and_a_directory_of_its_own() {
    let content = "echo $GRAYWAVE_TASK_ID ${GRAYWAVE_EXECUTION%%-*} ${PATH:+path}; cat; ls; stat -c %a . $0";
    assert_eq!(run(content).await.output, "t-1 execute path\nscript.sh\n700\n700\n");
    assert_eq!(
        run("#!/bin/cat -n\nx").await.output.split_whitespace().collect::<Vec<_>>(),
        ["1", "#!/bin/cat", "-n", "2", "x"]
    );
}

#[tokio::test]
async fn what_holds_the_output_open_is_not_waited_for() {
    let started = Instant::now();
    let content = "sleep 300 & echo $!";
    let result = run(content).await;
    assert_eq!(result.outcome, ScriptOutcome::Success);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    kill_all_of(&result.output);
}

/// Kills processes that a test's script left running.
fn kill_all_of(pids: &str) {
    for pid in pids.split_whitespace() {
        let id = Pid::from_raw(pid.parse().unwrap()).unwrap();
        rustix::process::kill_process_group(rustix::process::getpgid(Some(id)).unwrap(), Signal::KILL)
            .unwrap();
    }
}

#[tokio::test]
async fn at_the_timeout_the_whole_tree_is_killed_and_the_output_kept() {
    let content = "echo before\n\
                   setsid sleep 300 &\n\
                   (setsid sh -c 'sh -c \"sleep 300; :\" & echo $!; sleep 300') &\n\
                   trap '' TERM INT HUP\n\
                   wait";
    let terms = terms(Duration::from_millis(1500));
    let mark = terms.mark.clone();
    let dir = tempfile::tempdir().unwrap();
    let prepared = prepared(content, dir.path());
    let result = execute(prepared, terms, pending(), &Drains::default()).await.unwrap();
    assert_eq!((result.outcome, result.exit_code), (ScriptOutcome::Timeout, None));
    assert_eq!(result.reason, "still running after 1500 ms");
    let (before, deep) = result.output.trim_end().split_once('\n').unwrap();
    assert_eq!(before, "before");
    assert!(deep.parse::<u32>().is_ok(), "{deep:?}");
    assert_eq!(carriers(&mark), 0);
}

/// On this single-threaded runtime, a reader that never yields would starve the timeout.
#[tokio::test]
async fn a_script_that_never_ceases_to_write_is_timed_out_and_its_output_cut() {
    let ended = timeout(LONG, run_for("yes", Duration::from_millis(300))).await.unwrap();
    assert_eq!(ended.outcome, ScriptOutcome::Timeout);
    assert!(ended.output.contains(" bytes cut ...]\n"));
    assert!(ended.output.len() <= proto::limits::MAX_OUTPUT_BYTES);
}

#[tokio::test]
async fn a_script_that_closes_its_output_is_still_waited_for() {
    assert_eq!(run("exec >&- 2>&-; sleep 0.2; exit 7").await.exit_code, Some(7));
}

/// Runs a script until it creates the file `up` in the given directory, then halts it.
async fn run_halted(content: impl Fn(&Path) -> String, halt: Halt) -> Ended {
    let terms = terms(LONG);
    let mark = terms.mark.clone();
    let dir = tempfile::tempdir().unwrap();
    let up = dir.path().join("up");
    let prepared = prepared(&content(dir.path()), dir.path());
    let halted = async {
        while !up.exists() {
            tokio::task::yield_now().await;
        }
        halt
    };
    let ended = execute(prepared, terms, halted, &Drains::default()).await.unwrap();
    assert_eq!(carriers(&mark), 0);
    ended
}

fn with_a_daemon(dir: &Path) -> String {
    format!("trap '' TERM INT HUP; setsid sleep 300 &\necho out; : > {}/up; wait; exit 3", dir.display())
}

#[tokio::test]
async fn a_halt_kills_the_tree_and_says_whose_it_was() {
    let by_agent = run_halted(with_a_daemon, Halt::Agent).await;
    assert_eq!(by_agent, ended(ScriptOutcome::Unknown, None, "out\n", "the agent was stopped while it ran"));
    let by_request = run_halted(with_a_daemon, Halt::Request).await;
    assert_eq!(by_request, ended(ScriptOutcome::Stopped, None, "out\n", "stopped by request while it ran"));
}

#[tokio::test]
async fn what_was_over_when_it_was_to_be_stopped_keeps_its_own_end() {
    let dir = tempfile::tempdir().unwrap();
    let over = prepared("echo out; exit 3", dir.path());
    let (mut child, _pipe) = spawn(&over, &terms(LONG)).unwrap();
    // Ended but not reaped: the state is the first word after the name.
    let stat = format!("/proc/{}/stat", child.id().unwrap());
    while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
        tokio::task::yield_now().await;
    }
    assert_eq!(kill_unless_ended(&mut child).unwrap().code(), Some(3));
}

#[tokio::test]
async fn what_cannot_start_is_a_reason() {
    let reason = prepare(&shell(""), &Scratch::new(Path::new("/no/such"))).unwrap_err();
    assert!(reason.starts_with("writing the script's file failed: "), "{reason}");
    let dir = tempfile::tempdir().unwrap();
    let prepared = prepared("", dir.path());
    let terms = Terms { mark: "a\0b".into(), ..terms(LONG) };
    let reason = execute(prepared, terms, pending(), &Drains::default()).await.unwrap_err();
    assert!(reason.starts_with("starting the script failed: "), "{reason}");
}

#[tokio::test]
async fn another_exit_code_may_be_a_success() {
    for (content, outcome, exit_code) in [
        ("exit 9", ScriptOutcome::Success, 9),
        ("exit 4", ScriptOutcome::Failed, 4),
        ("exit 0", ScriptOutcome::Success, 0),
    ] {
        let ended = run(content).await;
        assert_eq!((ended.outcome, ended.exit_code), (outcome, Some(exit_code)), "{content}");
    }
}

#[tokio::test]
async fn dropped_execution_leaves_the_directory_to_the_script() {
    let dir = tempfile::tempdir().unwrap();
    let (up, go, done) = (dir.path().join("up"), dir.path().join("go"), dir.path().join("done"));
    let content = format!(
        "touch here; : > {}; until [ -e {} ]; do sleep 0.01; done; [ -e here ] && : > {}",
        up.display(),
        go.display(),
        done.display()
    );
    let prepared = prepared(&content, dir.path());
    let run_dir = prepared.dir.path().to_owned();
    {
        let drains = Drains::default();
        let mut running = Box::pin(execute(prepared, terms(LONG), pending(), &drains));
        while !up.exists() {
            assert!(timeout(Duration::from_millis(1), &mut running).await.is_err());
        }
    }
    std::fs::write(&go, "").unwrap();
    wait_for("the end of the script", || done.exists());
    assert!(run_dir.join("here").exists());
}

#[tokio::test]
async fn script_that_is_never_started_leaves_no_directory() {
    let dir = tempfile::tempdir().unwrap();
    let prepared = prepared("", dir.path());
    let run_dir = prepared.dir.path().to_owned();
    assert!(run_dir.exists());
    drop(prepared);
    wait_for("the removal of the working directory", || !run_dir.exists());
}

/// A child forked while a script's file is open for writing would keep it open: ETXTBSY.
#[tokio::test]
async fn many_scripts_at_once_can_execute_their_own_files() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(dir.path());
    // A long file takes a while to write.
    let comment = "#\n".repeat(100_000);
    let content = format!(
        "#!/bin/sh\n[ -n \"$RETRY_DELAY\" ] || RETRY_DELAY=1 exec \"$0\"\necho again; exit\n{comment}"
    );
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (scratch, script) = (Arc::clone(&scratch), shell(&content));
        running.spawn(async move {
            for _ in 0..60 {
                let (scratch, script) = (Arc::clone(&scratch), script.clone());
                let prepared = blocking(move || prepare(&script, &scratch)).await.unwrap();
                let result = execute(prepared, terms(LONG), pending(), &Drains::default()).await.unwrap();
                assert_eq!(result, ended(ScriptOutcome::Success, Some(0), "again\n", ""));
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}
