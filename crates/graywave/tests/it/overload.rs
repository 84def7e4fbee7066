//! Far more submissions than the system accepts.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::json;

use crate::harness::{Dev, directory, wait_for};

/// Concurrent clients.
const CLIENTS: usize = 48;
/// Submissions per flood.
const FLOOD: usize = 1_500;
const MAX_OPEN: usize = 100;
/// Maximum memory growth of the cluster (one process) in the second flood.
const MAX_GROWTH_MIB: usize = 100;

/// Submits without pauses and counts the responses by status.
fn flood(dev: &Dev, desktops: &[String]) -> BTreeMap<u16, usize> {
    let answers = Mutex::new(BTreeMap::new());
    let left = AtomicUsize::new(FLOOD);
    let body = json!({"resource_ids": desktops, "command": "true", "command_type": "SHELL"});
    let submit = || {
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            let (status, after) = dev.api.try_post("/script-executions", &body).expect("an answer");
            assert_eq!(after.is_some(), status != 200, "{status} has Retry-After");
            *answers.lock().unwrap().entry(status).or_default() += 1;
        }
    };
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(submit);
        }
    });
    answers.into_inner().unwrap()
}

fn resident_mib(dev: &Dev) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", dev.process.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<usize>().unwrap() >> 10
}

#[test]
fn what_is_too_much_is_refused_and_everything_accepted_is_done() {
    let directory = directory();
    let open = MAX_OPEN.to_string();
    let settings = [
        ("GRAYWAVE__API__MAX_IN_FLIGHT", "16"),
        ("GRAYWAVE__API__RATE_PER_SECOND", "200"),
        ("GRAYWAVE__API__RATE_BURST", "200"),
        ("GRAYWAVE__TASKS__MAX_OPEN_PER_PROJECT", &open),
    ];
    let dev = Dev::start(&directory.path().join("data"), 2, &settings);
    let desktops = dev.api.connected(2);
    let first = flood(&dev, &desktops);
    let before = resident_mib(&dev);
    let second = flood(&dev, &desktops);
    let after = resident_mib(&dev);
    for answers in [&first, &second] {
        assert_eq!(answers.values().sum::<usize>(), FLOOD, "{answers:?}");
        assert!(answers.keys().all(|status| [200, 429, 503].contains(status)), "{answers:?}");
        assert!(answers[&200] > 0 && answers[&200] < FLOOD / 2, "most submissions are refused: {answers:?}");
    }
    assert!(after < before + MAX_GROWTH_MIB, "{before} MiB grew to {after} MiB");
    let accepted = first[&200] + second[&200];
    let tasks = |status: &str| {
        let (code, answer) = dev.api.try_get(&format!("/script-execution-tasks?limit=1&status={status}"))?;
        (code == 200).then(|| answer["count"].as_u64())?
    };
    wait_for("everything accepted", || (tasks("SUCCESS")? == accepted as u64).then_some(()));
    let task = dev.api.run("true", &desktops, json!({}));
    assert_eq!(dev.api.ended(&task)["success_num"], 2, "the cluster recovers");
}
