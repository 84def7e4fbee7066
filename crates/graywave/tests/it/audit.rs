//! The audit of a cluster with TLS: its seals, and the entries that belong to no project.

use std::path::Path;

use mtls::Files;
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, PROJECT},
    harness::{directory, graywave, wait_for},
    pki::{self, Pki},
};

fn verify(cluster: &Cluster, arguments: &[&str], ca: Option<&Path>) -> (i32, String) {
    let mut command = graywave();
    command.args(["audit", "verify"]).args(arguments).env("DATABASE_URL", cluster.database_url());
    if let Some(ca) = ca {
        command.arg("--ca-file").arg(ca);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap(), text + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn seals_are_verified_against_the_ca_of_their_signer() {
    let cluster = Cluster::start_with_tls();
    cluster.create_project();
    let ca = cluster.pki.as_ref().unwrap().role("admin", "ann").ca;
    let as_json = |ca: &Path| {
        let (code, text) = verify(&cluster, &["--project", PROJECT, "--output", "json"], Some(ca));
        (code, serde_json::from_str::<Value>(&text).unwrap())
    };
    let (code, verdict) = wait_for("a seal of the project's only entry", || {
        let (code, verdict) = as_json(&ca);
        (verdict["chains"][0]["sealed_entries"] == 1).then_some((code, verdict))
    });
    assert_eq!((code, &verdict["intact"], &verdict["signatures_verified"]), (0, &json!(true), &json!(true)));
    let chain = &verdict["chains"][0];
    assert_eq!((&chain["unsigned_seals"], &chain["unsealed_entries"]), (&json!(0), &json!(0)));
    assert_eq!((&chain["project_id"], &chain["last_seal"]), (&json!(PROJECT), &json!(1)));

    let strange = directory();
    let strange = Pki::new(strange.path()).role("admin", "ann").ca;
    let (code, verdict) = as_json(&strange);
    let broken = &verdict["chains"][0]["broken"];
    assert_eq!((code, &broken["fault"], &broken["seal"]), (1, &json!("FORGED_SIGNATURE"), &json!(1)));

    let (code, table) = verify(&cluster, &[], None);
    assert_eq!(code, 0, "{table}");
    assert!(table.contains("intact") && table.contains("signatures were not verified"), "{table}");
    let (code, message) = verify(&cluster, &[], Some(Path::new("/nowhere")));
    assert!(code == 1 && message.contains("--ca-file: cannot read /nowhere"), "{code} {message}");
}

#[test]
fn only_an_administrator_of_the_cluster_drains_workers() {
    let cluster = Cluster::start_with_tls();
    cluster.create_project();
    cluster.command(&["admin", "principals", "put", "boss", "--project", PROJECT, "--policy", "admin"]);
    let pki = cluster.pki.as_ref().unwrap();
    let (tenant, admin) = (pki.principal(PROJECT, "boss"), pki.role("admin", "ann"));
    let asked = |arguments: &[&str], files: &Files| {
        let mut command = graywave();
        command.args(arguments).args(["--grpc", &cluster.schedulers[0].0]);
        command.env_remove("GRAYWAVE_TOKEN").stdin(std::process::Stdio::null());
        pki::as_flags(&mut command, files);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap(), text + &String::from_utf8_lossy(&output.stderr))
    };
    let worker_id = wait_for("a worker", || {
        let (code, listed) = asked(&["workers", "ls", "-o", "name"], &admin);
        (code == 0).then(|| listed.lines().next().map(str::to_owned)).flatten()
    });
    // Every policy of the project, and none of the cluster's rights.
    for command in [&["workers"][..], &["workers", "drain", &worker_id], &["workers", "undrain", &worker_id]]
    {
        let (code, message) = asked(command, &tenant);
        assert!(code == 5 && message.contains("access.cluster_admins"), "{command:?}: {code} {message}");
    }
    let (code, message) = asked(&["workers", "drain", &worker_id], &admin);
    assert_eq!(code, 0, "{message}");
    let (code, entries) = asked(&["audit", "-o", "json"], &admin);
    assert_eq!(code, 0, "{entries}");
    let entries: Value = serde_json::from_str(&entries).unwrap();
    let entry = &entries[0];
    assert_eq!(entries.as_array().unwrap().len(), 1);
    assert_eq!(
        (&entry["action"], &entry["resource"], &entry["principal"]),
        (&json!("graywave:workers:drain"), &json!(format!("worker:{worker_id}")), &json!("certificate"))
    );
    let (code, own) = asked(&["audit", "-o", "json", "--action", "graywave:workers:drain"], &tenant);
    let own: Value = serde_json::from_str(&own).unwrap();
    assert_eq!((code, &own[0]["result"]), (0, &json!("REFUSED")), "a tenant sees its own refusal only");
    assert_eq!(own.as_array().unwrap().len(), 1);
}
