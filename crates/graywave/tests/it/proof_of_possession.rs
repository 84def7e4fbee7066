//! Proof of possession: a stolen worker gets no certificate of a desktop for a key of its own.

use mtls::{Files, NewKey, Role};
use proto::{
    certificate_signing,
    scheduler::{
        DesktopKey, EnrolRequest, RenewCertificateRequest, RenewCertificateResponse,
        scheduler_service_client::SchedulerServiceClient,
    },
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    cluster::{Cluster, PROJECT},
    enrolment::{LONG, certificate, dial, enrol_request, enrolled, serial, token, wait_until_said},
    pki::loaded,
};

/// A worker's key and certificate in the hands of a thief, connected to a scheduler.
struct Thief {
    tls: mtls::Tls,
    worker_id: String,
    scheduler: SchedulerServiceClient<Channel>,
}

impl Thief {
    async fn new(cluster: &Cluster) -> Self {
        let tls = loaded(cluster.pki.as_ref().unwrap().role("worker", "thief"));
        let worker_id = tls.identity().worker_id("0198f0000000700080000000000000ab").unwrap();
        let channel = dial(&cluster.schedulers[0].0, tls.clone().into(), Role::Scheduler).await;
        Self { tls, worker_id, scheduler: SchedulerServiceClient::new(channel) }
    }

    /// Asks for a renewal of the certificate of `pc-1`.
    async fn renew(
        &mut self,
        serial: &str,
        request: &[u8],
        signature: Vec<u8>,
    ) -> Result<RenewCertificateResponse, Status> {
        let question = RenewCertificateRequest {
            worker_id: self.worker_id.clone(),
            desktop: Some(DesktopKey { project_id: PROJECT.into(), desktop_id: "pc-1".into() }),
            serial: serial.to_owned(),
            certificate_request: request.to_vec(),
            source: "192.0.2.1:5".into(),
            signature,
        };
        Ok(self.scheduler.renew_certificate(question).await?.into_inner())
    }
}

#[test]
fn stolen_worker_cannot_renew_for_a_key_of_its_own() {
    let cluster = Cluster::start_with_enrolment(LONG);
    let (file, _) = token(&cluster, "token", &[]);
    let _agent = enrolled(&cluster, "pc-1", &file);
    let path = certificate(&cluster, "pc-1");
    let serial = serial(&path);
    let ca = cluster.directory.path().join("pki/ca/ca.crt");
    let desktop = loaded(Files { ca, cert: path.clone(), key: path });
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut thief = Thief::new(&cluster).await;
        let [own, others] = [(); 2].map(|()| NewKey::generate().unwrap().request().unwrap());
        let message = |request: &[u8]| certificate_signing::renewal(PROJECT, "pc-1", &serial, request);
        let of_thief = thief.tls.sign(|_| message(&own)).unwrap();
        // A signature that the thief has seen belongs to another request.
        let seen = desktop.sign(|_| message(&others)).unwrap();
        for signature in [Vec::new(), of_thief, seen.clone()] {
            let status = thief.renew(&serial, &own, signature).await.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied, "{status}");
            assert!(status.message().contains("not signed with the key"), "{status}");
        }
        // The desktop's own request passes, and is too early.
        let status = thief.renew(&serial, &others, seen).await.unwrap_err();
        assert!(status.message().contains("too new"), "{status}");
    });
}

#[test]
fn stolen_worker_cannot_use_an_enrolment_that_it_sees() {
    let cluster = Cluster::start_with_enrolment(LONG);
    let (_, made) = token(&cluster, "token", &["--uses", "5"]);
    let text = made["token"].as_str().unwrap();
    wait_until_said(&cluster, "scheduler", "issuer of desktop certificates loaded");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut thief = Thief::new(&cluster).await;
        // All that a worker sees of an enrolment.
        let seen = enrol_request(text, "pc-1", &NewKey::generate().unwrap());
        let question = |desktop_id: &str, certificate_request: &[u8]| EnrolRequest {
            worker_id: thief.worker_id.clone(),
            token_id: seen.token_id.clone(),
            certificate_request: certificate_request.to_vec(),
            desktop_id: desktop_id.to_owned(),
            source: "192.0.2.1:5".into(),
            signature: seen.signature.clone(),
        };
        let own = NewKey::generate().unwrap().request().unwrap();
        let questions = [
            question("pc-1", &own),
            question("pc-2", &own),
            question("pc-2", &seen.certificate_request),
            EnrolRequest { signature: Vec::new(), ..question("pc-1", &seen.certificate_request) },
        ];
        let repeated = [(); 2].map(|()| question("pc-1", &seen.certificate_request));
        for question in questions {
            let status = thief.scheduler.enrol(question).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        }
        // A repetition certifies the desktop's key again, which the thief does not have.
        let mut chains = Vec::new();
        for question in repeated {
            chains
                .push(thief.scheduler.enrol(question).await.unwrap().into_inner().certificate.unwrap().chain);
        }
        assert_eq!(chains[0], chains[1]);
    });
    let listed = cluster.command(&["admin", "enrolment-tokens", "list", "--project", PROJECT]);
    assert!(listed.contains("1 of 5"), "{listed}");
}
