//! Metrics and health as seen by probes and collectors.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Dev, directory, wait_for};

pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut answer = agent.get(format!("http://{address}{path}")).call().unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

/// Runs `graywave healthcheck`. Returns whether the role is ready, and the reason otherwise.
fn healthcheck(address: &str) -> (bool, String) {
    let asked = Command::new(env!("CARGO_BIN_EXE_graywave"))
        .arg("healthcheck")
        .env("GRAYWAVE__TELEMETRY__LISTEN", address)
        .output()
        .unwrap();
    (asked.status.success(), String::from_utf8(asked.stderr).unwrap())
}

#[test]
fn a_healthcheck_says_why_a_role_is_not_ready() {
    let (ready, said) = healthcheck("127.0.0.1:1");
    assert!(!ready && said.contains("cannot connect to 127.0.0.1:1"), "{said}");
    // A worker without a scheduler.
    let [address] = pgcluster::free_addresses().unwrap();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_graywave"))
        .arg("worker")
        .env("GRAYWAVE__WORKER__LISTEN", "127.0.0.1:0")
        .env("GRAYWAVE__WORKER__SCHEDULER_URLS", "http://127.0.0.1:1")
        .env("GRAYWAVE__TELEMETRY__LISTEN", &address)
        .env("GRAYWAVE__TELEMETRY__CELL", "eu-1")
        .env("GRAYWAVE__TELEMETRY__FORMAT", "json")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the worker's reason", || {
        let (ready, said) = healthcheck(&address);
        assert!(!ready, "{said}");
        said.contains("not ready: no scheduler answers the worker's heartbeats").then_some(())
    });
    let (_, metrics) = get(&address, "/metrics");
    let samples: Vec<&str> =
        metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    assert!(!samples.is_empty() && samples.iter().all(|line| line.contains("cell=\"eu-1\"")), "{metrics}");
    worker.kill().unwrap();
    let output = worker.wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line["cell"] == "eu-1"), "{log}");
    let waits =
        |line: &&Value| line["fields"]["message"].to_string().contains("waiting: no scheduler answers");
    assert_eq!(lines.iter().filter(waits).count(), 1, "{log}");
}

/// Returns the value of a metrics line.
fn number(metrics: &str, line: &str) -> Option<f64> {
    metrics.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
}

#[test]
fn a_cluster_tells_what_it_does() {
    let [address] = pgcluster::free_addresses().unwrap();
    let directory = directory();
    let dev = Dev::start(&directory.path().join("data"), 3, &[("GRAYWAVE__TELEMETRY__LISTEN", &address)]);
    assert_eq!(get(&address, "/healthz"), (200, "alive\n".into()));
    assert_eq!(get(&address, "/readyz"), (200, "ready\n".into()));
    assert_eq!(healthcheck(&address), (true, String::new()));
    let desktops = dev.api.connected(3);
    let task = dev.api.run("[ $GRAYWAVE_DESKTOP_ID != desktop-0002 ]", &desktops, json!({}));
    dev.api.ended(&task);
    let metrics = wait_for("the gauges", || {
        let (_, metrics) = get(&address, "/metrics");
        (number(&metrics, "graywave_agents_connected") == Some(3.0)).then_some(metrics)
    });
    for (line, wanted) in [
        ("graywave_records_total{outcome=\"SUCCESS\"}", 2.0),
        ("graywave_records_total{outcome=\"FAILED\"}", 1.0),
        ("graywave_targets_leased_total", 3.0),
        ("graywave_orders_total", 3.0),
        ("graywave_results_total", 3.0),
        ("graywave_start_seconds_count", 3.0),
    ] {
        assert_eq!(number(&metrics, line), Some(wanted), "{line}\n{metrics}");
    }
    // By route, not by the values in the path.
    let submitted = "graywave_http_requests_total{method=\"POST\",path=\"/v2/{project_id}/script-executions\",status=\"200\"}";
    assert_eq!(number(&metrics, submitted), Some(1.0), "{metrics}");
    assert!(!metrics.contains(&task) && !metrics.contains(dev.ready["token"].as_str().unwrap()));
}
