//! Rollouts across process crashes.

use std::{collections::HashSet, fs, path::Path};

use serde_json::json;

use crate::{cluster::Cluster, harness::wait_for};

/// Leaves a mark at its start, and ends when the gate file exists.
fn gated(marks: &Path, gate: &Path) -> String {
    let (marks, gate) = (marks.display(), gate.display());
    format!("echo $GRAYWAVE_DESKTOP_ID >> {marks}; until [ -e {gate} ]; do sleep 0.05; done")
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn killed_scheduler_loses_nothing_of_a_gray_rollout() {
    let mut cluster = Cluster::start();
    let desktops = cluster.add_agents(8);
    let marks = cluster.directory.path().join("marks");
    let command = format!("echo $GRAYWAVE_DESKTOP_ID >> {}", marks.display());
    let task = cluster.api.run(&command, &desktops, json!({"gray_count": 2}));
    assert_eq!(cluster.api.ended(&task)["success_num"], 8);
    assert_eq!(lines(&marks), 8);

    // The gray wave waits for a file. Meanwhile each scheduler is killed once and restarted.
    let gate = cluster.directory.path().join("gate");
    let command = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());
    let task = cluster.api.run(&command, &desktops, json!({"gray_count": 2}));
    wait_for("the gray wave", || {
        let records = cluster.api.records(&task);
        (records.iter().filter(|record| record["status"] == "RUNNING").count() == 2).then_some(())
    });
    cluster.schedulers[0].1.kill();
    fs::write(&gate, "").unwrap();
    assert_eq!(cluster.api.ended(&task)["success_num"], 8, "the other scheduler continues");
    cluster.schedulers[1].1.kill();
    let waiting = cluster.api.run("true", &desktops, json!({}));
    let address = cluster.schedulers[0].0.clone();
    cluster.schedulers[0].1 = cluster.scheduler(&address);
    assert_eq!(cluster.api.ended(&waiting)["success_num"], 8, "the task accepted meanwhile completes");
}

#[test]
fn a_killed_worker_costs_no_start_and_no_result() {
    let mut cluster = Cluster::start();
    let desktops = cluster.add_agents(6);
    let marks = cluster.directory.path().join("marks");
    let gate = cluster.directory.path().join("gate");
    let command = gated(&marks, &gate);
    let task = cluster.api.run(&command, &desktops, json!({}));
    wait_for("all starts", || (lines(&marks) == 6).then_some(()));
    cluster.workers[0].1.kill();
    fs::write(&gate, "").unwrap();
    let ended = cluster.api.ended(&task);
    assert_eq!((&ended["status"], &ended["success_num"]), (&json!("SUCCESS"), &json!(6)));
    assert_eq!(lines(&marks), 6, "nothing started twice");
    assert_eq!(cluster.api.connected(6).len(), 6, "its agents went to the other worker");
}

#[test]
fn draining_worker_finishes_its_scripts_and_drops_agents() {
    let mut cluster = Cluster::start();
    let desktops = cluster.add_agents(4);
    let marks = cluster.directory.path().join("marks");
    let gate = cluster.directory.path().join("gate");
    let command = gated(&marks, &gate);
    let task = cluster.api.run(&command, &desktops, json!({}));
    wait_for("all starts", || (lines(&marks) == 4).then_some(()));
    let stopping = std::thread::spawn({
        let mut process = cluster.workers.remove(0).1;
        move || process.stop()
    });
    fs::write(&gate, "").unwrap();
    assert!(stopping.join().unwrap().success(), "SIGTERM stops the worker gracefully");
    assert_eq!(cluster.api.ended(&task)["success_num"], 4);
    assert_eq!(cluster.api.connected(4).len(), 4);
    assert_eq!(lines(&marks), 4);
}

#[test]
fn rolling_restart_under_load_runs_each_script_once() {
    let mut cluster = Cluster::start();
    let desktops = cluster.add_agents(6);
    let marks = cluster.directory.path().join("marks");
    let command = format!("echo $GRAYWAVE_TASK_ID $GRAYWAVE_DESKTOP_ID >> {}; sleep 0.1", marks.display());
    let mut tasks = Vec::new();
    let mut submit = |cluster: &Cluster| {
        for _ in 0..3 {
            tasks.push(cluster.api.run(&command, &desktops, json!({"gray_count": 2})));
        }
    };
    for place in 0..2 {
        submit(&cluster);
        let address = cluster.workers[place].0.clone();
        assert!(cluster.workers[place].1.stop().success());
        cluster.workers[place].1 = cluster.worker(&address);
    }
    for place in 0..2 {
        submit(&cluster);
        let address = cluster.schedulers[place].0.clone();
        assert!(cluster.schedulers[place].1.stop().success());
        cluster.schedulers[place].1 = cluster.scheduler(&address);
    }
    submit(&cluster);
    for task in &tasks {
        let ended = cluster.api.ended(task);
        assert_eq!((&ended["status"], &ended["success_num"]), (&json!("SUCCESS"), &json!(6)));
    }
    let text = fs::read_to_string(&marks).unwrap();
    let starts: HashSet<&str> = text.lines().collect();
    assert_eq!((starts.len(), text.lines().count()), (15 * 6, 15 * 6), "each script started once");
}

#[test]
fn script_outlives_its_killed_agent_and_later_work_runs() {
    let mut cluster = Cluster::start();
    let desktops = cluster.add_agents(2);
    let (marks, go) = (cluster.directory.path().join("marks"), cluster.directory.path().join("go"));
    let command = format!(
        "echo $GRAYWAVE_DESKTOP_ID >> {}; until [ -e {} ]; do sleep 0.05; done; exit 3",
        marks.display(),
        go.display()
    );
    let task = cluster.api.run(&command, &desktops[..1], json!({}));
    wait_for("the start", || (lines(&marks) == 1).then_some(()));
    cluster.agents[0].kill();
    cluster.api.connected(1);
    // A second task for the offline desktop: a deferred target.
    let later = format!("echo later >> {}", marks.display());
    let straggling = cluster.api.run(&later, &desktops[..1], json!({}));
    assert_eq!(cluster.api.task(&straggling)["end_time"], json!(null));
    cluster.agents[0] = cluster.agent(0);
    assert_eq!(cluster.api.ended(&straggling)["status"], "SUCCESS");
    assert_eq!(cluster.api.task(&task)["end_time"], json!(null), "the script still runs");
    fs::write(go, "").unwrap();
    assert_eq!(cluster.api.ended(&task)["status"], "FAILED");
    assert_eq!(cluster.api.records(&task)[0]["result_code"], "EXIT_CODE");
    assert_eq!(lines(&marks), 2, "one start of each");
}

/// The data directory and its journal are deleted, and the desktop id stays: like a reinstallation
/// while a script runs.
#[test]
fn reinstalled_desktop_starts_once() {
    let mut cluster = Cluster::start();
    let desktops = cluster.add_agents(1);
    let marks = cluster.directory.path().join("marks");
    let command = format!("echo started >> {}; sleep 30", marks.display());
    let task = cluster.api.run(&command, &desktops, json!({}));
    wait_for("the start", || (lines(&marks) == 1).then_some(()));
    cluster.agents[0].kill();
    fs::remove_dir_all(cluster.directory.path().join(crate::cluster::desktop(0))).unwrap();
    cluster.agents[0] = cluster.agent(0);
    assert_eq!(cluster.api.ended(&task)["status"], "FAILED");
    assert_eq!(cluster.api.records(&task)[0]["result_code"], "UNKNOWN");
    assert_eq!(lines(&marks), 1, "the new agent does not start the script again");
    let next = cluster.api.run("true", &desktops, json!({}));
    assert_eq!(cluster.api.ended(&next)["status"], "SUCCESS", "the new agent runs new tasks");
}

/// The data directory is lost while the script goes on: its record is UNKNOWN at once, and can be
/// retried.
#[test]
fn retry_starts_after_the_lost_attempt_has_ended() {
    let mut cluster = Cluster::start();
    let desktops = cluster.add_agents(1);
    let path = |name: &str| cluster.directory.path().join(name);
    let (marks, pid) = (path("marks"), path("pid"));
    let command = format!(
        "[ -e {pid} ] && grep -q . /proc/$(cat {pid})/cmdline && echo both >> {marks}; echo $$ > {pid}; \
         echo started >> {marks}; [ $GRAYWAVE_ATTEMPT = 2 ] || sleep 120",
        pid = pid.display(),
        marks = marks.display()
    );
    let task = cluster.api.run(&command, &desktops, json!({}));
    wait_for("the start", || (lines(&marks) == 1).then_some(()));
    cluster.agents[0].kill();
    fs::remove_dir_all(path(&crate::cluster::desktop(0))).unwrap();
    cluster.agents[0] = cluster.agent(0);
    assert_eq!(cluster.api.ended(&task)["status"], "FAILED");
    assert_eq!(cluster.api.records(&task)[0]["result_code"], "UNKNOWN");
    let retry = cluster.api.native().post(&format!("/tasks/{task}/retry"), &json!({}));
    assert_eq!(cluster.api.ended(retry["task_id"].as_str().unwrap())["status"], "SUCCESS");
    assert_eq!(fs::read_to_string(&marks).unwrap(), "started\nstarted\n", "never both at once");
}
