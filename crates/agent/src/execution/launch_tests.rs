use std::{
    future::pending,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use proto::types::Script;

use super::*;
use crate::{
    blocking::blocking,
    execution::{Finish, Runs, Terms, prepare},
    scratch::Scratch,
};

/// Data directory with a runner for its scripts.
pub(super) struct Rig {
    pub(super) dir: tempfile::TempDir,
    pub(super) scratch: Arc<Scratch>,
    pub(super) runs: Runs,
}

pub(super) fn rig() -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let (scratch, runs) = (Scratch::new(dir.path()), Runs::new(dir.path()));
    Rig { dir, scratch, runs }
}

fn script(content: &str) -> Script {
    let script_type = if cfg!(windows) { "BAT" } else { "SHELL" };
    Script { script_type: script_type.into(), content: content.into(), ..Script::default() }
}

pub(super) fn terms() -> Terms {
    static LAST: AtomicU32 = AtomicU32::new(0);
    Terms {
        id: format!("launch-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed)),
        env: vec![("GRAYWAVE_TASK_ID".into(), "t-1".into())],
        timeout: Duration::from_secs(60),
        run_as_user: None,
        powershell: None,
        kill_left_processes: false,
    }
}

impl Rig {
    pub(super) async fn prepare(&self, content: &str, terms: Terms) -> Result<Prepared, String> {
        let (scratch, runs, script) = (Arc::clone(&self.scratch), self.runs.clone(), script(content));
        blocking(move || prepare(&script, &[], terms, &scratch, &runs)).await
    }
}

#[tokio::test]
async fn runner_without_a_specification_starts_nothing() {
    let rig = rig();
    let prepared = rig.prepare("true", terms()).await.unwrap();
    std::fs::remove_file(prepared.run_dir.file(runner::Files::SPEC)).unwrap();
    let mut supervised = launch(prepared, &RunnerProgram::of_tests()).unwrap();
    let finish = supervised.finish(pending(), pending()).await;
    let Finish::NeverStarted(cause) = finish else { panic!("{finish:?}") };
    assert!(cause.contains("os error 2"), "{cause}");
}

#[tokio::test]
async fn unusable_data_directory_is_a_reason() {
    let (scratch, runs) = (Scratch::new(Path::new("/no/such")), Runs::new(Path::new("/no/such")));
    let reason = prepare(&script(""), &[], terms(), &scratch, &runs).unwrap_err();
    assert!(reason.starts_with("writing the script's files failed: "), "{reason}");
}

#[tokio::test]
async fn missing_runner_is_a_reason() {
    let rig = rig();
    let prepared = rig.prepare("true", terms()).await.unwrap();
    let reason = launch(prepared, &RunnerProgram::contained(Path::new("/no/such"))).unwrap_err();
    assert!(reason.starts_with("starting the runner /no/such failed: "), "{reason}");
}

#[tokio::test]
async fn unstarted_script_leaves_no_working_directory() {
    let rig = rig();
    drop(rig.prepare("", terms()).await.unwrap());
    rig.scratch.idle().await;
    assert_eq!(std::fs::read_dir(rig.dir.path().join("scripts")).unwrap().count(), 0);
}
