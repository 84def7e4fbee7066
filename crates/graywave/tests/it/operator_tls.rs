//! Servers that an operator's client refuses although a trusted CA signed their certificate.

use std::{fs, path::Path};

use mtls::{
    Identity, IssuerFiles, OperatorClient, OperatorTls, ProxySettings, Role, ServerFault, Trust, WebFiles,
    WebTls, operator_connector,
};
use rcgen::{Issuer, KeyPair, SanType};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tonic::transport::Endpoint;

use crate::{harness::directory, pki::Pki};

/// Connects an operator that trusts this CA to a server with this certificate, named `host`.
/// Returns the fault that the operator finds.
fn fault(ca_file: &Path, server: WebFiles, host: &str) -> Option<ServerFault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{host}:{}", listener.local_addr().unwrap().port());
        let tls = OperatorTls::new(WebTls::load(server, "a test").unwrap(), None);
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let accepted = tls.accept(stream).await;
            // Keeps the connection open.
            std::future::pending::<()>().await;
            drop(accepted);
        });
        let trust = Trust::File(ca_file.to_owned());
        let client = OperatorClient::load(&trust, None, ProxySettings::default()).unwrap();
        let endpoint = Endpoint::from_shared(url).unwrap();
        let connected = endpoint.connect_with_connector(operator_connector(client)).await;
        serving.abort();
        connected.err().map(|error| ServerFault::of(&error).expect("a fault of the certificate"))
    })
}

#[test]
fn server_with_another_role_gets_nothing() {
    let directory = directory();
    let pki = Pki::new(directory.path());
    for (role, expected) in [
        ("worker", Some(ServerFault::OtherRole(Identity::role(Role::Worker, "x").unwrap()))),
        ("api", Some(ServerFault::OtherRole(Identity::role(Role::Api, "x").unwrap()))),
        ("scheduler", None),
    ] {
        let files = pki.role(role, "x");
        let server = WebFiles { cert: files.cert, key: files.key };
        assert_eq!(fault(&files.ca, server, "127.0.0.1"), expected, "{role}");
    }
}

#[test]
fn issuer_of_desktops_certifies_no_server() {
    let directory = directory();
    let pki = Pki::new(directory.path());
    pki.issuer();
    let out = directory.path().join("admin");
    pki.ca(&["issue", "--server", "--dns", "localhost", "--out", out.to_str().unwrap()]);
    let (ca_file, own) =
        (out.join("ca.crt"), || WebFiles { cert: out.join("tls.crt"), key: out.join("tls.key") });
    assert_eq!(fault(&ca_file, own(), "localhost"), None);

    let IssuerFiles { cert, key } = pki.issuer_files();
    let issuer_certificate = fs::read_to_string(cert).unwrap();
    let issuer_key = KeyPair::from_pem(&fs::read_to_string(key).unwrap()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&issuer_certificate, issuer_key).unwrap();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let mut params = mtls::server_params("localhost", now, now + 1_000).unwrap();
    params.subject_alt_names.push(SanType::DnsName("localhost".try_into().unwrap()));
    let stolen = KeyPair::generate().unwrap();
    let chain = params.signed_by(&stolen, &issuer).unwrap().pem() + &issuer_certificate;
    fs::write(own().cert, chain).unwrap();
    fs::write(own().key, stolen.serialize_pem()).unwrap();
    let found = fault(&ca_file, own(), "localhost");
    assert!(matches!(found, Some(ServerFault::Invalid(_))), "{found:?}");
}
