//! HTTPS of the REST API, and its refusal of plain HTTP on the network.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::harness::{Process, directory, graywave, wait_for};

/// Writes a new self-signed certificate of `localhost`. Returns it in PEM.
fn write_certificate(directory: &Path) -> String {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".into()]).unwrap();
    fs::write(directory.join("key"), signing_key.serialize_pem()).unwrap();
    fs::write(directory.join("cert"), cert.pem()).unwrap();
    cert.pem()
}

/// Requests `/openapi.json`; `None` if the connection fails, such as for an untrusted certificate.
fn status(port: &str, trusted: &str) -> Option<u16> {
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(trusted.as_bytes()).unwrap()]);
    let tls = TlsConfig::builder().root_certs(roots).build();
    let agent = ureq::Agent::config_builder().tls_config(tls).http_status_as_error(false).build().new_agent();
    Some(agent.get(format!("https://localhost:{port}/openapi.json")).call().ok()?.status().as_u16())
}

#[test]
fn https_is_served_and_a_new_certificate_taken() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(testkit::database()).unwrap();
    let directory = directory();
    let first = write_certificate(directory.path());
    let [address] = pgcluster::free_addresses().unwrap();
    let (_, port) = address.rsplit_once(':').unwrap();
    let mut command = graywave();
    command
        .arg("api")
        .env("DATABASE_URL", &database.url)
        .env("GRAYWAVE__API__LISTEN", &address)
        .env("GRAYWAVE__API__TLS_CERT_FILE", directory.path().join("cert"))
        .env("GRAYWAVE__API__TLS_KEY_FILE", directory.path().join("key"));
    let _api = Process::spawn(&mut command, &directory.path().join("api.log"));
    assert_eq!(wait_for("the API", || status(port, &first)), 200);

    let mut plain = TcpStream::connect(&address).unwrap();
    plain.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    // The rest of the request may be unread when the server closes.
    drop(plain.read_to_string(&mut answer));
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("use https://"), "{answer}");

    let second = write_certificate(directory.path());
    assert_eq!(wait_for("the new certificate", || status(port, &second)), 200);
    assert_eq!(status(port, &first), None, "the old certificate is no longer shown");
}

#[test]
fn plain_http_on_the_network_is_refused() {
    let refused = graywave()
        .arg("api")
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
        .env("GRAYWAVE__API__LISTEN", "0.0.0.0:0")
        .output()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    assert!(said.contains("without HTTPS") && said.contains("api.insecure = true"), "{said}");
}
