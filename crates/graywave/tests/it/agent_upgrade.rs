//! Upgrades of agents by a rollout. The test is the package manager: it restarts agents with
//! another version when their script asks for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::{Child, Stdio},
};

use serde_json::Value;

use crate::{
    cluster::{Cluster, TOKEN, desktop},
    harness::{Process, graywave, wait_for},
};

const DESKTOPS: usize = 4;

/// The reaction of the package manager to a version.
#[derive(Debug, Clone, Copy)]
enum Package {
    /// The agent restarts with this version.
    Good(&'static str),
    /// The agent stops and does not come back.
    Broken,
}

/// A cluster whose agents the test restarts.
struct Fleet {
    cluster: Cluster,
    agents: BTreeMap<String, Process>,
}

impl Fleet {
    fn start(version: &str) -> Self {
        let cluster = Cluster::start();
        let agents = (0..DESKTOPS).map(|number| (desktop(number), cluster.agent_of_version(number, version)));
        let agents: BTreeMap<String, Process> = agents.collect();
        cluster.api.connected(DESKTOPS as u64);
        for request in ["requests", "done"] {
            fs::create_dir(cluster.directory.path().join(request)).unwrap();
        }
        Self { cluster, agents }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.cluster.directory.path().join(name)
    }

    /// Writes the script of an upgrade: it asks the package manager and waits for it. So it runs
    /// while its own agent restarts.
    fn installer(&self) -> PathBuf {
        let (requests, done) = (self.path("requests"), self.path("done"));
        let file = self.path("installer.sh");
        let script = format!(
            "touch {requests}/$GRAYWAVE_DESKTOP_ID\nuntil [ -e {done}/$GRAYWAVE_DESKTOP_ID ]; do sleep 0.05; done\n",
            requests = requests.display(),
            done = done.display()
        );
        fs::write(&file, script).unwrap();
        file
    }

    /// Starts `graywave agents upgrade` over all desktops with these flags.
    fn upgrade(&self, flags: &[&str]) -> Child {
        for directory in ["requests", "done"] {
            let path = self.path(directory);
            fs::remove_dir_all(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
        let mut command = graywave();
        command.args(["agents", "upgrade", "--all", "-o", "json", "--installer"]).arg(self.installer());
        command.args(flags).env("GRAYWAVE_CONTEXTS", self.path("contexts.toml"));
        command.env("GRAYWAVE_GRPC", format!("http://{}", self.cluster.schedulers[0].0));
        command.env("GRAYWAVE_TOKEN", TOKEN);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Answers the requests of scripts until the command ends. Returns its exit code, its result
    /// and its messages, and the desktops whose scripts asked.
    fn serve(&mut self, mut command: Child, package: Package) -> (i32, Value, String, BTreeSet<String>) {
        let mut asked = BTreeSet::new();
        let status = wait_for("the end of the upgrade", || {
            for entry in fs::read_dir(self.path("requests")).unwrap() {
                let desktop_id = entry.unwrap().file_name().into_string().unwrap();
                if asked.insert(desktop_id.clone()) {
                    self.restart(&desktop_id, package);
                }
            }
            command.try_wait().unwrap()
        });
        let output = command.wait_with_output().unwrap();
        let result = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let said = String::from_utf8(output.stderr).unwrap();
        (status.code().unwrap(), result, said, asked)
    }

    /// Stops an agent, and starts it again unless the package is broken.
    fn restart(&mut self, desktop_id: &str, package: Package) {
        let done = self.path("done").join(desktop_id);
        match package {
            Package::Good(version) => {
                // The agent restarts under its running script.
                assert!(self.agents.remove(desktop_id).unwrap().stop().success());
                self.repair(desktop_id, version);
                fs::write(done, "").unwrap();
            }
            Package::Broken => {
                fs::write(done, "").unwrap();
                wait_for("the stored result of the script", || self.awaits_return(desktop_id).then_some(()));
                assert!(self.agents.remove(desktop_id).unwrap().stop().success());
            }
        }
    }

    /// Reports whether the newest task waits for the return of this desktop.
    fn awaits_return(&self, desktop_id: &str) -> bool {
        let native = self.cluster.api.native();
        let task_id = native.get("/tasks?page_size=1")["tasks"][0]["task_id"].as_str().unwrap().to_owned();
        let explained = native.get(&format!("/tasks/{task_id}/explain?desktop_id={desktop_id}"));
        let steps = explained["steps"].as_array().unwrap();
        steps.iter().any(|step| step["text"].as_str().unwrap().contains("ends as NOT_RETURNED unless"))
    }

    /// Starts an agent by hand.
    fn repair(&mut self, desktop_id: &str, version: &str) {
        let number = (0..DESKTOPS).find(|&number| desktop(number) == desktop_id).unwrap();
        let agent = self.cluster.agent_of_version(number, version);
        self.agents.insert(desktop_id.to_owned(), agent);
    }

    /// Versions of all agents, by desktop.
    fn versions(&self) -> Vec<String> {
        let answer = self.cluster.api.native().get("/desktops");
        let desktops = answer["desktops"].as_array().unwrap();
        desktops.iter().map(|desktop| desktop["agent_version"].as_str().unwrap().to_owned()).collect()
    }

    /// Ids of the desktops that a filter lists.
    fn listed(&self, query: &str) -> Vec<String> {
        let answer = self.cluster.api.native().get(&format!("/desktops?{query}"));
        let desktops = answer["desktops"].as_array().unwrap();
        desktops.iter().map(|desktop| desktop["desktop_id"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn bad_version_halts_an_upgrade_in_its_canary() {
    let mut fleet = Fleet::start("0.1.0");
    let preview = fleet.upgrade(&["--to", "0.1.1", "--canary", "1", "--dry-run"]);
    let (code, plan, said, asked) = fleet.serve(preview, Package::Broken);
    assert_eq!((code, asked.len(), plan["waves"].as_array().map(Vec::len)), (0, 0, Some(2)), "{said}");

    let upgrade = fleet.upgrade(&["--to", "0.1.1", "--canary", "1"]);
    let (code, task, said, asked) = fleet.serve(upgrade, Package::Good("0.1.1"));
    assert_eq!((code, asked.len()), (0, DESKTOPS), "{said}");
    assert_eq!(task["status"], "SUCCESS", "{task}");
    assert_eq!(fleet.versions(), ["0.1.1"; DESKTOPS]);

    let again = fleet.upgrade(&["--to", "0.1.1", "--canary", "1"]);
    let (code, _, said, asked) = fleet.serve(again, Package::Broken);
    assert_eq!((code, asked.len()), (0, 0), "{said}");
    assert!(said.contains("every selected desktop has 0.1.1"), "{said}");

    // The scripts succeed, and the canary does not come back.
    let flags = ["--to", "0.1.2", "--canary", "1", "--return-timeout", "5s"];
    let bad = fleet.upgrade(&flags);
    let (code, task, said, asked) = fleet.serve(bad, Package::Broken);
    assert_eq!((code, asked.len()), (3, 1), "halted after one desktop: {said}");
    let first = &task["waves"][0]["targets"];
    assert_eq!((&task["status"], &first["not_returned"]), (&"HALTED".into(), &1.into()), "{task}");
    let canary = asked.first().unwrap();
    fleet.repair(canary, "0.1.1");
    fleet.cluster.api.connected(DESKTOPS as u64);
    assert_eq!(fleet.versions(), ["0.1.1"; DESKTOPS], "no other desktop was touched");

    // The agent comes back with another version than the wanted one.
    let wrong = fleet.upgrade(&flags);
    let (code, _, said, asked) = fleet.serve(wrong, Package::Good("0.1.1"));
    assert_eq!((code, asked.len()), (3, 1), "{said}");
}

#[test]
fn downgrade_is_refused_before_anything_starts() {
    let mut fleet = Fleet::start("0.1.5");
    let refused = fleet.upgrade(&["--to", "0.1.2", "--canary", "1"]);
    let (code, _, said, asked) = fleet.serve(refused, Package::Broken);
    assert_eq!((code, asked.len()), (2, 0), "{said}");
    assert!(said.contains("--allow-downgrade") && said.contains("desktop-00 (0.1.5)"), "{said}");
    let allowed = fleet.upgrade(&["--to", "0.1.2", "--canary", "1", "--allow-downgrade"]);
    let (code, _, said, asked) = fleet.serve(allowed, Package::Good("0.1.2"));
    assert_eq!((code, asked.len()), (0, DESKTOPS), "{said}");
    assert_eq!(fleet.versions(), ["0.1.2"; DESKTOPS]);
}

#[test]
fn agents_are_listed_by_version_and_refused_if_too_new() {
    let mut fleet = Fleet::start("0.0.9");
    let all: Vec<String> = (0..DESKTOPS).map(desktop).collect();
    assert_eq!(fleet.listed("outdated=true"), all);
    assert!(fleet.agents.remove(&desktop(0)).unwrap().stop().success());
    fleet.repair(&desktop(0), "0.2.0");
    wait_for("the newer agent", || fleet.listed("agent_version=0.2.0").first().cloned());
    assert_eq!(fleet.listed("outdated=true"), all[1..], "neighbouring versions work together");
    let too_new = fleet.cluster.agent_of_version(DESKTOPS, "0.3.0");
    let log = fleet.cluster.log("agents");
    wait_for("the refusal", || {
        let text = fs::read_to_string(&log).unwrap();
        text.contains("agent 0.3.0 is too much newer than worker").then_some(())
    });
    drop(too_new);
    assert_eq!(fleet.cluster.api.connected(DESKTOPS as u64).len(), DESKTOPS);
}
