//! Machines enrol as desktops with a token, renew their certificates, and are revoked.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mtls::{Anonymous, Dialling, EnrolmentToken, Facts, Files, Role, read_certificates, read_facts};
use proto::{
    agent::{
        AttachRequest, EnrolRequest, Hello, RenewRequest, agent_service_client::AgentServiceClient,
        attach_request, attach_response, enrolment_service_client::EnrolmentServiceClient,
    },
    certificate_signing,
    scheduler::{HeartbeatRequest, scheduler_service_client::SchedulerServiceClient},
    types::Desktop,
};
use serde_json::{Value, json};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    cluster::{Cluster, PROJECT},
    harness::{Process, wait_for},
    pki::{self, loaded},
};

/// Longer than any test.
pub(crate) const LONG: f64 = 30.0;
const SECOND: f64 = 1.0 / 86_400.0;

/// Creates a token and stores it in a file.
pub(crate) fn token(cluster: &Cluster, name: &str, more: &[&str]) -> (PathBuf, Value) {
    let arguments = ["admin", "enrolment-tokens", "create", "--project", PROJECT];
    let made: Value = serde_json::from_str(&cluster.command(&[&arguments[..], more].concat())).unwrap();
    let path = cluster.directory.path().join(name);
    fs::write(&path, made["token"].as_str().unwrap()).unwrap();
    (path, made)
}

fn log(cluster: &Cluster, name: &str) -> String {
    fs::read_to_string(cluster.log(name)).unwrap_or_default()
}

pub(crate) fn wait_until_said(cluster: &Cluster, name: &str, what: &str) {
    wait_for(what, || log(cluster, name).contains(what).then_some(()));
}

/// Returns the path of an agent's certificate.
pub(crate) fn certificate(cluster: &Cluster, name: &str) -> PathBuf {
    cluster.directory.path().join(name).join("identity/certificate.pem")
}

pub(crate) fn serial(path: &Path) -> String {
    read_facts(&read_certificates(&fs::read(path).unwrap()).unwrap()[0]).unwrap().serial
}

fn runs_on(cluster: &Cluster, desktop: &str) {
    let task = cluster.api.run("true", &[desktop.to_owned()], json!({}));
    assert_eq!(cluster.api.ended(&task)["status"], "SUCCESS");
}

pub(crate) fn enrolled(cluster: &Cluster, name: &str, token: &Path) -> Process {
    let agent = cluster.enrolling(name, Some(name), token);
    wait_until_said(cluster, name, "attached");
    agent
}

#[test]
fn machine_enrols_once_and_runs_as_its_certificates_name() {
    let cluster = Cluster::start_with_enrolment(LONG);
    let (file, made) = token(&cluster, "token", &[]);
    let mut agent = enrolled(&cluster, "pc-1", &file);
    cluster.api.connected(1);
    runs_on(&cluster, "pc-1");
    let first = serial(&certificate(&cluster, "pc-1"));
    // A second machine with the same token is refused.
    let _late = cluster.enrolling("pc-2", Some("pc-2"), &file);
    wait_until_said(&cluster, "pc-2", "the enrolment token is used up");
    // After a restart, the agent keeps its desktop id and ignores the id of its flags. It needs no
    // token.
    assert!(agent.stop().success());
    fs::remove_file(&file).unwrap();
    let _again = cluster.enrolling("pc-1", Some("another"), &file);
    wait_until_said(&cluster, "pc-1", "the certificate's desktop id replaces the proposed one");
    assert_eq!(cluster.api.connected(1), ["pc-1"]);
    assert_eq!(serial(&certificate(&cluster, "pc-1")), first);
    let listed = cluster.command(&["admin", "enrolment-tokens", "list", "--project", PROJECT]);
    assert!(listed.contains("used up") && !listed.contains(made["token"].as_str().unwrap()), "{listed}");
    let audit = cluster.api.native().get("/audit").to_string();
    assert!(
        audit.contains("graywave:desktops:enrol") && audit.contains("desktop:pc-1 certificate:"),
        "{audit}"
    );
    for name in ["scheduler", "worker", "pc-1", "pc-2", "api"] {
        assert!(
            !log(&cluster, name).contains(made["token"].as_str().unwrap()),
            "the log of {name} contains the token"
        );
    }
}

pub(crate) async fn dial(address: &str, who: Dialling, role: Role) -> Channel {
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    endpoint.connect_with_connector(mtls::connector(who, role)).await.unwrap()
}

/// Request of a machine that has a token.
pub(crate) fn enrol_request(token: &str, desktop: &str, key: &mtls::NewKey) -> EnrolRequest {
    let (token, desktop_id) = (EnrolmentToken::read(token).unwrap(), desktop.to_owned());
    let certificate_request = key.request().unwrap();
    let signed = certificate_signing::enrolment(token.id(), desktop, &certificate_request);
    let (token_id, signature) = (token.id().to_owned(), token.sign(&signed));
    EnrolRequest { token_id, certificate_request, desktop_id, signature }
}

pub(crate) async fn enrol(
    worker: &Channel,
    token: &str,
    desktop: &str,
    key: &mtls::NewKey,
) -> Result<Vec<Vec<u8>>, Status> {
    let request = enrol_request(token, desktop, key);
    let answer = EnrolmentServiceClient::new(worker.clone()).enrol(request).await?.into_inner();
    Ok(answer.certificate.unwrap().chain)
}

/// Attaches as a desktop until the stream ends.
async fn attach(
    worker: &Channel,
    desktop: &str,
) -> Result<tonic::Streaming<proto::agent::AttachResponse>, Status> {
    let desktop = Desktop { project_id: PROJECT.into(), desktop_id: desktop.into(), ..Desktop::default() };
    attach_as(worker, desktop).await
}

async fn attach_as(
    worker: &Channel,
    desktop: Desktop,
) -> Result<tonic::Streaming<proto::agent::AttachResponse>, Status> {
    let hello = attach_request::Message::Hello(Hello { desktop: Some(desktop) });
    let hello = AttachRequest { message: Some(hello) };
    let requests = tokio_stream::StreamExt::chain(tokio_stream::iter([hello]), tokio_stream::pending());
    let mut responses = AgentServiceClient::new(worker.clone()).attach(requests).await?.into_inner();
    responses.message().await?;
    Ok(responses)
}

/// Writes the files of a manual enrolment.
pub(crate) fn files(cluster: &Cluster, key: &mtls::NewKey, chain: &[Vec<u8>]) -> Files {
    let file = cluster.directory.path().join("enrolled.pem");
    let certificates = chain.iter().map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der.as_slice())));
    fs::write(&file, std::iter::once(key.pem()).chain(certificates).collect::<String>()).unwrap();
    Files { ca: cluster.directory.path().join("pki/ca/ca.crt"), cert: file.clone(), key: file }
}

async fn refused(worker: &Channel, token: &str, id: &str, key: &mtls::NewKey, code: Code, said: &str) {
    let status = enrol(worker, token, id, key).await.unwrap_err();
    assert!(status.code() == code && status.message().contains(said), "{status}");
}

#[test]
fn who_shows_no_certificate_may_enrol_and_nothing_else() {
    let cluster = Cluster::start_with_enrolment(LONG);
    let (_, bound) = token(&cluster, "bound", &["--desktop", "pc-1"]);
    let (_, many) = token(&cluster, "many", &["--uses", "2"]);
    let text = |made: &Value| made["token"].as_str().unwrap().to_owned();
    wait_until_said(&cluster, "worker", "the schedulers admit this worker");
    wait_until_said(&cluster, "scheduler", "issuer of desktop certificates loaded");
    let pki = cluster.pki.as_ref().unwrap();
    let stranger = Anonymous::load(&pki.role("admin", "ann").ca).unwrap();
    let key = mtls::NewKey::generate().unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let worker = dial(&cluster.workers[0].0, stranger.clone().into(), Role::Worker).await;
        let status = attach(&worker, "pc-1").await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        let certificate_request = key.request().unwrap();
        let renewal = RenewRequest { certificate_request, signature: Vec::new() };
        let status = EnrolmentServiceClient::new(worker.clone()).renew(renewal).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        // A scheduler refuses it, too.
        let endpoint = Endpoint::from_shared(format!("https://{}", cluster.schedulers[0].0)).unwrap();
        let scheduler = endpoint.connect_with_connector_lazy(mtls::connector(stranger, Role::Scheduler));
        let beat = HeartbeatRequest { worker_id: "worker-x".into(), capacity: 1, ..Default::default() };
        SchedulerServiceClient::new(scheduler).heartbeat(beat).await.unwrap_err();

        let nobodys = "0".repeat(80);
        refused(&worker, &nobodys, "pc-1", &key, Code::Unauthenticated, "unknown enrolment token").await;
        let mistyped = format!("{}x", text(&bound));
        refused(&worker, &mistyped, "pc-1", &key, Code::Unauthenticated, "unknown enrolment token").await;
        let without_id = EnrolRequest::default();
        let status = EnrolmentServiceClient::new(worker.clone()).enrol(without_id).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        refused(&worker, &text(&bound), "pc-2", &key, Code::PermissionDenied, "for desktop pc-1").await;
        let large = EnrolRequest { signature: vec![0; 20_000], ..enrol_request(&text(&bound), "pc-1", &key) };
        assert!(EnrolmentServiceClient::new(worker.clone()).enrol(large).await.is_err());
        // After a lost response, the same key receives its certificate again. Another key does not.
        let chain = enrol(&worker, &text(&bound), "pc-1", &key).await.unwrap();
        assert_eq!(enrol(&worker, &text(&bound), "pc-1", &key).await.unwrap(), chain);
        let other = mtls::NewKey::generate().unwrap();
        refused(&worker, &text(&bound), "pc-1", &other, Code::Unauthenticated, "used up").await;
        // The desktop id is taken, even with a valid token.
        refused(&worker, &text(&many), "pc-1", &other, Code::FailedPrecondition, "revoke the desktop").await;
        enrol(&worker, &text(&many), "pc-3", &other).await.unwrap();

        // The certificate is valid for its desktop only and cannot be renewed immediately.
        let tls = loaded(files(&cluster, &key, &chain));
        let desktop = dial(&cluster.workers[0].0, tls.clone().into(), Role::Worker).await;
        let status = attach(&desktop, "pc-3").await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        attach(&desktop, "pc-1").await.unwrap();
        let certificate_request = other.request().unwrap();
        let message = |facts: &Facts| {
            certificate_signing::renewal(PROJECT, "pc-1", &facts.serial, &certificate_request)
        };
        let signature = tls.sign(message).unwrap();
        let renewal = RenewRequest { certificate_request, signature };
        let status = EnrolmentServiceClient::new(desktop).renew(renewal).await.unwrap_err();
        assert!(status.message().contains("too new"), "{status}");
    });
    cluster.command(&[
        "admin",
        "enrolment-tokens",
        "revoke",
        many["token_id"].as_str().unwrap(),
        "--project",
        PROJECT,
    ]);
    let _late = cluster.enrolling("pc-4", None, &cluster.directory.path().join("many"));
    wait_until_said(&cluster, "pc-4", "the enrolment token is revoked");
}

#[test]
fn stolen_issuer_cannot_impersonate_the_control_plane() {
    let cluster = Cluster::start_with_enrolment(LONG);
    let pki = cluster.pki.as_ref().unwrap();
    wait_until_said(&cluster, "scheduler", "scheduler ready");
    for role in Role::ALL {
        let thief = loaded(pki.stolen(&format!("graywave://role/{role}/x")));
        for (address, of) in
            [(&cluster.schedulers[0].0, Role::Scheduler), (&cluster.workers[0].0, Role::Worker)]
        {
            let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
            let beat = HeartbeatRequest { worker_id: "worker-x".into(), capacity: 1, ..Default::default() };
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let channel = endpoint.connect_with_connector_lazy(mtls::connector(thief.clone(), of));
                SchedulerServiceClient::new(channel).heartbeat(beat).await.unwrap_err();
            });
        }
    }
    for log_of in ["scheduler", "worker"] {
        wait_until_said(&cluster, log_of, "its certificate is from another CA");
    }
}

#[test]
fn renewed_certificate_does_not_disturb_a_running_script() {
    let cluster = Cluster::start_with_enrolment(20.0 * SECOND);
    let (file, _) = token(&cluster, "token", &[]);
    let _agent = enrolled(&cluster, "pc-1", &file);
    cluster.api.connected(1);
    let first = serial(&certificate(&cluster, "pc-1"));
    let (marks, gate) = (cluster.directory.path().join("marks"), cluster.directory.path().join("gate"));
    let command =
        format!("echo x >> {}; until [ -e {} ]; do sleep 0.05; done", marks.display(), gate.display());
    let task = cluster.api.run(&command, &["pc-1".to_owned()], json!({}));
    wait_until_said(&cluster, "pc-1", "connecting with the new certificate");
    wait_for("the connection with the new certificate", || {
        (log(&cluster, "pc-1").matches("attached").count() == 2).then_some(())
    });
    assert_ne!(serial(&certificate(&cluster, "pc-1")), first);
    fs::write(&gate, "").unwrap();
    assert_eq!(cluster.api.ended(&task)["status"], "SUCCESS");
    assert_eq!(fs::read_to_string(&marks).unwrap(), "x\n", "the script started once");
    assert!(cluster.api.native().get("/audit").to_string().contains("graywave:desktops:renew"));
}

#[test]
fn a_connection_ends_with_its_certificate() {
    let cluster = Cluster::start_with_enrolment(4.0 * SECOND);
    let (_, made) = token(&cluster, "token", &[]);
    wait_until_said(&cluster, "worker", "the schedulers admit this worker");
    wait_until_said(&cluster, "scheduler", "issuer of desktop certificates loaded");
    let ca = cluster.directory.path().join("pki/ca/ca.crt");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let address = &cluster.workers[0].0;
        let worker = dial(address, Anonymous::load(&ca).unwrap().into(), Role::Worker).await;
        let key = mtls::NewKey::generate().unwrap();
        let chain = enrol(&worker, made["token"].as_str().unwrap(), "pc-1", &key).await.unwrap();
        let tls = loaded(files(&cluster, &key, &chain));
        let desktop = pki::attached(&tls, "pc-1", address);
        let mut stream = attach_as(&dial(address, tls.into(), Role::Worker).await, desktop).await.unwrap();
        let answer = stream.message().await.unwrap().unwrap().message;
        assert!(matches!(answer, Some(attach_response::Message::Session(_))), "{answer:?}");
        let ended = stream.message().await.unwrap_err();
        assert!(ended.code() == Code::Unauthenticated && ended.message().contains("expired"), "{ended}");
    });
    wait_until_said(&cluster, "worker", "its certificate has expired");
    assert!(cluster.api.connected(0).is_empty());
}

#[test]
fn revoked_desktop_returns_only_with_a_new_token() {
    let mut cluster = Cluster::start_with_enrolment(LONG);
    let (file, _) = token(&cluster, "token", &["--uses", "5"]);
    // One certificate issued by hand and one enrolled.
    let by_hand = cluster.add_agents(1).remove(0);
    let _agent = enrolled(&cluster, "pc-1", &file);
    cluster.api.connected(2);
    let native = cluster.api.native();
    let revoke = |desktop: &str| native.post(&format!("/desktops/{desktop}/revoke"), &json!({}));
    let said = revoke("pc-1");
    assert_eq!((&said["certificates"], &said["was_connected"]), (&json!(1), &json!(true)), "{said}");
    wait_until_said(&cluster, "pc-1", "the desktop's certificate is revoked");
    // The agent's token could enrol other desktops. Neither certificate nor token lets the agent
    // return.
    wait_until_said(&cluster, "pc-1", "was revoked after the enrolment token was created");
    wait_until_said(&cluster, "worker", "connection refused: its certificate is revoked");
    assert_eq!(cluster.api.connected(1), std::slice::from_ref(&by_hand));

    let said = revoke(&by_hand);
    assert_eq!((&said["certificates"], &said["was_connected"]), (&json!(0), &json!(true)), "{said}");
    wait_until_said(&cluster, "agents", "the desktop's certificate is revoked");
    cluster.api.connected(0);
    // Targets of a revoked desktop are not dispatched, and end without their delivery timeout.
    let marks = cluster.directory.path().join("marks");
    let run = || cluster.api.run(&format!("echo x >> {}", marks.display()), &["pc-1".to_owned()], json!({}));
    let task = run();
    cluster.api.ended(&task);
    let shown = native.get(&format!("/tasks/{task}"));
    assert_eq!(shown["waves"][0]["targets"]["UNDELIVERED"], 1, "{shown}");
    assert_eq!(revoke("never-seen")["was_connected"], false);

    let (newer, _) = token(&cluster, "newer", &["--desktop", "pc-1"]);
    assert!(!marks.exists());
    fs::rename(newer, &file).unwrap();
    wait_until_said(&cluster, "pc-1", "enrolled again");
    assert_eq!(cluster.api.connected(1), ["pc-1"]);
    assert_eq!(cluster.api.ended(&run())["status"], "SUCCESS");
    assert!(cluster.api.native().get("/audit").to_string().contains("graywave:desktops:revoke"));
}

#[test]
fn retired_desktop_cannot_enrol_until_it_is_unretired() {
    let cluster = Cluster::start_with_enrolment(LONG);
    let (file, _) = token(&cluster, "token", &["--uses", "5"]);
    let _agent = enrolled(&cluster, "pc-1", &file);
    cluster.api.connected(1);
    let native = cluster.api.native();
    let retired = native.post("/desktops/pc-1/retire", &json!({}));
    assert!(!retired["retire_time"].is_null(), "{retired}");
    cluster.api.connected(0);
    wait_until_said(&cluster, "pc-1", "the desktop's certificate is revoked");
    wait_until_said(&cluster, "pc-1", "this desktop is retired");
    // A token newer than the retirement does not help: another machine must not become this
    // desktop.
    let (newer, _) = token(&cluster, "newer", &["--desktop", "pc-1"]);
    let mut other = cluster.enrolling("other", Some("pc-1"), &newer);
    wait_until_said(&cluster, "other", "desktop pc-1 is retired: unretire it first");
    other.kill();
    native.delete("/desktops/pc-1/retire");
    // Its certificate is still revoked, and its token is older than the revocation.
    wait_until_said(&cluster, "worker", "connection refused: its certificate is revoked");
    fs::rename(newer, &file).unwrap();
    wait_until_said(&cluster, "pc-1", "enrolled again");
    assert_eq!(cluster.api.connected(1), ["pc-1"]);
    runs_on(&cluster, "pc-1");
}
