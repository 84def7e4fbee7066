//! Batch files on Windows. A test that needs a program with a certain behaviour runs this same
//! binary as that program.

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    os::windows::io::OwnedHandle,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use runner::{ENDED, End, Ended, Files, OutputReply, OutputRequest, RunDir, RunState, STOP, Spec};
use tempfile::TempDir;
use win32::pipe::{Pipe, PipeListener};

const SOON: Duration = Duration::from_secs(120);
/// Variable with the behaviour of this binary as a program.
const ACT: &str = "GRAYWAVE_TEST_ACT";
/// Variable with the file that a program locks while it lives.
const LOCK: &str = "GRAYWAVE_TEST_LOCK";

/// Execution with its run directory.
struct Execution {
    dir: TempDir,
    run_dir: RunDir,
    spec: Spec,
}

/// Runner of an execution. Dropping this kills it.
struct Running {
    child: Child,
    control: Pipe,
}

fn execution(name: &str, script: &str) -> Execution {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = RunDir::new(dir.path().to_owned());
    let work_dir = dir.path().join("work");
    fs::create_dir(&work_dir).unwrap();
    fs::write(work_dir.join("script.bat"), script.replace('\n', "\r\n")).unwrap();
    let root = env::var("SystemRoot").unwrap();
    let variable = |name: &str, value: String| (name.to_owned(), value);
    let spec = Spec {
        id: format!("{name}-{}", std::process::id()),
        program: format!(r"{root}\System32\cmd.exe"),
        args: Vec::new(),
        raw_args: Some(r#"/d /s /c "chcp 65001>nul & .\script.bat""#.to_owned()),
        script_file: work_dir.join("script.bat"),
        work_dir,
        env: vec![
            variable("SystemRoot", root.clone()),
            variable("PATH", env::var("PATH").unwrap()),
            variable("ME", env::current_exe().unwrap().display().to_string()),
        ],
        timeout_ms: 60_000,
        user: None,
        kill_left_processes: false,
        output_head_bytes: 1_000,
        output_tail_bytes: 1_000,
    };
    Execution { dir, run_dir, spec }
}

impl Execution {
    fn start(&self) -> Running {
        self.run_dir.write_spec(&self.spec).unwrap();
        self.start_again()
    }

    fn start_again(&self) -> Running {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!(r"\\.\pipe\graywave-test-{}-{number}", std::process::id());
        let mut listener = PipeListener::bind(&name).unwrap();
        let passed = Pipe::connect(&name).unwrap();
        let control = listener.accept().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_graywave-runner"))
            .arg(self.run_dir.path())
            .stdin(OwnedHandle::from(passed))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Running { child, control }
    }

    fn run(&self) -> Ended {
        let mut running = self.start();
        running.wait_for_end();
        self.ended()
    }

    fn ended(&self) -> Ended {
        let RunState::Ended(ended) = self.run_dir.state().unwrap() else { panic!("no result") };
        ended
    }

    fn work(&self, name: &str) -> PathBuf {
        self.spec.work_dir.join(name)
    }

    /// Adds the variables of a program that this binary plays, and returns the file that it locks.
    fn acts(&mut self, act: &str) -> PathBuf {
        let lock = self.dir.path().join(format!("lock-{act}"));
        self.spec.env.push((ACT.to_owned(), act.to_owned()));
        self.spec.env.push((LOCK.to_owned(), lock.display().to_string()));
        lock
    }

    /// Connection of another agent.
    fn connect(&self) -> Pipe {
        let name = fs::read_to_string(self.run_dir.file(Files::SOCKET)).unwrap();
        eventually("an instance of the pipe", || Pipe::connect(&name).ok())
    }
}

impl Running {
    fn wait_for_end(&mut self) {
        assert_eq!(read_exact(&self.control, 1), [ENDED]);
    }

    fn wait(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn read_exact(pipe: &Pipe, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let mut part = vec![0; count - bytes.len()];
        let read = pipe.read(&mut part).unwrap();
        assert_ne!(read, 0, "the connection was closed after {bytes:?}");
        bytes.extend(&part[..read]);
    }
    bytes
}

fn reply(pipe: &Pipe) -> OutputReply {
    let header = read_exact(pipe, OutputReply::HEADER_BYTES);
    let (reply, length) = OutputReply::decode_header(&header.try_into().unwrap()).unwrap();
    OutputReply { content: read_exact(pipe, length), ..reply }
}

fn ask(pipe: &Pipe, from_offset: u64) -> OutputReply {
    pipe.write_all(&OutputRequest { from_offset }.encode()).unwrap();
    reply(pipe)
}

fn eventually<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(started.elapsed() < SOON, "timed out waiting for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn exists(path: &Path) -> Option<()> {
    path.exists().then_some(())
}

/// Whether the program that locks this file is dead.
fn is_free(lock: &Path) -> Option<()> {
    File::options().write(true).open(lock).unwrap().try_lock().ok()
}

/// What a batch file calls to run this binary as a program.
const PROGRAM: &str = r#""%ME%" --exact windows::acts_as_a_program --nocapture --test-threads=1"#;

/// Plays the program that the environment names; passes as a test otherwise.
#[test]
fn acts_as_a_program() {
    let Ok(act) = env::var(ACT) else { return };
    let lock = File::create(env::var_os(LOCK).unwrap()).unwrap();
    lock.lock().unwrap();
    match act.as_str() {
        // Ends only by a kill.
        "sleeper" => loop {
            thread::park();
        },
        // Leaves a process behind, which has neither its output nor its console.
        "parent" => {
            let mut child = Command::new(env::current_exe().unwrap());
            child.args(["--exact", "windows::acts_as_a_program"]).env(ACT, "sleeper");
            child.env(LOCK, env::var("GRAYWAVE_TEST_CHILD_LOCK").unwrap());
            child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let child_lock = env::var("GRAYWAVE_TEST_CHILD_LOCK").unwrap();
            eventually("the child", || Path::new(&child_lock).exists().then_some(()));
        }
        // Only to standard error: the other stream has messages of the test harness.
        "utf8" => std::io::stderr().write_all("grün ✓".as_bytes()).unwrap(),
        "oem" => std::io::stderr().write_all(b"gr\x81n").unwrap(),
        "utf16" => {
            let text: Vec<u8> = "grün ✓".encode_utf16().flat_map(u16::to_le_bytes).collect();
            std::io::stderr().write_all(&text).unwrap();
        }
        other => panic!("unknown act {other:?}"),
    }
}

#[test]
fn exit_code_and_output_are_the_result() {
    let ended = execution("exit", "@echo off\necho out\necho err 1>&2\ncd\nexit /b 3\n").run();
    assert_eq!(ended.end, End::Exited { code: 3 });
    let lines: Vec<&str> = ended.output.lines().map(str::trim_end).collect();
    assert_eq!(lines[..2], ["out", "err"], "{ended:?}");
    assert!(lines[2].ends_with(r"\work"), "{ended:?}");
    assert_eq!((ended.containment.as_str(), ended.left_processes.len()), ("JOB", 0));
}

#[test]
fn exit_code_has_32_bits() {
    for code in [0, 1, 3_010, 1_641, -1, -1_073_741_510] {
        let ended = execution("code", &format!("@exit /b {code}\n")).run();
        assert_eq!(ended.end, End::Exited { code }, "{ended:?}");
    }
}

#[test]
fn environment_is_the_given_one_alone() {
    let ended = execution("env", "@set\n").run();
    let value = |wanted: &str| {
        let named =
            |line: &str| line.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).is_some();
        ended.output.lines().any(named)
    };
    assert!(value("GRAYWAVE_EXECUTION") && value("PATH"), "{ended:?}");
    assert!(env::var_os("CARGO_MANIFEST_DIR").is_some() && !value("CARGO_MANIFEST_DIR"), "{ended:?}");
}

#[test]
fn missing_interpreter_is_not_started() {
    let mut execution = execution("missing", "");
    execution.spec.program = r"C:\no\such.exe".into();
    assert!(matches!(execution.run().end, End::NotStarted { .. }));
}

#[test]
fn encoding_of_a_program_is_recognised() {
    for (act, text) in [("utf8", "grün ✓"), ("oem", "grün"), ("utf16", "grün ✓")] {
        let mut execution = execution(act, &format!("@{PROGRAM} >nul\n"));
        execution.acts(act);
        assert_eq!(execution.run().output, text, "{act}");
    }
}

#[test]
fn script_is_killed_with_its_processes_at_the_timeout() {
    let mut execution = execution("timeout", &format!("@echo before\n@{PROGRAM} >nul\n"));
    let lock = execution.acts("sleeper");
    execution.spec.timeout_ms = 2_000;
    let ended = execution.run();
    assert_eq!((ended.end, ended.output.trim_end()), (End::TimedOut, "before"));
    assert!(ended.elapsed_ms >= 2_000 && ended.left_processes.is_empty());
    assert!(is_free(&lock).is_some(), "the program lives");
}

#[test]
fn endless_output_does_not_delay_the_timeout() {
    let mut execution = execution("endless", "@echo off\n:again\necho line\ngoto again\n");
    execution.spec.timeout_ms = 3_000;
    let ended = execution.run();
    assert_eq!(ended.end, End::TimedOut);
    assert!(ended.output.contains(" bytes cut ...]") && ended.elapsed_ms < 30_000, "{ended:?}");
}

#[test]
fn stop_reaches_a_runner_without_its_agent() {
    let mut execution = execution("stop", &format!("@{PROGRAM} >nul\n"));
    let lock = execution.acts("sleeper");
    let running = execution.start();
    eventually("the script", || exists(&lock));
    let control = execution.connect();
    control.write_all(&[STOP]).unwrap();
    assert_eq!(read_exact(&control, 1), [ENDED]);
    drop(running);
    assert_eq!(execution.ended().end, End::Stopped);
    assert!(is_free(&lock).is_some(), "the program lives");
}

#[test]
fn killed_runner_takes_its_script_with_it() {
    let mut execution = execution("killed", &format!("@{PROGRAM} >nul\n"));
    let lock = execution.acts("sleeper");
    let running = execution.start();
    eventually("the script", || exists(&lock));
    assert!(is_free(&lock).is_none());
    drop(running);
    eventually("the end of the program", || is_free(&lock));
    let RunState::Interrupted(Some(claim)) = execution.run_dir.state().unwrap() else { panic!() };
    assert_eq!(Some(claim.boot_id), runner::boot_id());
}

/// Execution whose script leaves a process behind, with the file that this process locks.
fn with_daemon(name: &str) -> (Execution, PathBuf) {
    let mut execution = execution(name, &format!("@{PROGRAM} >nul\n@exit /b 0\n"));
    execution.acts("parent");
    let lock = execution.dir.path().join("lock-daemon");
    let variable = ("GRAYWAVE_TEST_CHILD_LOCK".to_owned(), lock.display().to_string());
    execution.spec.env.push(variable);
    (execution, lock)
}

#[test]
fn process_that_a_script_leaves_lives_on_and_is_named() {
    let (execution, lock) = with_daemon("daemon");
    let mut running = execution.start();
    running.wait_for_end();
    let ended = execution.ended();
    assert_eq!((ended.end, ended.left_processes_count), (End::Exited { code: 0 }, 1));
    let left = &ended.left_processes[0];
    assert!(left.command.contains("it-") && !left.survived_kill, "{left:?}");
    // The process has the pipe of the output, so the runner drains that.
    drop(running);
    assert!(is_free(&lock).is_none(), "the death of the runner killed the process");
    let pid = left.pid.to_string();
    assert!(Command::new("taskkill").args(["/f", "/pid", &pid]).status().unwrap().success());
    eventually("the end of the process", || is_free(&lock));
}

#[test]
fn cleanup_kills_what_the_script_leaves() {
    let (mut execution, lock) = with_daemon("cleanup");
    execution.spec.kill_left_processes = true;
    let ended = execution.run();
    assert_eq!((ended.end, ended.left_processes_count), (End::Exited { code: 0 }, 0));
    assert!(is_free(&lock).is_some(), "the process lives");
}

#[test]
fn run_that_was_claimed_is_never_started_again() {
    let execution = execution("twice", "@echo run>>starts\n");
    let mut running = execution.start();
    running.wait_for_end();
    drop(running);
    fs::remove_file(execution.run_dir.file(Files::RESULT)).unwrap();
    let mut late = execution.start_again();
    assert!(!late.wait());
    assert_eq!(fs::read_to_string(execution.work("starts")).unwrap().trim_end(), "run");
    assert!(matches!(execution.run_dir.state().unwrap(), RunState::Interrupted(Some(_))));
}

#[test]
fn second_runner_leaves_the_first_alone() {
    let mut execution = execution("second", &format!("@{PROGRAM} >nul\n"));
    let lock = execution.acts("sleeper");
    let mut running = execution.start();
    eventually("the script", || exists(&lock));
    let mut second = execution.start_again();
    assert!(!second.wait());
    assert!(execution.run_dir.error().unwrap().contains("another runner"));
    assert!(matches!(execution.run_dir.state().unwrap(), RunState::Running));
    running.control.write_all(&[STOP]).unwrap();
    running.wait_for_end();
}

#[test]
fn output_is_read_while_the_script_runs() {
    let execution = execution("live", "@echo off\necho one\n:again\nif not exist go goto again\necho two\n");
    let mut running = execution.start();
    eventually("the pipe", || exists(&execution.run_dir.file(Files::SOCKET)));
    let live = execution.connect();
    let first = eventually("output", || Some(ask(&live, 0)).filter(|reply| reply.content.ends_with(b"\n")));
    assert_eq!((first.offset, first.content.as_slice(), first.is_last), (0, &b"one\r\n"[..], false));
    assert!(ask(&live, 5).content.is_empty());
    fs::write(execution.work("go"), "").unwrap();
    let rest = reply(&live);
    assert_eq!((rest.offset, rest.content.as_slice(), rest.is_last), (5, &b"two\r\n"[..], true));
    running.wait_for_end();
    assert_eq!(execution.ended().output, "one\r\ntwo\r\n");
}

#[test]
fn connection_without_a_reader_does_not_delay_the_result() {
    let script =
        "@echo off\nfor /l %%i in (1,1,200) do echo 0123456789\n:again\nif not exist go goto again\n";
    let execution = execution("deaf", script);
    let mut running = execution.start();
    eventually("the pipe", || exists(&execution.run_dir.file(Files::SOCKET)));
    let deaf = execution.connect();
    for _ in 0..500 {
        // The runner closes a connection that does not read.
        if deaf.write_all(&OutputRequest { from_offset: 0 }.encode()).is_err() {
            break;
        }
    }
    fs::write(execution.work("go"), "").unwrap();
    running.wait_for_end();
    assert_eq!(execution.ended().end, End::Exited { code: 0 });
}
