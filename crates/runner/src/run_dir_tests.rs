use super::*;
use crate::{Containment, End};

fn run_dir() -> (tempfile::TempDir, RunDir) {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = RunDir::new(dir.path().to_owned());
    (dir, run_dir)
}

fn claim() -> Claim {
    Claim { boot_id: "b".into(), cgroup: None }
}

fn ended() -> Ended {
    Ended {
        end: End::Exited { code: 3 },
        elapsed_ms: 7,
        containment: Containment::Mark,
        left_processes: Vec::new(),
        left_processes_count: 0,
        output: "two\nlines\n".into(),
    }
}

#[test]
fn free_lock_without_a_claim_never_started() {
    let (_dir, run_dir) = run_dir();
    let RunState::NeverStarted(lock) = run_dir.state().unwrap() else { panic!() };
    // A late runner finds the lock taken.
    assert!(run_dir.try_lock().unwrap().is_none());
    drop(lock);
    assert!(run_dir.try_lock().unwrap().is_some());
}

#[test]
fn late_runner_of_a_voided_run_finds_no_specification() {
    let (_dir, run_dir) = run_dir();
    fs::write(run_dir.file(Files::SPEC), "{}").unwrap();
    let RunState::NeverStarted(lock) = run_dir.state().unwrap() else { panic!() };
    run_dir.void(lock).unwrap();
    assert!(run_dir.try_lock().unwrap().is_some());
    assert_eq!(run_dir.read_spec().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn held_lock_is_running() {
    let (_dir, run_dir) = run_dir();
    let _lock = run_dir.try_lock().unwrap().unwrap();
    run_dir.claim(&claim()).unwrap();
    assert!(matches!(run_dir.state().unwrap(), RunState::Running));
}

#[test]
fn claim_without_a_result_was_interrupted() {
    let (_dir, run_dir) = run_dir();
    run_dir.claim(&claim()).unwrap();
    // A result that was never renamed may not be whole.
    fs::write(run_dir.file(Files::NEW_RESULT), "{}\n").unwrap();
    let RunState::Interrupted(found) = run_dir.state().unwrap() else { panic!() };
    assert_eq!(found, Some(claim()));
    fs::write(run_dir.file(Files::CLAIM), "").unwrap();
    assert!(matches!(run_dir.state().unwrap(), RunState::Interrupted(None)));
}

#[test]
fn claim_exists_at_most_once() {
    let (_dir, run_dir) = run_dir();
    run_dir.claim(&claim()).unwrap();
    assert_eq!(run_dir.claim(&claim()).unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[test]
fn result_wins_over_the_lock_of_a_draining_runner() {
    let (_dir, run_dir) = run_dir();
    let _lock = run_dir.try_lock().unwrap().unwrap();
    run_dir.claim(&claim()).unwrap();
    run_dir.reserve_result(100);
    run_dir.write_result(&ended()).unwrap();
    let RunState::Ended(found) = run_dir.state().unwrap() else { panic!() };
    assert_eq!(found, ended());
    assert!(!run_dir.file(Files::NEW_RESULT).exists());
}

#[test]
fn missing_directory_is_an_error() {
    let (dir, run_dir) = run_dir();
    drop(dir);
    assert_eq!(run_dir.state().unwrap_err().kind(), ErrorKind::NotFound);
}

/// No content of the files makes the agent fail.
// The harness of mutated inputs runs on the machines of developers.
#[cfg(unix)]
#[test]
fn fuzz_runner_files() {
    let (_dir, run_dir) = run_dir();
    run_dir.claim(&claim()).unwrap();
    run_dir.write_result(&ended()).unwrap();
    let read = |name: &str| fs::read(run_dir.file(name)).unwrap();
    let samples = [read(Files::CLAIM), read(Files::RESULT), b"{}\n".to_vec()];
    testkit::fuzz("runner_files", &samples, |input| {
        for name in [Files::SPEC, Files::CLAIM, Files::RESULT, Files::ERROR] {
            fs::write(run_dir.file(name), input).unwrap();
        }
        drop(run_dir.read_spec());
        drop(run_dir.state());
        drop((run_dir.result(), run_dir.error(), run_dir.claim_of_runner()));
    });
}
