//! A database outage longer than every lease and worker timeout.

use std::{fs, path::Path};

use pgcluster::{Durability, Options};
use serde_json::json;

use crate::{
    cluster::Cluster,
    harness::{directory, wait_for},
};

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn postgres_outage_refuses_requests_and_loses_no_result() {
    let home = directory();
    let options = Options {
        directory: home.path().join("postgres"),
        binaries: pgcluster::find_binaries().unwrap(),
        durability: Durability::Full,
        max_connections: 100,
        preload: "",
    };
    let mut postgres = pgcluster::Cluster::start(&options).unwrap();
    let mut cluster = Cluster::start_on(&postgres.url("postgres"));
    let desktops = cluster.add_agents(4);
    let [starts, ends, gate] = ["starts", "ends", "gate"].map(|name| cluster.directory.path().join(name));
    let script = format!(
        "echo >> {}; until [ -e {} ]; do sleep 0.05; done; echo >> {}",
        starts.display(),
        gate.display(),
        ends.display()
    );
    let task = cluster.api.run(&script, &desktops, json!({}));
    wait_for("all starts", || (lines(&starts) == 4).then_some(()));
    postgres.crash().unwrap();

    // The scripts continue and end, and their results wait. Two results are in journals of agents
    // that are killed and restarted. The others are in a worker or an agent.
    fs::write(&gate, "").unwrap();
    wait_for("all ends", || (lines(&ends) == 4).then_some(()));
    wait_for("the results in the journals", || {
        let journal =
            |number: usize| cluster.directory.path().join(format!("desktop-{number:02}/journal.log"));
        (0..2)
            .all(|number| fs::read_to_string(journal(number)).is_ok_and(|text| text.contains("\"finished\"")))
            .then_some(())
    });
    for number in 0..2 {
        cluster.agents[number].kill();
        cluster.agents[number] = cluster.agent(number);
    }
    let (address, worker) = &mut cluster.workers[0];
    worker.kill();
    let address = address.clone();
    cluster.workers[0].1 = cluster.worker(&address);
    // Each refusal takes one second, together longer than leases and worker timeouts here.
    let body = json!({"resource_ids": desktops, "command": "true", "command_type": "SHELL"});
    for _ in 0..4 {
        assert_eq!(cluster.api.try_post("/script-executions", &body), Some((503, Some("5".to_owned()))));
    }
    postgres.restart().unwrap();

    let ended = cluster.api.ended(&task);
    assert_eq!((&ended["status"], &ended["success_num"]), (&json!("SUCCESS"), &json!(4)));
    assert_eq!((lines(&starts), lines(&ends)), (4, 4), "nothing ran twice");
    assert_eq!(cluster.api.get("/script-execution-tasks")["count"], 1, "refused submissions are not stored");
    let after = cluster.api.run("true", &cluster.api.connected(4), json!({}));
    assert_eq!(cluster.api.ended(&after)["success_num"], 4);
}
