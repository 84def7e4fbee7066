//! Test certificates, issued with `graywave ca`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use mtls::{Files, IssuerFiles, Tls};
use prost::Message as _;
use proto::{
    session_signing::attach_message,
    types::{AttachStatement, Desktop, SignedAttach},
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use time::{Duration, OffsetDateTime};

use crate::{cluster::PROJECT, harness::graywave};

/// A CA, and one directory per issued certificate.
pub(crate) struct Pki {
    dir: PathBuf,
}

impl Pki {
    pub(crate) fn new(dir: &Path) -> Self {
        let pki = Self { dir: dir.to_owned() };
        pki.ca(&["init"]);
        pki
    }

    /// Runs `graywave ca` on this CA.
    pub(crate) fn ca(&self, arguments: &[&str]) {
        let output =
            graywave().arg("ca").args(arguments).arg("--dir").arg(self.dir.join("ca")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Creates an issuer for schedulers.
    pub(crate) fn issuer(&self) {
        self.ca(&["issuer", "--out", self.dir.join("issuer").to_str().unwrap()]);
    }

    pub(crate) fn issuer_files(&self) -> IssuerFiles {
        let at = |name: &str| self.dir.join("issuer").join(name);
        IssuerFiles { cert: at("issuer.crt"), key: at("issuer.key") }
    }

    /// Issues a role certificate with the issuer's key, as an attacker with that key would.
    pub(crate) fn stolen(&self, identity: &str) -> Files {
        let files = self.role("admin", "thief");
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        let IssuerFiles { cert, key } = self.issuer_files();
        let issuer =
            Issuer::from_ca_cert_pem(&read(cert.clone()), KeyPair::from_pem(&read(key)).unwrap()).unwrap();
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let own = KeyPair::generate().unwrap();
        let params = mtls::params(&identity.parse().unwrap(), now, now + 1_000).unwrap();
        fs::write(&files.cert, params.signed_by(&own, &issuer).unwrap().pem() + &read(cert)).unwrap();
        fs::write(&files.key, own.serialize_pem()).unwrap();
        files
    }

    /// Returns the file paths of an issued certificate.
    pub(crate) fn of(&self, who: &str) -> Files {
        files(&self.dir.join(who))
    }

    /// Issues a role certificate for the local address and the name `ROLE.invalid`.
    pub(crate) fn role(&self, role: &str, name: &str) -> Files {
        let out = self.dir.join(format!("{role}-{name}"));
        let dns = format!("{role}.invalid");
        let names = ["--role", role, "--name", name, "--ip", "127.0.0.1", "--dns", &dns];
        self.ca(&[&["issue"][..], &names, &["--out", out.to_str().unwrap()]].concat());
        files(&out)
    }

    /// Issues the certificate of a principal.
    pub(crate) fn principal(&self, project: &str, principal: &str) -> Files {
        let out = self.dir.join(format!("principal-{principal}"));
        let ids = ["--project", project, "--principal", principal];
        self.ca(&[&["issue"][..], &ids, &["--out", out.to_str().unwrap()]].concat());
        files(&out)
    }

    /// Issues the certificate of an agent.
    pub(crate) fn desktop(&self, project: &str, desktop: &str) -> Files {
        let out = self.dir.join(desktop);
        let ids = ["--project", project, "--desktop", desktop];
        self.ca(&[&["issue"][..], &ids, &["--out", out.to_str().unwrap()]].concat());
        files(&out)
    }

    /// Issues an agent certificate that expired yesterday.
    pub(crate) fn expired(&self, project: &str, desktop: &str) -> Files {
        let files = self.desktop(project, desktop);
        let read = |file: &str| fs::read_to_string(self.dir.join("ca").join(file)).unwrap();
        let issuer =
            Issuer::from_ca_cert_pem(&read("ca.crt"), KeyPair::from_pem(&read("ca.key")).unwrap()).unwrap();
        let mut params = CertificateParams::default();
        let uri = format!("graywave://desktop/{project}/{desktop}");
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into().unwrap()));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = OffsetDateTime::now_utc() - Duration::days(9);
        params.not_after = OffsetDateTime::now_utc() - Duration::days(1);
        let key = KeyPair::generate().unwrap();
        fs::write(&files.cert, params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// Copies `ca.crt` to the owners of these files.
    pub(crate) fn bring_ca(&self, to: &[Files]) {
        for files in to {
            let beside = files.ca.with_extension("next");
            fs::copy(self.dir.join("ca/ca.crt"), &beside).unwrap();
            fs::rename(&beside, &files.ca).unwrap();
        }
    }
}

fn files(dir: &Path) -> Files {
    Files { ca: dir.join("ca.crt"), cert: dir.join("tls.crt"), key: dir.join("tls.key") }
}

/// Sets the file paths as environment variables of a role.
pub(crate) fn of_role(command: &mut Command, files: &Files) {
    command
        .env("GRAYWAVE__TLS__CA_FILE", &files.ca)
        .env("GRAYWAVE__TLS__CERT_FILE", &files.cert)
        .env("GRAYWAVE__TLS__KEY_FILE", &files.key);
}

/// Sets the files with which a scheduler signs.
pub(crate) fn signs_with(command: &mut Command, files: &Files) {
    command.env("GRAYWAVE__ORDERS__CERT_FILE", &files.cert).env("GRAYWAVE__ORDERS__KEY_FILE", &files.key);
}

/// Adds the files as flags of an agent or an operator command.
pub(crate) fn as_flags(command: &mut Command, files: &Files) {
    command
        .arg("--ca-file")
        .arg(&files.ca)
        .arg("--cert-file")
        .arg(&files.cert)
        .arg("--key-file")
        .arg(&files.key);
}

/// Desktop of this certificate with a signed attach to the cluster's worker at an address.
pub(crate) fn attached(tls: &Tls, desktop_id: &str, worker: &str) -> Desktop {
    let (_, port) = worker.rsplit_once(':').unwrap();
    let desktop = Desktop {
        project_id: PROJECT.into(),
        desktop_id: desktop_id.into(),
        agent_id: "agent-of-a-test".into(),
        incarnation: 1,
        run_id: "run".into(),
        ..Desktop::default()
    };
    let statement = AttachStatement {
        worker: format!("graywave://role/worker/{port}"),
        desktop: Some(desktop.clone()),
        number: 1,
        public_key: mtls::SessionOffer::generate().unwrap().public_key().to_vec(),
    };
    let unsigned = SignedAttach { statement: statement.encode_to_vec(), ..SignedAttach::default() };
    let proof = tls.prove(&attach_message(&unsigned)).unwrap();
    let (scheme, signature, chain) = (proof.scheme.into(), proof.signature, proof.chain);
    Desktop { attach: Some(SignedAttach { scheme, signature, chain, ..unsigned }), ..desktop }
}

pub(crate) fn loaded(files: Files) -> Tls {
    Tls::load(files).unwrap()
}
