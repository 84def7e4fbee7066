//! `graywave dev`, used as the README says.

use std::fs;

use serde_json::json;

use crate::harness::{Dev, directory, graywave, wait_for};

#[test]
fn a_dev_cluster_runs_scripts_and_keeps_everything_over_a_restart() {
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
    assert_eq!(again.api.task(&task), ended, "everything is still there");
    let next = again.api.run("true", &again.api.connected(3), json!({}));
    assert_eq!(again.api.ended(&next)["status"], "SUCCESS", "and it works on");
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
    assert_eq!(fs::read_to_string(&marks).unwrap().lines().count(), 3, "the truth on the desktops");

    let grpc = dev.ready["grpc"].as_str().unwrap();
    let shown = graywave().args(["show", &task, "--grpc", grpc, "--token", &dev.api.token]).output().unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("HALTED") && text.contains("the fail threshold 2 is reached"), "{text}");
}

#[test]
fn a_script_that_is_killed_with_the_cluster_is_no_success_and_does_not_run_twice() {
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
