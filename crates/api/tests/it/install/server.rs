//! An API on a loopback port with stand-in artefacts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use api::{GivenScriptSettings, InstallOptions, ScriptSettings};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
    response::Response,
};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::harness::Harness;

/// Certificate of a CA: any bytes serve, since nothing parses them.
const CA: &[u8] = b"a certificate of a CA, as long as real ones are, so that its text has several lines";
pub(crate) const TARBALL: &str = if cfg!(target_arch = "aarch64") {
    "graywave-agent-0.1.0-linux-aarch64.tar.gz"
} else {
    "graywave-agent-0.1.0-linux-x86_64.tar.gz"
};

pub(crate) struct InstallServer {
    _harness: Harness,
    pub(crate) router: Router,
    pub(crate) url: String,
    pub(crate) ca_sha256: String,
    pub(crate) directory: TempDir,
}

impl InstallServer {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let artefacts = directory.path().join("artefacts");
        fs::create_dir(&artefacts).unwrap();
        fs::write(artefacts.join("secret"), "not listed").unwrap();
        tarball(directory.path(), &artefacts.join(TARBALL), "0.1.0");
        write_ca(directory.path(), CA);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let given = GivenScriptSettings {
            public_url: url.clone(),
            agents_urls: vec!["https://worker.example:9443".into()],
            ca_file: Some(directory.path().join("ca.pem")),
            has_artefacts_dir: true,
            ..GivenScriptSettings::default()
        };
        let install =
            InstallOptions { scripts: ScriptSettings::check(given).unwrap(), artefacts_dir: Some(artefacts) };
        let harness = Harness::new().await;
        let options = api::Options { install, ..api::Options::default() };
        let router = api::router(harness.control.clone(), &options);
        let served = router.clone();
        tokio::spawn(async move { axum::serve(listener, served).await });
        let ca_sha256 = hex::encode(Sha256::digest(CA));
        let server = Self { _harness: harness, router, url, ca_sha256, directory };
        server.list();
        server
    }

    pub(crate) fn artefacts(&self) -> PathBuf {
        self.directory.path().join("artefacts")
    }

    /// Writes SHA256SUMS over all tarballs.
    pub(crate) fn list(&self) {
        let mut sums = String::new();
        let mut files: Vec<_> =
            fs::read_dir(self.artefacts()).unwrap().map(|it| it.unwrap().path()).collect();
        files.sort();
        for file in files.iter().filter(|it| it.extension().is_some_and(|extension| extension == "gz")) {
            let hash = hex::encode(Sha256::digest(fs::read(file).unwrap()));
            sums.push_str(&format!("{hash}  {}\n", file.file_name().unwrap().display()));
        }
        fs::write(self.artefacts().join("SHA256SUMS"), sums).unwrap();
    }

    pub(crate) fn sums_sha256(&self) -> String {
        hex::encode(Sha256::digest(fs::read(self.artefacts().join("SHA256SUMS")).unwrap()))
    }

    /// Replaces the CA of the control plane.
    pub(crate) fn replace_ca(&self) {
        write_ca(self.directory.path(), b"a certificate of another CA");
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = request(&self.router, path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
    }
}

pub(crate) async fn request(router: &Router, path: &str) -> Response {
    router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
}

/// Writes a certificate beside a private key, which must stay in its file.
fn write_ca(directory: &Path, der: &[u8]) {
    let blocks = [pem::Pem::new("PRIVATE KEY", b"secret".as_slice()), pem::Pem::new("CERTIFICATE", der)];
    fs::write(directory.join("ca.pem"), pem::encode_many(&blocks)).unwrap();
}

/// Packs a stand-in agent.
pub(crate) fn tarball(scratch: &Path, file: &Path, version: &str) {
    let tree = scratch.join(format!("graywave-agent-{version}"));
    fs::create_dir_all(&tree).unwrap();
    for program in ["graywave-agent", "graywave-runner"] {
        fs::write(tree.join(program), format!("#!/bin/sh\necho {program} {version}\n")).unwrap();
    }
    fs::write(tree.join("graywave-agent.service"), "[Service]\nExecStart=/usr/bin/graywave-agent\n").unwrap();
    let mut command = Command::new("tar");
    command.arg("-czf").arg(file).arg("-C").arg(scratch).arg(tree.file_name().unwrap());
    assert!(command.status().unwrap().success());
}
