//! `graywave dev` as described in the README.

use std::{fs, process::Stdio};

use serde_json::json;

use crate::harness::{Dev, Process, directory, graywave, wait_for};

#[test]
fn dev_cluster_runs_scripts_and_keeps_data_over_a_restart() {
    let directory = directory();
    let data = directory.path().join("data");
    let mut dev = Dev::start(&data, 3, &[]);
    assert_eq!(dev.ready["event"], "ready");
    for key in ["http", "grpc", "agents", "project_id", "access_key", "secret_key", "token"] {
        assert!(dev.ready[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    let desktops = dev.api.connected(3);
    let environment =
        "echo $GRAYWAVE_TASK_ID $GRAYWAVE_DESKTOP_ID $GRAYWAVE_WAVE $GRAYWAVE_ATTEMPT; echo problem >&2";
    let task = dev.api.run(environment, &desktops, json!({}));
    let ended = dev.api.ended(&task);
    assert_eq!((&ended["status"], &ended["success_num"]), (&json!("SUCCESS"), &json!(3)));
    for record in dev.api.records(&task) {
        let detail = dev.api.output(&record);
        let desktop = record["resource_id"].as_str().unwrap();
        assert_eq!(detail["output"], format!("{task} {desktop} 1 1\nproblem\n"));
        assert!(!detail["start_time"].is_null());
    }
    assert!(dev.process.stop().success(), "a clean stop");

    let mut again = Dev::start(&data, 3, &[]);
    assert_eq!(again.ready["token"], dev.ready["token"]);
    assert_eq!(again.ready["project_id"], dev.ready["project_id"]);
    assert_eq!(again.api.task(&task), ended, "the task survives the restart");
    let next = again.api.run("true", &again.api.connected(3), json!({}));
    assert_eq!(again.api.ended(&next)["status"], "SUCCESS", "the cluster still runs tasks");
    assert!(again.process.stop().success());
}

#[test]
fn what_scripts_do_becomes_their_outcome() {
    let directory = directory();
    let dev =
        Dev::start(&directory.path().join("data"), 2, &[("GRAYWAVE__TASKS__EXECUTION_TIMEOUT_MS", "1500")]);
    let desktops = dev.api.connected(2);
    let outcome = |command: &str, more: serde_json::Value| {
        let task = dev.api.run(command, &desktops[..1], more);
        dev.api.ended(&task);
        dev.api.output(&dev.api.records(&task)[0])
    };
    let failed = outcome("echo before; exit 7", json!({}));
    assert_eq!((&failed["status"], &failed["result_code"]), (&json!("FAILED"), &json!("EXIT_CODE")));
    assert_eq!((&failed["reason"], &failed["output"]), (&json!("exit code 7"), &json!("before\n")));
    let killed = outcome("kill -9 $$", json!({}));
    assert_eq!(killed["reason"], "killed by signal 9");
    let slow = outcome("echo begun; sleep 600", json!({}));
    assert_eq!((&slow["status"], &slow["result_code"]), (&json!("FAILED"), &json!("TIMEOUT")));
    assert_eq!(slow["output"], "begun\n");
    let rejected = outcome("@echo off", json!({"command_type": "BAT"}));
    assert_eq!((&rejected["status"], &rejected["result_code"]), (&json!("FAILED"), &json!("REJECTED")));
    assert!(rejected["start_time"].is_null());
    let long = outcome("head -c 1000000 /dev/zero | tr '\\0' x; echo end", json!({}));
    let output = long["output"].as_str().unwrap();
    assert!(output.len() < 70_000 && output.contains("bytes cut") && output.ends_with("xend\n"));
}

#[test]
fn a_bad_script_stays_in_its_gray_wave() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 8, &[]);
    let desktops = dev.api.connected(8);
    let marks = directory.path().join("marks");
    let command = format!("echo $GRAYWAVE_DESKTOP_ID >> {}; exit 1", marks.display());
    let task = dev.api.run(&command, &desktops, json!({"gray_count": 3, "gray_fail_threshold": 2}));
    let ended = dev.api.ended(&task);
    assert_eq!(ended["status"], "FAILED");
    assert_eq!((&ended["failed_num"], &ended["skip_num"]), (&json!(3), &json!(5)));
    for record in dev.api.records(&task).iter().filter(|record| record["execute_order"] == 2) {
        assert_eq!((&record["status"], &record["start_time"]), (&json!("SKIPPED"), &json!(null)));
    }
    assert_eq!(fs::read_to_string(&marks).unwrap().lines().count(), 3, "only three scripts started");

    let grpc = dev.ready["grpc"].as_str().unwrap();
    let shown = graywave().args(["show", &task, "--grpc", grpc, "--token", &dev.api.token]).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("HALTED") && text.contains("the fail threshold 2 is reached"), "{text}");
}

#[test]
fn script_killed_with_the_cluster_fails_and_runs_once() {
    let directory = directory();
    let data = directory.path().join("data");
    let mut dev = Dev::start(&data, 1, &[]);
    let marks = directory.path().join("marks");
    let command = format!("echo started >> {}; sleep 600", marks.display());
    let task = dev.api.run(&command, &dev.api.connected(1), json!({}));
    wait_for("the start", || marks.exists().then_some(()));
    assert!(dev.process.stop().success());

    let again = Dev::start(&data, 1, &[]);
    let ended = again.api.ended(&task);
    assert_eq!(ended["status"], "FAILED");
    assert_eq!(again.api.records(&task)[0]["result_code"], "UNKNOWN");
    assert_eq!(fs::read_to_string(&marks).unwrap(), "started\n");
}

#[test]
fn a_stop_ends_what_runs_and_a_retry_runs_what_did_not_succeed() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 4, &[]);
    let desktops = dev.api.connected(4);
    // Two canaries run until stopped. The first script of each has recorded where it ran.
    let marks = directory.path().join("marks");
    fs::create_dir(&marks).unwrap();
    fs::set_permissions(&marks, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let script = |name: &str, content: String| {
        let body = json!({"name": name, "type": "SHELL", "content": content});
        dev.api.post("/scripts", &body)["script_id"].as_str().unwrap().to_owned()
    };
    let first = script("first", format!("echo ran >> {}/$GRAYWAVE_DESKTOP_ID", marks.display()));
    let second =
        script("second", format!("[ $GRAYWAVE_ATTEMPT = 2 ] || sleep 600; cat {}/*", marks.display()));
    let body = json!({"resource_ids": desktops, "script_ids": [first, second],
                      "gray_resource_ids": [desktops[0], desktops[1]], "gray_fail_threshold": 1});
    let task = dev.api.post("/script-executions", &body)["task_id"].as_str().unwrap().to_owned();
    wait_for("the first scripts", || (fs::read_dir(&marks).unwrap().count() == 2).then_some(()));
    dev.api.post("/script-executions/stop", &json!({"task_id": task}));
    let ended = dev.api.ended(&task);
    assert_eq!(
        [&ended["status"], &ended["success_num"], &ended["failed_num"], &ended["skip_num"]],
        [&json!("FAILED"), &json!(2), &json!(2), &json!(4)]
    );
    let stopped = &dev.api.records(&task)[1];
    assert_eq!((&stopped["status"], &stopped["script_name"]), (&json!("STOPPED"), &json!("second")));

    let retry = dev.api.post("/script-executions/retry", &json!({"task_id": task}));
    let retry = retry["task_id"].as_str().unwrap();
    let ended = dev.api.ended(retry);
    assert_eq!((&ended["status"], &ended["success_num"]), (&json!("SUCCESS"), &json!(8)));
    for desktop in &desktops {
        assert_eq!(fs::read_to_string(marks.join(desktop)).unwrap(), "ran\n", "once on {desktop}");
    }
}

#[test]
fn one_record_is_stopped_while_the_others_run_on() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 2, &[]);
    let desktops = dev.api.connected(2);
    let go = directory.path().join("go");
    let command = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
    let task = dev.api.run(&command, &desktops, json!({}));
    let running = wait_for("both to run", || {
        let records = dev.api.records(&task);
        records.iter().all(|record| record["status"] == "RUNNING").then_some(records)
    });
    dev.api.post("/script-executions/stop", &json!({"record_id": running[1]["id"]}));
    wait_for("the stop", || (dev.api.records(&task)[1]["status"] == "STOPPED").then_some(()));
    fs::write(&go, "").unwrap();
    let ended = dev.api.ended(&task);
    assert_eq!((&ended["success_num"], &ended["failed_num"]), (&json!(1), &json!(1)));
}

#[test]
fn a_rollout_of_three_waves_weighs_exit_codes_and_kills_on_halt() {
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 8, &[]);
    let desktops = dev.api.connected(8);
    // One exit code counts as success and one is ignored. In the second wave, one halts while the
    // other targets would continue.
    let marks = directory.path().join("marks");
    fs::create_dir(&marks).unwrap();
    fs::set_permissions(&marks, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    // The desktop that creates the directory of its wave is the first.
    let command = format!(
        "mkdir {}/$GRAYWAVE_WAVE && first=1; case $GRAYWAVE_WAVE$first in 11) exit 75;; 1) exit 9;; 21) exit 42;; *) sleep 600;; esac",
        marks.display()
    );
    let rollout = json!({
        "waves": [{"count": 4}, {"percent": 37.5}, {"rest": true}],
        "fail_threshold": {"count": 1}, "on_halt": "kill",
        "exit_codes": {"9": "success", "75": "ignore", "42": "halt"},
    });
    let task = dev.api.run(&command, &desktops, json!({"rollout": rollout}));
    let ended = dev.api.ended(&task);
    assert_eq!(ended["status"], "FAILED");
    let records = dev.api.records(&task);
    let number = |from: usize, to: usize, status: &str| {
        records[from..to].iter().filter(|record| record["status"] == status).count()
    };
    assert_eq!(
        (number(0, 4, "SUCCESS"), number(0, 4, "FAILED")),
        (3, 1),
        "what is ignored lets the next wave open"
    );
    assert_eq!(
        (number(4, 7, "FAILED"), number(4, 7, "STOPPED")),
        (1, 2),
        "the code halts, and what runs is killed"
    );
    assert_eq!(number(7, 8, "SKIPPED"), 1);
    let success = dev.api.output(records[0..4].iter().find(|record| record["status"] == "SUCCESS").unwrap());
    assert_eq!(success["reason"], "exit code 9 counts as success");
}

#[test]
fn desktop_that_cannot_start_ends_dev_at_once_with_its_error() {
    let directory = directory();
    let data = directory.path().join("data");
    fs::create_dir_all(data.join("desktops")).unwrap();
    fs::write(data.join("desktops/desktop-0002"), "").unwrap();
    let log = directory.path().join("log");
    let mut command = graywave();
    command
        .args(["dev", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--agents", "127.0.0.1:0"])
        .args(["--desktops", "2", "--data-dir"])
        .arg(&data)
        .stdout(Stdio::null());
    let mut process = Process::spawn(&mut command, &log);
    let status = wait_for("the end of dev", || process.0.child().try_wait().unwrap());
    assert!(!status.success());
    let log = fs::read_to_string(&log).unwrap();
    let error = log.lines().find(|line| line.contains("desktop-0002") && line.contains("File exists"));
    assert!(error.is_some_and(|line| line.contains("desktops/desktop-0002: ")), "{log}");
    assert!(!log.contains("did not connect"), "{log}");
}
