//! Reboots and returns with real agents. The "reboot" is a program that writes another boot id and
//! kills the agent, which a supervisor starts again.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, PROJECT, desktop},
    harness::{Process, agent_binary, wait_for},
};

/// Program of the desktop's power. A machine with the file `bricked` never boots again.
const POWER: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
case $1 in
boot-id) cat boot-id ;;
users) cat users ;;
ask) echo "$2" >> asked ;;
reboot | stop)
  echo "$1" >> done
  cat /proc/sys/kernel/random/uuid > boot-id
  [ "$1" = stop ] && touch off
  kill -9 "$PPID"
  ;;
esac
"#;

/// Starts the agent again after each end, like the service manager of a machine that boots.
const SUPERVISOR: &str = r#"
trap 'kill -9 "$agent" 2> /dev/null; exit 0' TERM
while [ ! -e "$MACHINE/off" ]; do
  "$@" & agent=$!
  echo "$agent" > "$MACHINE/agent-pid"
  wait "$agent"
  [ -e "$MACHINE/bricked" ] && [ -s "$MACHINE/done" ] && exit 0
done
"#;

/// A desktop with an agent that can reboot.
struct Machine {
    directory: PathBuf,
    _supervisor: Process,
}

impl Machine {
    fn start(cluster: &Cluster, number: usize) -> Self {
        let directory = cluster.directory.path().join(format!("machine-{number}"));
        fs::create_dir(&directory).unwrap();
        let power = directory.join("power");
        fs::write(&power, POWER).unwrap();
        fs::set_permissions(&power, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(directory.join("boot-id"), format!("first-boot-of-{number}")).unwrap();
        fs::write(directory.join("users"), "").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", SUPERVISOR, "supervisor"]).arg(agent_binary());
        command.env("MACHINE", &directory).args(["--project", PROJECT, "--desktop-id", &desktop(number)]);
        command.arg("--data-dir").arg(directory.join("data")).arg("--power-program").arg(&power);
        for (address, _) in &cluster.workers {
            command.args(["--worker", &format!("http://{address}")]);
        }
        let supervisor = Process::spawn(&mut command, &cluster.log(&format!("machine-{number}")));
        Self { directory, _supervisor: supervisor }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// The machine never boots again once it goes down.
    fn brick(&self) {
        fs::write(self.path("bricked"), "").unwrap();
    }
}

struct Fleet {
    cluster: Cluster,
    machines: Vec<Machine>,
}

impl Fleet {
    fn start(number: usize) -> Self {
        let cluster = Cluster::start();
        let machines: Vec<_> = (0..number).map(|number| Machine::start(&cluster, number)).collect();
        cluster.api.connected(number as u64);
        Self { cluster, machines }
    }

    fn desktops(&self) -> Vec<String> {
        (0..self.machines.len()).map(desktop).collect()
    }

    fn explain(&self, task_id: &str, number: usize) -> String {
        let path = format!("/tasks/{task_id}/explain?desktop_id={}", desktop(number));
        self.cluster.api.native().get(&path).to_string()
    }

    /// Status and result code of each record, in the order of the plan.
    fn results(&self, task_id: &str) -> Vec<(String, String, Value)> {
        let mut records = self.cluster.api.records(task_id);
        records.sort_by_key(|record| (record["resource_id"].to_string(), record["script_id"].to_string()));
        let text = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
        records
            .iter()
            .map(|it| (text(it, "resource_id"), text(it, "status"), it["result_code"].clone()))
            .collect()
    }
}

#[test]
fn post_finish_reboots_and_waits_for_the_return() {
    let fleet = Fleet::start(2);
    let task = fleet.cluster.api.run("echo done", &fleet.desktops(), json!({"post_finish": "REBOOT"}));
    let ended = fleet.cluster.api.ended(&task);
    assert_eq!((&ended["status"], &ended["post_finish"]), (&json!("SUCCESS"), &json!("REBOOT")));
    for (number, machine) in fleet.machines.iter().enumerate() {
        assert_eq!(machine.lines("done"), ["reboot"]);
        assert_ne!(machine.lines("boot-id"), [format!("first-boot-of-{number}")]);
    }
}

#[test]
fn canary_that_never_returns_halts_the_wave() {
    let fleet = Fleet::start(3);
    let api = &fleet.cluster.api;
    fleet.machines[0].brick();
    let body = json!({
        "gray_resource_ids": [desktop(0)],
        "rollout": {"post_finish": "reboot", "return_timeout_seconds": 4}
    });
    let task = api.run("echo done", &fleet.desktops(), body);
    let explained = wait_for("the reboot of the canary", || {
        let text = fleet.explain(&task, 0);
        text.contains("NOT_RETURNED unless").then_some(text)
    });
    assert!(explained.contains("another boot id"), "{explained}");
    api.ended(&task);
    assert_eq!(api.native().get(&format!("/tasks/{task}"))["status"], "HALTED");
    let results = fleet.results(&task);
    assert_eq!(results[0], (desktop(0), "FAILED".to_owned(), json!("NOT_RETURNED")));
    assert!(results[1..].iter().all(|(_, status, _)| status == "SKIPPED"), "{results:?}");
    assert!(fleet.machines[1..].iter().all(|machine| machine.lines("done").is_empty()));
}

#[test]
fn remaining_script_runs_once_after_a_reboot_by_exit_code() {
    let fleet = Fleet::start(1);
    let api = &fleet.cluster.api;
    let runs = fleet.machines[0].path("runs");
    let script = |name: &str, content: String| {
        let body = json!({"name": name, "type": "SHELL", "content": content});
        api.post("/scripts", &body)["script_id"].as_str().unwrap().to_owned()
    };
    let first = script("first", format!("echo first >> {}; exit 42", runs.display()));
    let second = script("second", format!("echo second >> {}", runs.display()));
    let body = json!({
        "resource_ids": [desktop(0)], "script_ids": [first, second],
        "rollout": {"exit_codes": {"42": "reboot"}}
    });
    let task = api.post("/script-executions", &body)["task_id"].as_str().unwrap().to_owned();
    assert_eq!(api.ended(&task)["status"], "SUCCESS");
    assert_eq!(fleet.machines[0].lines("runs"), ["first", "second"]);
    assert_eq!(fleet.machines[0].lines("done"), ["reboot"]);
    let native = api.native().get(&format!("/tasks/{task}/records"));
    let codes: Vec<&Value> =
        native["records"].as_array().unwrap().iter().map(|record| &record["exit_code"]).collect();
    assert!(codes.contains(&&json!(42)) && codes.contains(&&json!(0)), "{native}");
}

#[test]
fn agent_killed_between_result_and_reboot_still_reboots() {
    let fleet = Fleet::start(1);
    let machine = &fleet.machines[0];
    // The user keeps the desktop up until the agent is another process.
    fs::write(machine.path("users"), "ada\n").unwrap();
    let task = fleet.cluster.api.run("true", &fleet.desktops(), json!({"post_finish": "REBOOT"}));
    wait_for("the stored result", || fleet.explain(&task, 0).contains("NOT_RETURNED unless").then_some(()));
    assert!(Command::new("kill").arg("-9").args(machine.lines("agent-pid")).status().unwrap().success());
    fs::write(machine.path("users"), "").unwrap();
    assert_eq!(fleet.cluster.api.ended(&task)["status"], "SUCCESS");
    assert_eq!(machine.lines("done"), ["reboot"]);
}

#[test]
fn running_script_of_another_task_is_not_cut_by_a_reboot() {
    let fleet = Fleet::start(1);
    let (api, machine) = (&fleet.cluster.api, &fleet.machines[0]);
    let gate = machine.path("gate");
    let waits = format!("until [ -e {} ]; do sleep 0.1; done", gate.display());
    let other = api.run(&waits, &fleet.desktops(), json!({}));
    wait_for("the other script", || (api.records(&other)[0]["status"] == "RUNNING").then_some(()));
    let task = api.run("echo done", &fleet.desktops(), json!({"post_finish": "REBOOT"}));
    wait_for("the stored result", || fleet.explain(&task, 0).contains("NOT_RETURNED unless").then_some(()));
    assert_eq!(machine.lines("done"), Vec::<String>::new());
    fs::write(gate, "").unwrap();
    assert_eq!(api.ended(&other)["status"], "SUCCESS");
    assert_eq!(api.ended(&task)["status"], "SUCCESS");
    assert_eq!(machine.lines("done"), ["reboot"]);
}

#[test]
fn power_off_ends_the_target_at_once() {
    let fleet = Fleet::start(1);
    let task = fleet.cluster.api.run("echo done", &fleet.desktops(), json!({"post_finish": "stop"}));
    assert_eq!(fleet.cluster.api.ended(&task)["status"], "SUCCESS");
    wait_for("the power-off", || (fleet.machines[0].lines("done") == ["stop"]).then_some(()));
}

#[test]
fn target_needs_the_agent_version_that_the_task_requires() {
    let fleet = Fleet::start(1);
    let run = |version: &str| {
        let rollout = json!({"agent_version": version, "return_timeout_seconds": 2});
        let task = fleet.cluster.api.run("true", &fleet.desktops(), json!({"rollout": rollout}));
        fleet.cluster.api.ended(&task);
        fleet.results(&task)[0].clone()
    };
    assert_eq!(run(env!("CARGO_PKG_VERSION")).1, "SUCCESS");
    assert_eq!(run("999.0.0"), (desktop(0), "FAILED".to_owned(), json!("NOT_RETURNED")));
}
