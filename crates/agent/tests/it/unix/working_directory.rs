//! Removal of a script's working directory by a whole agent.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proto::agent::Order;

use super::agent_process::{AgentHome, AgentProcess, eventually, mounts_are_permitted, names};
use crate::{
    fake_worker::{FakeWorker, Session},
    order,
};

/// Runs a script and returns its outcome and its reason.
async fn run(session: &mut Session, name: &str, content: &str) -> (String, String) {
    let content = format!("exec 2>&1; {content}");
    session.order(Order { execution_timeout_ms: 2_000, ..order(name, &[&content]) }).await;
    let script = session.result().await.scripts.into_iter().next().unwrap();
    (script.outcome, script.reason + &script.output)
}

fn precious(place: &AgentHome) -> PathBuf {
    let precious = place.dir.path().join("precious");
    fs::create_dir_all(precious.join("run-deep")).unwrap();
    fs::write(precious.join("run-deep/file"), "kept").unwrap();
    precious
}

/// A place, a worker, and a directory that must not change; `None` if this user may not mount.
async fn place_for_mounts() -> Option<(AgentHome, FakeWorker, PathBuf)> {
    if !mounts_are_permitted() {
        return None;
    }
    let place = AgentHome::new();
    let precious = precious(&place);
    Some((place, FakeWorker::start().await, precious))
}

fn is_whole(precious: &Path) -> bool {
    fs::read_to_string(precious.join("run-deep/file")).is_ok_and(|text| text == "kept")
}

/// Names in the remaining working directories.
fn left(place: &AgentHome) -> Vec<String> {
    let scripts = place.data_dir().join("scripts");
    names(&scripts).iter().flat_map(|run| names(&scripts.join(run))).collect()
}

#[tokio::test]
async fn mount_in_a_working_directory_is_left_untouched() {
    let Some((place, mut worker, precious)) = place_for_mounts().await else { return };
    let agent = place.start(&worker, ":").unwrap();
    let mut session = worker.session().await;
    let mount = format!("mkdir m d; touch d/f; mount --bind {} m", precious.display());
    let failed = run(&mut session, "mount-failed", &format!("{mount}; exit 1")).await;
    assert_eq!(failed, ("FAILED".to_owned(), "exit code 1".to_owned()));
    eventually("the removal of all but the mount", || left(&place) == ["m"] || !is_whole(&precious)).await;
    assert!(is_whole(&precious), "{}", agent.log());
    let timed_out = run(&mut session, "mount-timeout", &format!("{mount}; sleep 300")).await;
    assert_eq!(timed_out.0, "TIMEOUT");
    eventually("the removal of all but the mounts", || left(&place) == ["m", "m"]).await;
    assert!(is_whole(&precious), "{}", agent.log());
}

#[tokio::test]
async fn mount_in_a_leftover_is_left_untouched_at_the_start() {
    let Some((place, mut worker, precious)) = place_for_mounts().await else { return };
    place.shell("mkdir -p data/scripts/run-old/m; touch data/scripts/run-old/f data/scripts/other");
    let agent = place.start(&worker, "mount --bind precious data/scripts/run-old/m").unwrap();
    let mut session = worker.session().await;
    assert_eq!(run(&mut session, "leftover-mount", "true").await.0, "SUCCESS");
    let scripts = place.data_dir().join("scripts");
    eventually("the removal of all but the mount", || {
        names(&scripts) == ["other", "unremovable-run-old"] && left(&place) == ["m"]
    })
    .await;
    assert!(is_whole(&precious), "{}", agent.log());
    agent.stop();
}

#[tokio::test]
async fn mount_on_the_scripts_directory_is_left_untouched() {
    let Some((place, mut worker, precious)) = place_for_mounts().await else { return };
    place.shell("mkdir -p data/scripts");
    let agent = place.start(&worker, "mount --bind precious data/scripts").unwrap();
    let mut session = worker.session().await;
    assert_eq!(run(&mut session, "mounted-scripts", "touch here").await, ("SUCCESS".into(), String::new()));
    agent.stop();
    assert_eq!(names(&precious), ["run-deep"]);
    assert!(is_whole(&precious));
}

#[tokio::test]
async fn mount_on_the_scripts_directory_by_a_script_is_passed_by() {
    let Some((place, mut worker, precious)) = place_for_mounts().await else { return };
    let agent = place.start(&worker, ":").unwrap();
    let mut session = worker.session().await;
    let mount = format!("mount --bind {} {}/scripts", precious.display(), place.data_dir().display());
    assert_eq!(run(&mut session, "mounts", &mount).await, ("SUCCESS".into(), String::new()));
    assert_eq!(
        run(&mut session, "after-mount", "[ ! -e ../run-deep ]").await,
        ("SUCCESS".into(), String::new())
    );
    agent.stop();
    assert_eq!(names(&precious), ["run-deep"]);
    assert!(is_whole(&precious));
}

#[tokio::test]
async fn read_only_directories_are_removed_without_privileges() {
    let (place, mut worker) = (AgentHome::unprivileged(), FakeWorker::start().await);
    let Some(agent) = place.start(&worker, "") else { return };
    let mut session = worker.session().await;
    let content = "mkdir -p d e/e; touch d/f e/e/f; chmod 555 d; chmod 000 e/e; chmod 000 e; chmod 000 .";
    assert_eq!(run(&mut session, "read-only", content).await, ("SUCCESS".into(), String::new()));
    let scripts = place.data_dir().join("scripts");
    eventually("the removal", || scripts.exists() && names(&scripts).is_empty()).await;
    agent.stop();
    restarted(&place, &mut worker, "read-only-2").await;
}

/// Starts the agent and runs a script.
async fn restarted(place: &AgentHome, worker: &mut FakeWorker, name: &str) -> AgentProcess {
    let agent = place.start(worker, "").unwrap();
    let mut session = worker.session().await;
    let first = session.result().await;
    session.ack(first.key.unwrap()).await;
    assert_eq!(run(&mut session, name, "touch here").await, ("SUCCESS".into(), String::new()), "{name}");
    agent
}

#[tokio::test]
async fn read_only_leftover_does_not_keep_the_agent_from_starting() {
    let (place, mut worker) = (AgentHome::unprivileged(), FakeWorker::start().await);
    place.shell(
        "mkdir -p data/scripts/run-old/d; touch data/scripts/run-old/d/f; chmod 555 data/scripts/run-old/d",
    );
    let Some(agent) = place.start(&worker, "") else { return };
    let mut session = worker.session().await;
    assert_eq!(run(&mut session, "leftover", "true").await.0, "SUCCESS");
    let scripts = place.data_dir().join("scripts");
    eventually("the removal", || names(&scripts).is_empty()).await;
    agent.stop();
}

/// Damage that a script may do to the directories that the agent needs.
const SABOTAGE: [(&str, &str); 14] = [
    ("scripts-mode", "chmod 000 .."),
    ("scripts-gone", "rm -rf ../../scripts"),
    ("scripts-file", "cd ../..; rm -rf scripts; touch scripts"),
    ("scripts-link", "cd ../..; rm -rf scripts; ln -s /tmp scripts"),
    ("data-mode", "chmod 000 ../.."),
    ("journal-new", "mkdir -p ../../journal.new/x"),
    ("journal-mode", "chmod 000 ../../journal.log"),
    ("id-new", "mkdir -p ../../agent-id.new/x; rm ../../agent-id"),
    ("id-pipe", "rm ../../agent-id; mkfifo ../../agent-id"),
    ("id-bytes", "printf '\\377' > ../../agent-id"),
    ("count-low", "echo 0 > ../../incarnation"),
    ("count-dir", "rm ../../incarnation; mkdir ../../incarnation"),
    ("lock", "rm ../../lock; mkdir -p ../../lock/x"),
    ("attached", "rm ../../attached; mkdir -p ../../attached/x"),
];

#[tokio::test]
async fn damaged_data_directory_stops_neither_scripts_nor_start() {
    for (name, content) in SABOTAGE {
        let (place, mut worker) = (AgentHome::unprivileged(), FakeWorker::start().await);
        let Some(agent) = place.start(&worker, "") else { return };
        let mut session = worker.session().await;
        assert_eq!(run(&mut session, name, content).await, ("SUCCESS".into(), String::new()), "{name}");
        let next = format!("{name}-next");
        assert_eq!(run(&mut session, &next, "touch here").await, ("SUCCESS".into(), String::new()), "{name}");
        agent.stop();
        drop(session);
        let agent = place.start(&worker, "").unwrap();
        let mut session = worker.session().await;
        for _ in 0..2 {
            let earlier = session.result().await;
            session.ack(earlier.key.unwrap()).await;
        }
        let last = format!("{name}-last");
        assert_eq!(run(&mut session, &last, "touch here").await, ("SUCCESS".into(), String::new()), "{name}");
        agent.stop();
    }
}
