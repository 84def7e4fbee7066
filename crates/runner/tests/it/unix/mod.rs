//! Shell scripts on Linux.

mod containment;
mod live_output;
mod mount_namespace;

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt as _, net::UnixStream},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use runner::{ENDED, End, Ended, Files, RunDir, RunState, STOP, Spec};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

/// Execution with its run directory.
struct Execution {
    _dir: TempDir,
    run_dir: RunDir,
    spec: Spec,
}

/// Runner of an execution. Dropping this kills it.
struct Running {
    child: Child,
    control: UnixStream,
}

fn execution(name: &str, script: &str) -> Execution {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = RunDir::new(dir.path().to_owned());
    let work_dir = dir.path().join("work");
    fs::create_dir(&work_dir).unwrap();
    fs::write(run_dir.file("script.sh"), script).unwrap();
    fs::set_permissions(run_dir.file("script.sh"), fs::Permissions::from_mode(0o700)).unwrap();
    let spec = Spec {
        // Unique on this machine: the mark of one test must not be found by another one.
        id: format!("{name}-{}", std::process::id()),
        program: "/bin/sh".into(),
        args: Vec::new(),
        raw_args: None,
        script_file: run_dir.file("script.sh"),
        work_dir,
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        timeout_ms: 30_000,
        user: None,
        kill_left_processes: false,
        output_head_bytes: 1_000,
        output_tail_bytes: 1_000,
    };
    Execution { _dir: dir, run_dir, spec }
}

impl Execution {
    fn start(&self) -> Running {
        self.run_dir.write_spec(&self.spec).unwrap();
        self.start_again()
    }

    fn start_again(&self) -> Running {
        let (control, passed) = UnixStream::pair().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_graywave-runner"))
            .arg(self.run_dir.path())
            .stdin(OwnedFd::from(passed))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        control.set_read_timeout(Some(SOON)).unwrap();
        Running { child, control }
    }

    fn run(&self) -> Ended {
        let mut running = self.start();
        running.wait_for_end();
        self.run_dir.result().unwrap()
    }

    fn work(&self, name: &str) -> PathBuf {
        self.spec.work_dir.join(name)
    }

    fn ended(&self) -> Ended {
        let RunState::Ended(ended) = self.run_dir.state().unwrap() else { panic!("no result") };
        ended
    }
}

impl Running {
    fn wait_for_end(&mut self) {
        let mut byte = [0];
        self.control.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [ENDED]);
    }

    fn send(&mut self, byte: u8) {
        self.control.write_all(&[byte]).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < SOON, "timed out waiting for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn exit_code_and_output_are_the_result() {
    let ended = execution("exit", "echo out; echo err >&2; pwd; exit 3").run();
    assert_eq!(ended.end, End::Exited { code: 3 });
    assert!(ended.output.starts_with("out\nerr\n/") && ended.output.ends_with("/work\n"), "{ended:?}");
    assert_eq!(ended.left_processes, []);
}

#[test]
fn environment_is_the_given_one_alone() {
    let ended = execution("env", "env | sort").run();
    let names: Vec<_> =
        ended.output.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert_eq!(names, ["GRAYWAVE_EXECUTION", "PATH", "PWD"]);
}

#[test]
fn script_has_no_terminal_and_empty_input() {
    let ended = execution("tty", "cat; (: > /dev/tty) 2>/dev/null || echo none; umask").run();
    assert_eq!(ended.output, "none\n0022\n");
}

#[test]
fn script_may_execute_its_own_file() {
    let ended = execution("again", "#!/bin/sh\n[ -n \"$AGAIN\" ] || AGAIN=1 exec \"$0\"\necho again").run();
    assert_eq!((ended.end, ended.output.as_str()), (End::Exited { code: 0 }, "again\n"));
}

#[test]
fn signal_of_the_script_is_the_result() {
    assert_eq!(execution("signal", "kill -9 $$").run().end, End::Signaled { signal: 9 });
}

#[test]
fn missing_interpreter_is_not_started() {
    let mut execution = execution("missing", "");
    execution.spec.program = "/nonexistent/sh".into();
    assert!(matches!(execution.run().end, End::NotStarted { .. }));
}

#[test]
fn script_is_killed_with_its_processes_at_the_timeout() {
    let mut execution = execution("timeout", "echo before; setsid sleep 300 & sleep 300");
    execution.spec.timeout_ms = 200;
    let ended = execution.run();
    assert_eq!((ended.end, ended.output.as_str()), (End::TimedOut, "before\n"));
    assert!(ended.elapsed_ms >= 200 && ended.left_processes.is_empty());
}

#[test]
fn endless_output_does_not_delay_the_timeout() {
    let mut execution = execution("endless", "yes");
    execution.spec.timeout_ms = 200;
    let ended = execution.run();
    assert_eq!(ended.end, End::TimedOut);
    assert!(ended.output.len() < 2_200 && ended.output.contains(" bytes cut ...]"), "{}", ended.output.len());
}

#[test]
fn stop_request_ends_the_script() {
    let execution = execution("stop", "touch begun; sleep 300");
    let mut running = execution.start();
    eventually("the script", || execution.work("begun").exists());
    running.send(STOP);
    running.wait_for_end();
    assert_eq!(execution.ended().end, End::Stopped);
}

#[test]
fn socket_stop_request_reaches_a_runner_without_its_agent() {
    let execution = execution("socket", "touch begun; sleep 300");
    let running = execution.start();
    eventually("the script", || execution.work("begun").exists());
    running.control.shutdown(std::net::Shutdown::Both).unwrap();
    let mut control = UnixStream::connect(execution.run_dir.file(Files::SOCKET)).unwrap();
    control.set_read_timeout(Some(SOON)).unwrap();
    control.write_all(&[STOP]).unwrap();
    let mut byte = [0];
    control.read_exact(&mut byte).unwrap();
    assert_eq!((byte, execution.ended().end), ([ENDED], End::Stopped));
}

#[test]
fn run_that_was_claimed_is_never_started_again() {
    let execution = execution("twice", "echo run >> starts");
    let mut running = execution.start();
    running.wait_for_end();
    drop(running);
    fs::remove_file(execution.run_dir.file(Files::RESULT)).unwrap();
    let mut late = execution.start_again();
    assert!(!late.child.wait().unwrap().success());
    assert_eq!(fs::read_to_string(execution.work("starts")).unwrap(), "run\n");
    assert!(matches!(execution.run_dir.state().unwrap(), RunState::Interrupted(Some(_))));
}

#[test]
fn second_runner_leaves_the_first_alone() {
    let execution = execution("second", "touch begun; sleep 300");
    let mut running = execution.start();
    eventually("the script", || execution.work("begun").exists());
    let mut second = execution.start_again();
    assert!(!second.child.wait().unwrap().success());
    assert!(execution.run_dir.error().unwrap().contains("another runner"));
    assert!(matches!(execution.run_dir.state().unwrap(), RunState::Running));
    running.send(STOP);
    running.wait_for_end();
}

#[test]
fn killed_runner_leaves_an_interrupted_run() {
    let execution = execution("killed", "touch begun; sleep 300 & sleep 300");
    let running = execution.start();
    eventually("the script", || execution.work("begun").exists());
    drop(running);
    let RunState::Interrupted(Some(claim)) = execution.run_dir.state().unwrap() else { panic!() };
    let survivors = runner::kill_processes(&execution.spec.id, claim.cgroup.as_deref());
    assert_eq!(survivors, []);
}

#[test]
fn termination_of_the_runner_is_a_stop_of_the_machine() {
    let execution = execution("machine", "touch begun; sleep 300");
    let mut running = execution.start();
    eventually("the script", || execution.work("begun").exists());
    running.signal(Signal::TERM);
    running.wait_for_end();
    assert_eq!(execution.ended().end, End::MachineStopped);
}

#[test]
fn script_that_was_terminated_with_the_machine_did_not_fail() {
    let execution = execution("both", "touch begun; kill -TERM $PPID; kill -TERM $$; sleep 300");
    let mut running = execution.start();
    running.wait_for_end();
    assert_eq!(execution.ended().end, End::MachineStopped);
}

#[test]
fn shell_exit_code_of_a_signal_alone_is_an_exit_code() {
    assert_eq!(execution("code", "exit 143").run().end, End::Exited { code: 143 });
}

#[test]
fn runner_has_at_most_1_5_mib_of_its_own() {
    let execution = execution("small", "touch begun; sleep 300");
    let mut running = execution.start();
    eventually("the script", || execution.work("begun").exists());
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", running.child.id())).unwrap();
    let kib = |name: &str| -> u64 {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    // Clean pages of the binary are shared with other runners.
    assert!(kib("Private_Dirty:") <= 1_536, "{rollup}");
    running.send(STOP);
    running.wait_for_end();
}

/// Whether a command succeeds on this machine.
fn succeeds(program: &str, arguments: &[&str]) -> io::Result<bool> {
    let status =
        Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(status.success())
}
