//! A cluster with mutual TLS, and the peers that it refuses.

use std::{
    fs,
    io::Write as _,
    net::{Shutdown, TcpStream},
};

use mtls::{Files, Role, Tls, read_certificates, read_facts};
use proto::{
    admin::{ListWorkersRequest, worker_service_client::WorkerServiceClient},
    agent::{AttachRequest, Hello, agent_service_client::AgentServiceClient, attach_request},
    scheduler::{HeartbeatRequest, scheduler_service_client::SchedulerServiceClient},
    types::Desktop,
};
use serde_json::json;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    cluster::{Cluster, PROJECT, TOKEN, desktop},
    harness::{directory, graywave, wait_for},
    pki::{self, Pki, loaded},
};

/// Counts the occurrences of a text in a log.
fn said(cluster: &Cluster, log: &str, what: &str) -> usize {
    fs::read_to_string(cluster.log(log)).unwrap_or_default().matches(what).count()
}

fn wait_until_said(cluster: &Cluster, log: &str, what: &str) {
    wait_for(what, || (said(cluster, log, what) > 0).then_some(()));
}

fn runs_on(cluster: &Cluster, desktops: &[String]) {
    let task = cluster.api.run("true", desktops, json!({"gray_count": 2, "gray_fail_threshold": 1}));
    assert_eq!(cluster.api.ended(&task)["success_num"], desktops.len());
}

/// Returns all certificate owners, each with the log that it writes.
fn everybody(cluster: &Cluster) -> Vec<(&'static str, String)> {
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    let workers = cluster.workers.iter().map(|(address, _)| ("worker", format!("worker-{}", port(address))));
    let schedulers =
        cluster.schedulers.iter().map(|(address, _)| ("scheduler", format!("scheduler-{}", port(address))));
    let agents = (0..cluster.agents.len()).map(|number| ("agents", desktop(number)));
    workers.chain(schedulers).chain(agents).collect()
}

/// Returns the serial number of a certificate file.
fn serial(pki: &Pki, who: &str) -> String {
    let certificates = read_certificates(&fs::read(pki.of(who).cert).unwrap()).unwrap();
    read_facts(&certificates[0]).unwrap().serial
}

/// Issues a new signer to each scheduler and waits until it is in use.
fn another_signer_each(cluster: &Cluster, pki: &Pki) {
    for (address, _) in &cluster.schedulers {
        let (_, port) = address.rsplit_once(':').unwrap();
        pki.role("signer", port);
        let serial = serial(pki, &format!("signer-{port}"));
        wait_until_said(cluster, "scheduler", &format!("new signer in use: {serial}"));
    }
}

/// Waits until every process uses its current files.
fn in_use(cluster: &Cluster, pki: &Pki, trusted: usize) {
    for (log, who) in everybody(cluster) {
        let serial = serial(pki, &who);
        wait_until_said(cluster, log, &format!("in use: {serial}, trusting {trusted} CAs"));
    }
}

#[test]
fn ca_rotation_interrupts_no_rollout_and_no_connection() {
    let mut cluster = Cluster::start_with_tls();
    let desktops = cluster.add_agents(3);
    runs_on(&cluster, &desktops);
    let pki = cluster.pki.as_ref().unwrap();
    let old = pki.desktop(PROJECT, &desktop(3));
    let all: Vec<Files> = everybody(&cluster).iter().map(|(_, who)| pki.of(who)).collect();

    pki.ca(&["rotate"]);
    pki.bring_ca(&all);
    in_use(&cluster, pki, 2);
    for (_, who) in everybody(&cluster) {
        match who.split_once('-').unwrap() {
            ("desktop", _) => pki.desktop(PROJECT, &who),
            (role, name) => pki.role(role, name),
        };
    }
    another_signer_each(&cluster, pki);
    in_use(&cluster, pki, 2);
    pki.ca(&["drop-old"]);
    pki.bring_ca(&all);
    in_use(&cluster, pki, 1);

    runs_on(&cluster, &desktops);
    assert_eq!(said(&cluster, "agents", "attached"), 3, "no agent reconnected");
    pki.bring_ca(std::slice::from_ref(&old));
    let refused = cluster.agent_with(3, Some(&old));
    wait_until_said(&cluster, "worker", "its certificate is from another CA");
    drop(refused);
    let _fourth = cluster.agent(3);
    assert_eq!(cluster.api.connected(4).len(), 4);
}

#[test]
fn signer_rotation_interrupts_no_rollout_and_no_agent() {
    let mut cluster = Cluster::start_with_tls();
    let desktops = cluster.add_agents(3);
    runs_on(&cluster, &desktops);
    let pki = cluster.pki.as_ref().unwrap();
    // One after the other, so that signatures of two certificate generations coexist.
    another_signer_each(&cluster, pki);
    runs_on(&cluster, &desktops);
    runs_on(&cluster, &desktops);
    assert_eq!(said(&cluster, "agents", "attached"), 3, "no agent reconnected");
    assert_eq!(said(&cluster, "agents", "order refused"), 0);
}

#[test]
fn invalid_certificate_is_refused_with_a_logged_reason() {
    let mut cluster = Cluster::start_with_tls();
    let desktops = cluster.add_agents(2);
    let pki = cluster.pki.as_ref().unwrap();
    let other = Pki::new(&cluster.directory.path().join("other"));

    let stranger = other.desktop(PROJECT, &desktop(7));
    pki.bring_ca(std::slice::from_ref(&stranger));
    let _stranger = cluster.agent_with(7, Some(&stranger));
    wait_until_said(&cluster, "worker", "its certificate is from another CA");
    let _late = cluster.agent_with(8, Some(&pki.expired(PROJECT, &desktop(8))));
    wait_until_said(&cluster, "worker", "its certificate has expired");
    // A valid certificate, but of another desktop.
    let _liar = cluster.agent_with(6, Some(&pki.desktop(PROJECT, &desktop(9))));
    let refusal = "the certificate names graywave://desktop/project-1/desktop-09, \
                   but the agent claims graywave://desktop/project-1/desktop-06";
    wait_until_said(&cluster, "worker", "agent refused");
    wait_until_said(&cluster, "agents", refusal);
    for (log, address) in [("worker", &cluster.workers[0].0), ("scheduler", &cluster.schedulers[0].0)] {
        let mut plain = TcpStream::connect(address).unwrap();
        plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        plain.shutdown(Shutdown::Write).unwrap();
        wait_until_said(&cluster, log, "the peer does not speak TLS");
    }
    assert_eq!(cluster.api.connected(2), desktops);
    runs_on(&cluster, &desktops);
}

async fn dial(address: &str, tls: Tls, role: Role) -> Channel {
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    endpoint.connect_with_connector(mtls::connector(tls, role)).await.unwrap()
}

async fn beat(scheduler: &Channel, worker_id: &str) -> Result<(), Status> {
    let beat = HeartbeatRequest { worker_id: worker_id.to_owned(), capacity: 1, ..Default::default() };
    SchedulerServiceClient::new(scheduler.clone()).heartbeat(beat).await.map(drop)
}

async fn list(scheduler: &Channel) -> Result<(), Status> {
    let mut request = Request::new(ListWorkersRequest::default());
    request.metadata_mut().insert("x-auth-token", TOKEN.parse().unwrap());
    WorkerServiceClient::new(scheduler.clone()).list_workers(request).await.map(drop)
}

async fn attach(worker: &Channel, project: &str, desktop: &str) -> Result<(), Status> {
    let desktop = Desktop { project_id: project.into(), desktop_id: desktop.into(), ..Desktop::default() };
    let hello = attach_request::Message::Hello(Hello { desktop: Some(desktop) });
    let requests = tokio_stream::iter([AttachRequest { message: Some(hello) }]);
    AgentServiceClient::new(worker.clone()).attach(requests).await?.into_inner().message().await.map(drop)
}

#[test]
fn each_role_may_call_what_is_for_it() {
    let cluster = Cluster::start_with_tls();
    let pki = cluster.pki.as_ref().unwrap();
    let run = "0198f0000000700080000000000000ab";
    let refused = |answer: Result<(), Status>| {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    };
    wait_until_said(&cluster, "scheduler", "scheduler ready");
    wait_until_said(&cluster, "worker", "the schedulers admit this worker");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let to_scheduler = async |files| {
            let (address, _) = &cluster.schedulers[0];
            dial(address, loaded(files), Role::Scheduler).await
        };
        let worker = to_scheduler(pki.role("worker", "w1")).await;
        beat(&worker, &format!("worker-w1-{run}")).await.unwrap();
        refused(beat(&worker, &format!("worker-w2-{run}")).await);
        refused(list(&worker).await);
        for role in ["admin", "api"] {
            let operator = to_scheduler(pki.role(role, "ann")).await;
            list(&operator).await.unwrap();
            refused(beat(&operator, &format!("worker-ann-{run}")).await);
        }
        let agent = to_scheduler(pki.desktop(PROJECT, "d")).await;
        refused(list(&agent).await);
        refused(beat(&agent, &format!("worker-d-{run}")).await);
        let (address, _) = &cluster.workers[0];
        let to_worker = async |files| dial(address, loaded(files), Role::Worker).await;
        refused(attach(&to_worker(pki.role("worker", "w1")).await, PROJECT, "d").await);
        let agent = to_worker(pki.desktop(PROJECT, "d")).await;
        refused(attach(&agent, PROJECT, "another").await);
        refused(attach(&agent, "another", "d").await);
        attach(&agent, PROJECT, "d").await.unwrap();
    });
    assert!(said(&cluster, "scheduler", "call refused: wrong role") >= 5);
    let mut command = graywave();
    command.args(["workers", "--grpc", &cluster.schedulers[0].0, "--token", TOKEN]);
    pki::as_flags(&mut command, &pki.role("admin", "ann"));
    let output = command.output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.contains("worker-w1-"), "{listed}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_person_with_a_certificate_needs_no_token() {
    let cluster = Cluster::start_with_tls();
    let pki = cluster.pki.as_ref().unwrap();
    wait_until_said(&cluster, "scheduler", "scheduler ready");
    cluster.create_project();
    cluster.command(&["admin", "principals", "put", "ann", "--project", PROJECT, "--policy", "reader"]);
    let files = pki.principal(PROJECT, "ann");
    let scratch = directory();
    let contexts = scratch.path().join("contexts.toml");
    let asked = |arguments: &[&str], files: Option<&Files>| {
        let mut command = graywave();
        command.args(arguments).env("GRAYWAVE_CONTEXTS", &contexts).stdin(std::process::Stdio::null());
        command.env_remove("GRAYWAVE_TOKEN");
        if let Some(files) = files {
            command.args(["--grpc", &cluster.schedulers[0].0]);
            pki::as_flags(&mut command, files);
        }
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // Stored once by `login` and used by the following commands.
    assert_eq!(asked(&["login"], Some(&files)), (0, login_said(&cluster)));
    assert_eq!(asked(&["ls"], None).0, 0);
    let (code, message) = asked(&["freeze"], None);
    assert!(code == 5 && message.contains("no policy allows graywave:project:freeze"), "{code} {message}");
    let (code, message) = asked(&["ls"], Some(&pki.principal(PROJECT, "bob")));
    assert!(code == 5 && message.contains("principal does not exist"), "{code} {message}");
    // The issuer of desktop certificates cannot issue a certificate of a principal.
    pki.issuer();
    let stolen = pki.stolen(&format!("graywave://principal/{PROJECT}/ann"));
    let (code, message) = asked(&["ls"], Some(&stolen));
    assert!(code == 6 && message.contains("the connection ended"), "{code} {message}");
    wait_until_said(&cluster, "scheduler", "its certificate is from another CA");
}

#[test]
fn wrong_port_of_a_role_with_tls_is_named() {
    let cluster = Cluster::start_with_tls();
    wait_until_said(&cluster, "scheduler", "scheduler ready");
    let (scheduler, worker) = (&cluster.schedulers[0].0, &cluster.workers[0].0);
    let ca_file =
        cluster.pki.as_ref().unwrap().of(&format!("worker-{}", worker.rsplit_once(':').unwrap().1)).ca;
    let scratch = directory();
    let login = |address: &str| {
        let mut command = graywave();
        command.args(["login", address, "--token", TOKEN, "--ca-file"]).arg(&ca_file);
        command.env("GRAYWAVE_CONTEXTS", scratch.path().join("contexts.toml"));
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, message) = login(scheduler);
    assert!(code == 6 && message.contains("accepts only clients with a certificate"), "{code} {message}");
    let (code, message) = login(&format!("https://{worker}"));
    assert!(code == 6 && message.contains("is a worker's port for agents"), "{code} {message}");
}

fn login_said(cluster: &Cluster) -> String {
    format!("Logged in to project {PROJECT} at {}; saved as context \"default\"\n", cluster.schedulers[0].0)
}

#[test]
fn what_a_role_lacks_of_certificates_is_said() {
    let directory = directory();
    let refused = |arguments: &[&str], settings: &[(&str, &str)]| {
        let output = graywave()
            .args(arguments)
            .env("DATABASE_URL", "postgres://127.0.0.1:1/none")
            .envs(settings.iter().copied())
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let everywhere = "0.0.0.0:0";
    for flag in ["--grpc", "--agents"] {
        let mut arguments = vec!["dev", "--http", "127.0.0.1:0"];
        for other in ["--grpc", "--agents"] {
            arguments.extend([other, if other == flag { everywhere } else { "127.0.0.1:0" }]);
        }
        assert!(refused(&arguments, &[]).contains("graywave dev has no TLS"));
    }
    let text = refused(&["worker"], &[("GRAYWAVE__TLS__CA_FILE", "ca.crt")]);
    assert!(text.contains("name all three"), "{text}");
    let pki = Pki::new(&directory.path().join("pki"));
    let mut command = graywave();
    command.arg("worker").env("GRAYWAVE__WORKER__LISTEN", "127.0.0.1:0");
    pki::of_role(&mut command, &pki.role("scheduler", "s"));
    let text = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(text.contains("names graywave://role/scheduler/s, but this is a worker"), "{text}");
    // A role without certificates neither listens to nor connects to other machines.
    for role in ["worker", "scheduler"] {
        let key = format!("GRAYWAVE__{}__LISTEN", role.to_uppercase());
        let text = refused(&[role], &[(&key, everywhere)]);
        assert!(text.contains("without TLS; listen on 127.0.0.1") && text.contains("tls.ca_file"), "{text}");
    }
    let far = [
        ("GRAYWAVE__WORKER__LISTEN", "127.0.0.1:0"),
        ("GRAYWAVE__WORKER__SCHEDULER_URLS", "http://10.9.8.7:1"),
    ];
    let text = refused(&["worker"], &far);
    assert!(text.contains("without TLS only this machine may be dialled"), "{text}");
    let mut command = graywave();
    command.arg("scheduler").env("GRAYWAVE__SCHEDULER__LISTEN", "127.0.0.1:0");
    pki::of_role(&mut command, &pki.role("scheduler", "s"));
    let text = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(text.contains("set orders.cert_file and orders.key_file"), "{text}");
    pki::signs_with(&mut command, &pki.role("worker", "w"));
    let text = String::from_utf8(command.output().unwrap().stderr).unwrap();
    assert!(text.contains("contains no Ed25519 key"), "{text}");
    let text = refused(&["check-config"], &[("GRAYWAVE__ORDERS__KEY_FILE", "k")]);
    assert!(text.contains("name both"), "{text}");
}
