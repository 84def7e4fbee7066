//! The deny-list reaches schedulers, workers and agents.

use std::{fs, path::Path, process::Output};

use mtls::{Files, Role};
use proto::scheduler::{HeartbeatRequest, scheduler_service_client::SchedulerServiceClient};
use serde_json::json;
use tonic::transport::Endpoint;

use crate::{
    cluster::{Cluster, TOKEN},
    harness::{graywave, wait_for},
    pki::{self, loaded},
};

/// Runs `graywave certificates` with these certificates.
fn certificates(cluster: &Cluster, files: &Files, arguments: &[&str]) -> Output {
    let mut command = graywave();
    command.arg("certificates").args(arguments).args(["--grpc", &cluster.schedulers[0].0]);
    command.env_remove("GRAYWAVE_TOKEN");
    pki::as_flags(&mut command, files);
    command.output().unwrap()
}

fn deny(cluster: &Cluster, files: &Files, certificate: &Path) {
    let file = certificate.to_str().unwrap();
    let output = certificates(cluster, files, &["deny", "--file", file, "--reason", "stolen"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn wait_until_said(cluster: &Cluster, name: &str, what: &str) {
    wait_for(what, || fs::read_to_string(cluster.log(name)).unwrap().contains(what).then_some(()));
}

/// Certificate files of the role at an address.
fn files_at(cluster: &Cluster, role: &str, address: &str) -> Files {
    let (_, port) = address.rsplit_once(':').unwrap();
    cluster.pki.as_ref().unwrap().of(&format!("{role}-{port}"))
}

#[test]
fn agents_leave_a_denied_worker_and_schedulers_refuse_it() {
    let mut cluster = Cluster::start_with_tls();
    let desktops = cluster.add_agents(4);
    let admin = cluster.pki.as_ref().unwrap().role("admin", "ann");
    let stolen = files_at(&cluster, "worker", &cluster.workers[0].0);
    deny(&cluster, &admin, &stolen.cert);
    // Each agent chose one of the two workers at random; all are at the other one now, because the
    // schedulers give the denied one no work.
    wait_until_said(&cluster, "agents", "new deny-list in use");
    wait_until_said(&cluster, "scheduler", "its certificate is denied");
    cluster.api.connected(4);
    let task = cluster.api.run("true", &desktops, json!({}));
    assert_eq!(cluster.api.ended(&task)["status"], "SUCCESS");
    // Its certificate opens no connection, also not in the hands of a thief.
    let thief = loaded(stolen);
    let endpoint = Endpoint::from_shared(format!("https://{}", cluster.schedulers[1].0)).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let channel = endpoint.connect_with_connector_lazy(mtls::connector(thief, Role::Scheduler));
        let beat = HeartbeatRequest { worker_id: "worker-x".into(), capacity: 1, ..Default::default() };
        SchedulerServiceClient::new(channel).heartbeat(beat).await.unwrap_err();
    });
    let listed = certificates(&cluster, &admin, &["ls", "-o", "json"]);
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(text.contains("graywave://role/worker/") && text.contains("stolen"), "{text}");
}

#[test]
fn denied_signer_signs_no_more_orders() {
    let mut cluster = Cluster::start_with_tls();
    let desktops = cluster.add_agents(1);
    let admin = cluster.pki.as_ref().unwrap().role("admin", "ann");
    for (address, _) in &cluster.schedulers {
        deny(&cluster, &admin, &files_at(&cluster, "signer", address).cert);
    }
    wait_until_said(&cluster, "scheduler", "order signing stopped");
    let task = cluster.api.run("true", &desktops, json!({}));
    // A new signer takes over without a restart.
    for (address, _) in &cluster.schedulers {
        let (_, port) = address.rsplit_once(':').unwrap();
        cluster.pki.as_ref().unwrap().role("signer", port);
    }
    wait_until_said(&cluster, "scheduler", "new signer in use");
    assert_eq!(cluster.api.ended(&task)["status"], "SUCCESS");
    wait_until_said(&cluster, "agents", "new deny-list in use");
}

#[test]
fn only_a_cluster_administrator_denies_certificates() {
    let cluster = Cluster::start_with_tls();
    let pki = cluster.pki.as_ref().unwrap();
    let (admin, worker) = (pki.role("admin", "ann"), pki.role("worker", "w"));
    let refused = |files: &Files, arguments: &[&str], said: &str| {
        let output = certificates(&cluster, files, arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(said), "{arguments:?}: {error}");
    };
    refused(&worker, &["deny", "0102"], "may not call this");
    refused(&admin, &["deny", "0102", "--token", TOKEN], "certificate");
    refused(&admin, &["deny", "not hex"], "hex digits");
    refused(&admin, &["allow", "0102"], "is not denied");
    let denied = certificates(&cluster, &admin, &["deny", "01:02"]);
    assert!(denied.status.success(), "{}", String::from_utf8_lossy(&denied.stderr));
    refused(&admin, &["deny", "0102"], "is denied already");
    let allowed = certificates(&cluster, &admin, &["allow", "0102"]);
    assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
    let listed = certificates(&cluster, &admin, &["ls", "-o", "name"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), "");
}
