//! Interventions in a running task.

use std::fs;

use serde_json::Value;

use super::operator::Operator;
use crate::harness::wait_for;

#[test]
fn rollout_is_paused_approved_stopped_and_retried() {
    let operator = Operator::new();
    let gate = operator.path("gate");
    let waits = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());
    // Paused, resumed, set to another concurrency, approved, and completed.
    let task = operator.task(&["--waves=1,rest", "--approve-before=2", "--all", "--", &waits]);
    operator.good(&["pause", &task]);
    assert_eq!(operator.json(&["show", "latest"])["paused"], true);
    operator.good(&["resume", &task]);
    operator.good(&["concurrency", &task, "2"]);
    assert_eq!(operator.json(&["show", &task])["max_concurrency"], 2);
    operator.good(&["concurrency", &task, "unlimited"]);
    fs::write(&gate, "").unwrap();
    wait_for("the wait for approval", || {
        let task = operator.json(&["show", &task]);
        task["waiting_for"].as_str().filter(|it| it.contains("approv")).map(|_| ())
    });
    let unasked = operator.output(&["approve", &task]);
    let said = String::from_utf8_lossy(&unasked.stderr).into_owned();
    assert_eq!(unasked.status.code(), Some(2), "{said}");
    assert!(
        said.contains("Approve wave 2 of 2 with 5 desktops (wave 1: 1 of 1 succeeded, 0 failed)?"),
        "{said}"
    );
    assert!(operator.good(&["approve", &task, "--yes", "--reason", "looks good"]).contains("status:"));
    assert_eq!(operator.ended(&task), "SUCCESS");
    let watched = operator.output(&["watch", &task]);
    assert_eq!(watched.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&watched.stderr).contains("wave 2: approved: looks good"));

    // Stopped: a stopped rollout is not a success.
    fs::remove_file(&gate).unwrap();
    let task = operator.task(&["--all", "--", &waits]);
    operator.good(&["stop", &task]);
    assert_eq!(operator.ended(&task), "STOPPED");
    assert_eq!(operator.output(&["watch", &task]).status.code(), Some(4));
    // Retried with success.
    fs::write(&gate, "").unwrap();
    let retried = operator.output(&["retry", &task, "-o", "name"]);
    assert_eq!(retried.status.code(), Some(0), "{}", String::from_utf8_lossy(&retried.stderr));
    // A failure below the threshold does not halt.
    let failed = operator.output(&["run", "--desktop=desktop-0001", "--quiet", "--", "exit 9"]);
    assert_eq!((failed.status.code(), failed.stderr.is_empty()), (Some(1), true));
    let what_if = operator.good(&["what-if", "latest", "--total-fail-threshold", "1"]);
    assert!(what_if.contains("HALTED"), "{what_if}");
    let what_if = operator.good(&["what-if", "latest", "--fail-threshold", "1"]);
    assert!(what_if.contains("HALTED"), "{what_if}");

    // Project commands.
    operator.good(&["freeze", "--reason", "until Monday"]);
    assert!(operator.good(&["limits", "--max-in-flight", "9"]).contains("until Monday"));
    let project = operator.json(&["unfreeze"]);
    assert_eq!(
        (&project["freeze"]["frozen"], &project["limits"]["max_in_flight"]),
        (&Value::Bool(false), &9.into())
    );
}
