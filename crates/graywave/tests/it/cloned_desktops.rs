//! Copies of a data directory: cloned machines and restored images. The truth is in a file that
//! scripts write.

use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::{
    cluster::{Cluster, desktop},
    harness::{Process, wait_for},
};

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn wait_for_log(cluster: &Cluster, name: &str, text: &str) {
    wait_for(text, || fs::read_to_string(cluster.log(name)).ok()?.contains(text).then_some(()));
}

/// Starts an agent once, so that its data directory exists, and stops it.
fn prepared(cluster: &mut Cluster) -> (Vec<String>, std::path::PathBuf) {
    let desktops = cluster.add_agents(1);
    assert!(cluster.agents[0].stop().success());
    (desktops, cluster.directory.path().join(desktop(0)))
}

#[test]
fn clone_of_a_connected_agent_starts_nothing() {
    let mut cluster = Cluster::start();
    let (desktops, original) = prepared(&mut cluster);
    copy(&original, &cluster.directory.path().join("clone"));
    let mut first = cluster.agent_over(0, &desktop(0), 0);
    wait_for_log(&cluster, &desktop(0), "attached");
    // One clone at the same worker, and one at another.
    copy(&cluster.directory.path().join("clone"), &cluster.directory.path().join("other"));
    let other = cluster.agent_over(0, "other", 0);
    let mut clone = cluster.agent_over(0, "clone", 1);
    for name in ["clone", "other"] {
        wait_for_log(&cluster, name, "another machine is connected as this desktop");
    }
    wait_for_log(&cluster, &desktop(0), "another machine claims this desktop");
    wait_for_log(&cluster, "scheduler", "another machine is connected as this desktop");

    let marks = cluster.directory.path().join("marks");
    for number in 1..=3 {
        let task = cluster.api.run(&format!("echo >> {}", marks.display()), &desktops, json!({}));
        assert_eq!(cluster.api.ended(&task)["status"], "SUCCESS");
        assert_eq!(lines(&marks), number);
    }
    let log = fs::read_to_string(cluster.log(&desktop(0))).unwrap();
    assert_eq!(log.matches("attached").count(), 1, "the first agent stays: {log}");

    // When the first machine is gone, another one takes its place, with an identity of its own.
    drop(other);
    assert!(first.stop().success());
    wait_for_log(&cluster, "clone", "created a new agent id");
    let task = cluster.api.run(&format!("echo >> {}", marks.display()), &desktops, json!({}));
    assert_eq!(cluster.api.ended(&task)["status"], "SUCCESS");
    assert!(clone.stop().success());
}

#[test]
fn restored_image_starts_nothing_twice() {
    let mut cluster = Cluster::start();
    let (desktops, place) = prepared(&mut cluster);
    let image = cluster.directory.path().join("image");
    copy(&place, &image);
    let start = |cluster: &Cluster| -> Process { cluster.agent_over(0, &desktop(0), 0) };
    let mut agent = start(&cluster);
    let marks = cluster.directory.path().join("marks");
    let command = format!("echo started >> {}; sleep 40", marks.display());
    let task = cluster.api.run(&command, &desktops, json!({}));
    wait_for("the start", || (lines(&marks) == 1).then_some(()));
    agent.kill();
    fs::remove_dir_all(&place).unwrap();
    copy(&image, &place);
    let mut agent = start(&cluster);
    assert_eq!(cluster.api.ended(&task)["status"], "FAILED");
    assert_eq!(cluster.api.records(&task)[0]["result_code"], "UNKNOWN");
    wait_for_log(&cluster, &desktop(0), "created a new agent id");
    assert_eq!(lines(&marks), 1, "one start");
    let next = cluster.api.run("true", &desktops, json!({}));
    assert_eq!(cluster.api.ended(&next)["status"], "SUCCESS");
    assert!(agent.stop().success());
}
