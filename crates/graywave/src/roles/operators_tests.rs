use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use control::{Credentials, RequestLimits};
use mtls::{Files, Identity, OperatorClient, OwnFiles, ProxySettings, Role, Trust, operator_connector};
use proto::{
    admin::{GetProjectRequest, project_service_client::ProjectServiceClient},
    scheduler::{HeartbeatRequest, scheduler_service_client::SchedulerServiceClient},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use testkit::TestEnvironment;
use time::OffsetDateTime;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::*;
use crate::roles::health::readiness;

/// A CA, and the certificates of a test in its directory.
struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ca.crt"), ca.pem()).unwrap();
        Self { ca, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Issues a certificate with this identity; without one, the certificate of the listener.
    fn issue(&self, name: &str, identity: Option<&Identity>) -> OwnFiles {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let mut params = match identity {
            Some(identity) => mtls::params(identity, now, now + 1_000).unwrap(),
            None => mtls::server_params("localhost", now, now + 1_000).unwrap(),
        };
        params.subject_alt_names.push(rcgen::SanType::DnsName("localhost".try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        let files =
            OwnFiles { cert: self.path(&format!("{name}.crt")), key: self.path(&format!("{name}.key")) };
        fs::write(&files.cert, params.signed_by(&key, &self.ca).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// Certificates of the scheduler.
    fn scheduler(&self) -> Tls {
        let OwnFiles { cert, key } =
            self.issue("scheduler", Some(&Identity::role(Role::Scheduler, "s").unwrap()));
        Tls::load(Files { ca: self.path("ca.crt"), cert, key }).unwrap()
    }
}

/// A running listener.
struct Running {
    environment: TestEnvironment,
    pki: Pki,
    /// Trusted CAs and deny-list; `None` without `[tls]`.
    clients: Option<Tls>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Running {
    async fn start(has_clients: bool) -> Self {
        let environment = TestEnvironment::new(Credentials::new(Vec::new(), Vec::new())).await.unwrap();
        let pki = Pki::new();
        let OwnFiles { cert, key } = pki.issue("server", None);
        let clients = has_clients.then(|| pki.scheduler());
        let settings = AdminListener {
            listen: Some("127.0.0.1:0".into()),
            cert_file: Some(cert),
            key_file: Some(key),
            ..AdminListener::default()
        };
        let listener = OperatorListener::bind(&settings, clients.clone()).await.unwrap().unwrap();
        let address = listener.listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let services = admin::gated(environment.control.clone(), &RequestLimits::default(), stop.clone());
        let ready = readiness(|| std::future::ready(Ok(())));
        tokio::spawn(listener.serve(services, ready, stop.clone()));
        Self { environment, pki, clients, address, stop }
    }

    /// Connects like `graywave` with `--ca-file`, and with a client certificate if one is given.
    async fn connect(&self, own: Option<&OwnFiles>) -> Result<Channel, tonic::transport::Error> {
        let trust = Trust::File(self.pki.path("ca.crt"));
        let client = OperatorClient::load(&trust, own, ProxySettings::default()).unwrap();
        let url = format!("https://localhost:{}", self.address.port());
        Endpoint::from_shared(url).unwrap().connect_with_connector(operator_connector(client)).await
    }

    async fn project(&self, own: Option<&OwnFiles>, token: Option<&str>) -> Result<String, Status> {
        let channel = self.connect(own).await.map_err(|error| Status::from_error(Box::new(error)))?;
        let mut request = Request::new(GetProjectRequest {});
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let answer = ProjectServiceClient::new(channel).get_project(request).await?;
        Ok(answer.into_inner().project_id)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn token_alone_is_enough_with_and_without_tls_of_roles() {
    for has_clients in [true, false] {
        let running = Running::start(has_clients).await;
        let token = running.environment.token("ann", &["reader"]).await.unwrap();
        assert_eq!(running.project(None, Some(&token)).await.unwrap(), testkit::project().to_string());
        let refused = running.project(None, None).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        let refused = running.project(None, Some("another-token-of-nobody")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
}

#[tokio::test]
async fn service_of_workers_is_not_there() {
    let running = Running::start(true).await;
    let channel = running.connect(None).await.unwrap();
    let refused = SchedulerServiceClient::new(channel.clone()).heartbeat(HeartbeatRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    let health = async |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        HealthClient::new(channel.clone()).check(request).await.map_err(|status| status.code())
    };
    assert!(health("graywave.admin.v1.TaskService").await.is_ok() && health("").await.is_ok());
    assert_eq!(health("graywave.scheduler.v1.SchedulerService").await.unwrap_err(), Code::NotFound);
}

#[tokio::test]
async fn principal_with_a_certificate_needs_no_token_until_denied() {
    let running = Running::start(true).await;
    running.environment.token("ann", &["reader"]).await.unwrap();
    let project = testkit::project().to_string();
    let ann = running.pki.issue("ann", Some(&Identity::principal(&project, "ann").unwrap()));
    assert_eq!(running.project(Some(&ann), None).await.unwrap(), project);
    // Certificates of roles and desktops open nothing here, with any token.
    let token = running.environment.token("bob", &["admin"]).await.unwrap();
    for identity in [
        Identity::role(Role::Admin, "eve"),
        Identity::desktop(&project, "d"),
        Identity::role(Role::Worker, "w"),
    ] {
        let files = running.pki.issue("other", Some(&identity.unwrap()));
        let refused = running.project(Some(&files), Some(&token)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    }
    let serial = mtls::read_certificates(&fs::read(&ann.cert).unwrap()).unwrap();
    let serial = mtls::read_facts(&serial[0]).unwrap().serial;
    running.clients.as_ref().unwrap().deny_list().replace([serial.as_str()]);
    assert!(running.project(Some(&ann), None).await.is_err(), "the certificate is denied");
    assert_eq!(running.project(None, Some(&token)).await.unwrap(), project);
}

#[tokio::test]
async fn certificate_of_another_ca_is_refused() {
    let running = Running::start(true).await;
    let other = Pki::new();
    let ann = other.issue("ann", Some(&Identity::principal("p", "ann").unwrap()));
    let token = running.environment.token("bob", &["admin"]).await.unwrap();
    assert!(running.project(Some(&ann), Some(&token)).await.is_err());
}

#[tokio::test]
async fn plain_text_is_refused_off_loopback_unless_insecure() {
    let settings = AdminListener { listen: Some("0.0.0.0:0".into()), ..AdminListener::default() };
    let refused = OperatorListener::bind(&settings, None).await.err().unwrap().to_string();
    assert!(refused.contains("without TLS") && refused.contains("admin.insecure = true"), "{refused}");
    let insecure = AdminListener { insecure: true, ..settings };
    assert!(OperatorListener::bind(&insecure, None).await.unwrap().is_some());
    let local = AdminListener { listen: Some("127.0.0.1:0".into()), ..AdminListener::default() };
    assert!(OperatorListener::bind(&local, None).await.unwrap().is_some());
    assert!(OperatorListener::bind(&AdminListener::default(), None).await.unwrap().is_none());
    let missing = Path::new("/nowhere").to_owned();
    let wrong = AdminListener { cert_file: Some(missing.clone()), key_file: Some(missing), ..local };
    assert!(OperatorListener::bind(&wrong, None).await.is_err());
}
