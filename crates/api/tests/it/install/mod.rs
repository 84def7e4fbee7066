//! Install scripts, the CA and the artefacts, as an API on a port serves them.

mod script;
mod server;

use axum::http::{StatusCode, header};

use self::server::{InstallServer, request};
use crate::harness::Harness;

#[tokio::test]
async fn script_has_the_configured_values_and_no_secret() {
    let server = InstallServer::start().await;
    let script = server.text("/install.sh").await;
    for line in [
        format!("API_URL='{}'", server.url),
        format!("ARTEFACTS_URL='{}/artefacts'", server.url),
        "AGENTS_URLS='https://worker.example:9443'".to_owned(),
        format!("CA_SHA256='{}'", server.ca_sha256),
        format!("SUMS_SHA256='{}'", server.sums_sha256()),
    ] {
        assert!(script.lines().any(|it| it == line), "{line}");
    }
    let powershell = server.text("/install.ps1").await;
    assert!(powershell.contains(&format!("$ApiUrl = '{}'", server.url)));
    let ca = server.text("/ca.crt").await;
    assert!(ca.contains("BEGIN CERTIFICATE") && !ca.contains("PRIVATE KEY"), "{ca}");
}

#[tokio::test]
async fn only_listed_artefacts_are_served() {
    let server = InstallServer::start().await;
    let sums = server.text("/artefacts/SHA256SUMS").await;
    let (hash, name) = sums.lines().next().unwrap().split_once("  ").unwrap();
    let answer = request(&server.router, &format!("/artefacts/{name}")).await;
    assert_eq!(answer.headers()[header::ETAG], format!("\"{hash}\""));
    for path in ["secret", "..%2Fca.pem", "%2e%2e%2fca.pem", "SHA256SUMS%00", ".", "x"] {
        let answer = request(&server.router, &format!("/artefacts/{path}")).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn api_without_settings_serves_no_installation() {
    let harness = Harness::new().await;
    for path in ["/install.sh", "/install.ps1", "/ca.crt", "/artefacts/SHA256SUMS"] {
        let answer = request(&harness.router, path).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn address_that_asks_too_often_waits() {
    let server = InstallServer::start().await;
    let mut refused = None;
    for _ in 0..2_000 {
        let answer = request(&server.router, "/artefacts/SHA256SUMS").await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
    }
    assert_eq!(refused.unwrap().headers()[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn broken_directory_is_an_internal_error() {
    let server = InstallServer::start().await;
    std::fs::remove_file(server.artefacts().join("SHA256SUMS")).unwrap();
    let answer = request(&server.router, "/install.sh").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    std::fs::write(server.directory.path().join("ca.pem"), "no certificate").unwrap();
    assert_eq!(request(&server.router, "/ca.crt").await.status(), StatusCode::INTERNAL_SERVER_ERROR);
}
