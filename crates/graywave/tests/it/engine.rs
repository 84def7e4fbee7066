//! The rollout engine with real agents. Files written by the scripts prove each guarantee.

use std::{
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    harness::{Api, Dev, directory, wait_for},
};

/// Creates a directory that scripts may write to.
fn marks(directory: &Path) -> PathBuf {
    let marks = directory.join("marks");
    fs::create_dir(&marks).unwrap();
    fs::set_permissions(&marks, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    marks
}

/// Returns the names of the marks in order.
fn marked(marks: &Path) -> Vec<String> {
    let entries = fs::read_dir(marks).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Returns the first line of a script. It leaves the desktop's mark, and a second start leaves
/// another one.
fn leaves_mark(marks: &Path) -> String {
    format!("echo started >> {}/$GRAYWAVE_DESKTOP_ID", marks.display())
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// Returns the task in the native family.
fn shown(api: &Api, task: &str) -> Value {
    api.native().get(&format!("/tasks/{task}"))
}

fn waits_for(api: &Api, task: &str, what: &str) -> Value {
    wait_for(what, || {
        let task = shown(api, task);
        task["waiting_for"].as_str().is_some_and(|wait| wait.contains(what)).then_some(task)
    })
}

#[test]
fn strict_mode_starts_at_most_the_previewed_failures() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 12, &[]);
    let (api, native) = (&dev.api, dev.api.native());
    let desktops = api.connected(12);
    let marks = marks(directory.path());
    let fixed = directory.path().join("fixed");
    let command = format!(
        "{}; [ -e {} ] || {{ echo \"disk full: $$ MB left\"; exit 3; }}",
        leaves_mark(&marks),
        fixed.display()
    );
    let rollout = json!({
        "waves": [{"count": 2, "fail_threshold": {"count": 2}}, {"rest": true}],
        "fail_threshold": {"count": 3}, "strict": true, "canary": {"by": ["os"], "seed": 5},
    });
    let body =
        json!({"resource_ids": desktops, "command": command, "command_type": "SHELL", "rollout": rollout});
    let preview = native.post("/executions/preview", &body);
    assert_eq!(preview["worst_case"]["failed"], 3);
    assert!(marked(&marks).is_empty(), "a preview runs nothing");

    let task = native.post("/executions", &body)["task_id"].as_str().unwrap().to_owned();
    let ended = api.ended(&task);
    assert_eq!(
        (&ended["status"], &ended["failed_num"], &ended["skip_num"]),
        (&json!("FAILED"), &json!(2), &json!(10))
    );
    assert_eq!(shown(api, &task)["plan_hash"], preview["plan_hash"]);
    let mut canaries: Vec<&str> = preview["waves"][0]["desktop_ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    canaries.sort_unstable();
    assert_eq!(marked(&marks), canaries, "only the canaries started");

    let failures = native.get(&format!("/tasks/{task}/failures"));
    let groups = failures["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert_eq!(
        (&groups[0]["fingerprint"], &groups[0]["records"]),
        (&json!("disk full: <n> MB left"), &json!(2))
    );

    let what_if = |count: u32| {
        let rollout = json!({"waves": [{"count": 2}, {"rest": true}], "fail_threshold": {"count": count}});
        native.post(&format!("/tasks/{task}/what-if"), &json!({"rollout": rollout}))["ending"].clone()
    };
    assert_eq!((what_if(1), what_if(3)), (json!("HALTED"), json!("HELD")), "no canary succeeded");

    let events = native.text(&format!("/tasks/{task}/events"));
    let kinds: Vec<&str> = events.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(kinds, ["ACCEPTED", "WAVE_OPENED", "HALTED", "PROGRESS", "ENDED"]);
    let never = preview["waves"][1]["desktop_ids"][0].as_str().unwrap();
    let explained = native.get(&format!("/tasks/{task}/explain?desktop_id={never}"));
    let last = explained["steps"].as_array().unwrap().last().unwrap()["text"].as_str().unwrap();
    assert!(last.contains("never started") && last.contains("the fail threshold 2 is reached"), "{last}");

    // Retry of the remainder with the same waves: failed and unstarted targets run, succeeded ones
    // do not.
    fs::write(&fixed, "").unwrap();
    let retry = native.post(&format!("/tasks/{task}/retry"), &json!({}));
    let waves: Vec<&Value> = retry["waves"].as_array().unwrap().iter().map(|wave| &wave["size"]).collect();
    assert_eq!((waves, &retry["strict"]), (vec![&json!(2), &json!(10)], &json!(true)));
    let retried = api.ended(retry["task_id"].as_str().unwrap());
    assert_eq!((&retried["status"], &retried["success_num"]), (&json!("SUCCESS"), &json!(12)));
    assert_eq!(marked(&marks).len(), 12);
}

#[test]
fn soaked_wave_waits_for_approval_and_stands_still_if_paused() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 6, &[]);
    let (api, native) = (&dev.api, dev.api.native());
    let desktops = api.connected(6);
    let marks = marks(directory.path());
    // Each wave runs until its gate file exists.
    let gate = |wave: u32| directory.path().join(format!("gate-{wave}"));
    let command = format!(
        "{}; until [ -e {}/gate-$GRAYWAVE_WAVE ]; do sleep 0.05; done",
        leaves_mark(&marks),
        directory.path().display()
    );
    let rollout = json!({
        "waves": [{"count": 1}, {"count": 1}, {"rest": true}], "soak_seconds": 1, "max_concurrency": 2,
        "approval": {"before_waves": [2]},
    });
    let task = api.run(&command, &desktops, json!({"rollout": rollout}));
    wait_for("the canary", || (marked(&marks).len() == 1).then_some(()));
    fs::write(gate(1), "").unwrap();
    let waits = waits_for(api, &task, "wave 2: waiting for a person's approval");
    assert_eq!(marked(&marks).len(), 1);
    let seen = json!({"plan_hash": waits["plan_hash"], "script_hash": waits["script_hash"]});
    native.post(&format!("/tasks/{task}/waves/2/approve"), &seen);
    wait_for("the second wave", || (marked(&marks).len() == 2).then_some(()));
    fs::write(gate(2), "").unwrap();
    wait_for("the third wave", || (marked(&marks).len() == 4).then_some(()));

    // Two of four targets run. While paused, no target starts even after both end.
    native.post(&format!("/tasks/{task}/pause"), &json!({}));
    fs::write(gate(3), "").unwrap();
    wait_for("the two to end", || (api.task(&task)["success_num"] == 4).then_some(()));
    assert_eq!(waits_for(api, &task, "the task is paused")["status"], "RUNNING");
    // While frozen, a resumed task and a new task both wait.
    native.post("/freeze", &json!({"reason": "a test"}));
    native.post(&format!("/tasks/{task}/resume"), &json!({}));
    let other = api.run("true", &desktops, json!({}));
    for task in [&task, &other] {
        waits_for(api, task, "the project is frozen");
    }
    assert_eq!(marked(&marks).len(), 4);
    native.delete("/freeze");
    assert_eq!(api.ended(&task)["success_num"], 6);
    assert_eq!(api.ended(&other)["success_num"], 6);
    assert_eq!(marked(&marks).len(), 6);

    let waves = shown(api, &task)["waves"].clone();
    for (before, behind) in [(0, 1), (1, 2)] {
        let soaked = time(&waves[behind]["open_time"]) - time(&waves[before]["close_time"]);
        assert!(soaked >= TimeDelta::seconds(1), "{soaked}");
    }
    let second = native.get(&format!("/tasks/{task}/records?wave=2"))["records"][0].clone();
    assert!(time(&second["start_time"]) >= time(&waves[1]["approve_time"]), "{second}");
}

#[test]
fn no_script_starts_outside_the_window_or_after_expiry() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 2, &[]);
    let (api, native) = (&dev.api, dev.api.native());
    let desktops = api.connected(2);
    let marks = marks(directory.path());
    let hour = |hours: i64| (Utc::now() + TimeDelta::hours(hours)).format("%H:00").to_string();
    let expires_at = (Utc::now() + TimeDelta::seconds(3)).to_rfc3339();
    let window = |from: i64, to: i64| json!({"from": hour(from), "to": hour(to), "time_zone": "UTC"});
    let closed = json!({"window": window(3, 4), "expires_at": expires_at});
    let waiting = api.run(&leaves_mark(&marks), &desktops, json!({"rollout": closed}));
    let open = api.run("true", &desktops, json!({"rollout": {"window": window(-1, 3)}}));
    assert_eq!(api.ended(&open)["status"], "SUCCESS");
    let explained = wait_for("the explanation of the window", || {
        let explained = native.get(&format!("/tasks/{waiting}/explain?desktop_id={}", desktops[0]));
        let last =
            explained["steps"].as_array().unwrap().last().unwrap()["text"].as_str().unwrap().to_owned();
        last.contains("window").then_some(last)
    });
    assert!(explained.contains(&hour(3)), "{explained}");
    let ended = api.ended(&waiting);
    assert_eq!((&ended["status"], &ended["skip_num"]), (&json!("FAILED"), &json!(2)));
    let task = shown(api, &waiting);
    assert_eq!(task["status"], "STOPPED");
    assert!(task["reason"].as_str().unwrap().contains("expired"), "{task}");
    assert!(marked(&marks).is_empty());
}

#[test]
fn desktop_runs_at_most_the_projects_concurrent_scripts() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 1, &[]);
    let (api, native) = (&dev.api, dev.api.native());
    let desktops = api.connected(1);
    native.put("/limits", &json!({"max_running_per_desktop": 1}));
    let log = marks(directory.path()).join("log");
    let command = format!("echo begin >> {0}; sleep 0.2; echo end >> {0}", log.display());
    let tasks: Vec<String> = (0..4).map(|_| api.run(&command, &desktops, json!({}))).collect();
    for task in &tasks {
        assert_eq!(api.ended(task)["status"], "SUCCESS");
    }
    assert_eq!(fs::read_to_string(&log).unwrap(), "begin\nend\n".repeat(4));
    native.put("/limits", &json!({"max_in_flight": 1}));
    let tasks: Vec<String> = (0..3).map(|_| api.run("sleep 0.1", &desktops, json!({}))).collect();
    for task in &tasks {
        assert_eq!(api.ended(task)["status"], "SUCCESS");
    }
    let mut runs: Vec<_> = tasks
        .iter()
        .map(|task| api.records(task)[0].clone())
        .map(|record| (time(&record["start_time"]), time(&record["end_time"])))
        .collect();
    runs.sort();
    assert!(runs.windows(2).all(|two| two[0].1 <= two[1].0), "one after the other: {runs:?}");
}

#[test]
fn quorum_closes_a_wave_and_returning_desktop_runs_pinned() {
    let mut cluster = Cluster::start();
    let desktops = cluster.add_agents(6);
    let native = cluster.api.native();
    let marks = marks(cluster.directory.path());
    let body =
        json!({"name": "pinned", "type": "SHELL", "content": format!("{}; echo one", leaves_mark(&marks))});
    let script = cluster.api.post("/scripts", &body)["script_id"].as_str().unwrap().to_owned();
    for away in [1, 5] {
        cluster.agents[away].kill();
    }
    cluster.api.connected(4);
    // The first and the second wave each have one offline desktop.
    let body = json!({"resource_ids": desktops, "script_ids": [script],
                      "gray_resource_ids": [desktops[0], desktops[1], desktops[2]],
                      "rollout": {"quorum_percent": 60, "delivery_timeout_seconds": 12}});
    let task = cluster.api.post("/script-executions", &body)["task_id"].as_str().unwrap().to_owned();
    let waits = wait_for("the second wave to wait for the offline desktop", || {
        let task = shown(&cluster.api, &task);
        (task["waves"][1]["waiting"] == 1 && task["waves"][1]["in_flight"] == 0).then_some(task)
    });
    assert_eq!((&waits["waves"][0]["status"], &waits["waves"][0]["waiting"]), (&json!("CLOSED"), &json!(1)));
    assert!(waits["waves"][0]["verdict"].as_str().unwrap().contains("waiting: 1"), "{waits}");
    assert_eq!(marked(&marks).len(), 4);

    let changed = json!({"name": "pinned", "type": "SHELL", "content": "echo two"});
    cluster.api.put(&format!("/scripts/{script}"), &changed);
    cluster.agents[1] = cluster.agent(1);
    let ended = cluster.api.ended(&task);
    assert_eq!((&ended["success_num"], &ended["failed_num"]), (&json!(5), &json!(1)));
    let waves = shown(&cluster.api, &task)["waves"].clone();
    assert_eq!(
        (&waves[0]["targets"]["SUCCESS"], &waves[1]["targets"]["UNDELIVERED"]),
        (&json!(3), &json!(1))
    );
    let records = cluster.api.records(&task);
    let back = records.iter().find(|record| record["resource_id"] == desktops[1]).unwrap();
    assert_eq!(cluster.api.output(back)["output"], "one\n", "the revision that was pinned");
    let explained = native.get(&format!("/tasks/{task}/explain?desktop_id={}", desktops[5]));
    let last = explained["steps"].as_array().unwrap().last().unwrap()["text"].as_str().unwrap();
    assert!(last.contains("UNDELIVERED") && last.contains("not reached"), "{last}");
    assert_eq!(marked(&marks).len(), 5);
    for desktop in marked(&marks) {
        assert_eq!(fs::read_to_string(marks.join(desktop)).unwrap(), "started\n");
    }
}
