//! A malicious agent: it has a valid certificate or token, speaks the real protocol, and tries what
//! docs/tls.md says is impossible.

use std::collections::HashMap;

use mtls::{Anonymous, NewKey, Proof, Role, SessionOffer, Tls};
use prost::Message as _;
use proto::{
    agent::{
        AttachRequest, AttachResponse, Hello, RenewRequest, agent_service_client::AgentServiceClient,
        attach_request, enrolment_service_client::EnrolmentServiceClient,
    },
    certificate_signing, session_signing,
    types::{AttachStatement, Desktop, SignedAttach},
};
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::{
    cluster::{Cluster, PROJECT},
    enrolment::{LONG, dial, enrol, files, token, wait_until_said},
    harness::{graywave, wait_for},
    pki::{as_flags, loaded},
};

/// A cluster, and connections of the intruder to its first worker.
struct Intruder {
    cluster: Cluster,
    runtime: tokio::runtime::Runtime,
    anonymous: Channel,
}

impl Intruder {
    fn new() -> Self {
        let cluster = Cluster::start_with_enrolment(LONG);
        wait_until_said(&cluster, "worker", "the schedulers admit this worker");
        wait_until_said(&cluster, "scheduler", "issuer of desktop certificates loaded");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let ca = cluster.directory.path().join("pki/ca/ca.crt");
        let stranger = Anonymous::load(&ca).unwrap();
        let anonymous = runtime.block_on(dial(&cluster.workers[0].0, stranger.into(), Role::Worker));
        Self { cluster, runtime, anonymous }
    }

    /// Creates a token with these options.
    fn token(&self, options: &[&str]) -> String {
        token(&self.cluster, "token", options).1["token"].as_str().unwrap().to_owned()
    }

    fn enrol(&self, token: &str, desktop: &str) -> Result<Tls, Status> {
        let key = NewKey::generate().unwrap();
        let chain = self.runtime.block_on(enrol(&self.anonymous, token, desktop, &key))?;
        Ok(loaded(files(&self.cluster, &key, &chain)))
    }

    /// Enrols a desktop with a token for it.
    fn enrolled(&self, desktop: &str, options: &[&str]) -> Tls {
        self.enrol(&self.token(&[&["--desktop", desktop], options].concat()), desktop).unwrap()
    }

    fn dial(&self, tls: &Tls) -> Channel {
        self.runtime.block_on(dial(&self.cluster.workers[0].0, tls.clone().into(), Role::Worker))
    }

    /// Signs an attach to the first worker, as an agent does.
    fn signed(&self, tls: &Tls, desktop: Desktop) -> SignedAttach {
        let (_, port) = self.cluster.workers[0].0.rsplit_once(':').unwrap();
        let statement = AttachStatement {
            worker: format!("graywave://role/worker/{port}"),
            desktop: Some(desktop),
            number: 1,
            public_key: SessionOffer::generate().unwrap().public_key().to_vec(),
        };
        let unsigned = SignedAttach { statement: statement.encode_to_vec(), ..SignedAttach::default() };
        let proof = tls.prove(&session_signing::attach_message(&unsigned)).unwrap();
        let Proof { chain, scheme, signature } = proof;
        SignedAttach { scheme: scheme.into(), signature, chain, ..unsigned }
    }

    /// Attaches with these facts until the stream ends.
    fn attach(&self, tls: &Tls, desktop: Desktop) -> Result<Streaming<AttachResponse>, Status> {
        let channel = self.dial(tls);
        let desktop = Desktop { attach: Some(self.signed(tls, desktop.clone())), ..desktop };
        self.runtime.block_on(async {
            let hello = attach_request::Message::Hello(Hello { desktop: Some(desktop) });
            let hello = AttachRequest { message: Some(hello) };
            let requests = tokio_stream::iter([hello]).chain(tokio_stream::pending());
            let mut responses = AgentServiceClient::new(channel).attach(requests).await?.into_inner();
            responses.message().await?;
            Ok(responses)
        })
    }
}

fn facts(desktop: &str) -> Desktop {
    Desktop {
        project_id: PROJECT.into(),
        desktop_id: desktop.into(),
        agent_id: format!("agent-of-{desktop}"),
        incarnation: 1,
        run_id: "run".into(),
        ..Desktop::default()
    }
}

fn is_refused<T>(answer: Result<T, Status>, code: Code, said: &str) {
    let Err(status) = answer else { panic!("not refused: {said}") };
    assert!(status.code() == code && status.message().contains(said), "{status}");
}

#[test]
fn certificate_is_good_for_its_own_desktop_only() {
    let intruder = Intruder::new();
    let [own, other] = ["pc-1", "pc-2"].map(|desktop| intruder.enrolled(desktop, &[]));
    is_refused(intruder.attach(&own, facts("pc-2")), Code::PermissionDenied, "the agent claims");
    let elsewhere = Desktop { project_id: "project-2".into(), ..facts("pc-1") };
    is_refused(intruder.attach(&own, elsewhere), Code::PermissionDenied, "the agent claims");
    // A renewal of the other desktop's certificate, signed with the own key.
    let (serial, channel) = (other.facts().serial, intruder.dial(&own));
    for (desktop, serial) in [("pc-2", serial.clone()), ("pc-1", serial)] {
        let certificate_request = NewKey::generate().unwrap().request().unwrap();
        let message = certificate_signing::renewal(PROJECT, desktop, &serial, &certificate_request);
        let signature = own.sign(|_| message).unwrap();
        let renewal = RenewRequest { certificate_request, signature };
        let answer = intruder.runtime.block_on(EnrolmentServiceClient::new(channel.clone()).renew(renewal));
        is_refused(answer, Code::PermissionDenied, "not signed with the key");
    }
}

#[test]
fn token_for_new_desktops_takes_no_existing_one() {
    let intruder = Intruder::new();
    let victim = intruder.enrolled("pc-1", &[]);
    let _stream = intruder.attach(&victim, facts("pc-1")).unwrap();
    intruder.cluster.api.connected(1);
    intruder.cluster.api.native().post("/desktops/pc-1/revoke", &json!({}));
    // Newer than the revocation, and still not for this desktop.
    let generic = intruder.token(&["--uses", "5"]);
    is_refused(intruder.enrol(&generic, "pc-1"), Code::PermissionDenied, "--desktop pc-1");
    intruder.enrol(&generic, "pc-3").unwrap();
    intruder.enrolled("pc-1", &[]);
}

#[test]
fn facts_of_an_agent_do_not_change_its_pool() {
    let intruder = Intruder::new();
    let fixed = ["--pool", "office", "--zone", "zone-1", "--tag", "tier=low"];
    let own = intruder.enrolled("pc-1", &fixed);
    let claims = Desktop {
        pool_id: "finance".into(),
        availability_zone: "zone-2".into(),
        tags: HashMap::from([("tier".to_owned(), "high".to_owned())]),
        ..facts("pc-1")
    };
    let _stream = intruder.attach(&own, claims).unwrap();
    intruder.cluster.api.connected(1);
    let native = intruder.cluster.api.native();
    let desktop: Value = native.get("/desktops/pc-1");
    let shown = (&desktop["desktop_pool_id"], &desktop["availability_zone"], &desktop["tags"]["tier"]);
    assert_eq!(shown, (&json!("office"), &json!("zone-1"), &json!("low")), "{desktop}");
    let pools = native.get("/desktops?desktop_pool_id=finance");
    assert_eq!(pools["desktops"], json!([]), "{pools}");
}

#[test]
fn denied_desktop_certificate_opens_no_connection() {
    let intruder = Intruder::new();
    let own = intruder.enrolled("pc-1", &[]);
    let mut stream = intruder.attach(&own, facts("pc-1")).unwrap();
    intruder.cluster.api.connected(1);
    let mut command = graywave();
    command.args(["certificates", "deny", &own.facts().serial, "--grpc", &intruder.cluster.schedulers[0].0]);
    command.env_remove("GRAYWAVE_TOKEN");
    as_flags(&mut command, &intruder.cluster.pki.as_ref().unwrap().role("admin", "ann"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The open connection ends, and no new one opens.
    intruder.runtime.block_on(async { while let Ok(Some(_)) = stream.message().await {} });
    let endpoint = Endpoint::from_shared(format!("https://{}", intruder.cluster.workers[0].0)).unwrap();
    intruder.runtime.block_on(async {
        let channel = endpoint.connect_with_connector_lazy(mtls::connector(own, Role::Worker));
        let renewal = RenewRequest::default();
        EnrolmentServiceClient::new(channel).renew(renewal).await.unwrap_err();
    });
    wait_for("the refusal in the worker's log", || {
        let log = std::fs::read_to_string(intruder.cluster.log("worker")).unwrap();
        log.contains("its certificate is denied").then_some(())
    });
    assert!(intruder.cluster.api.connected(0).is_empty());
}
