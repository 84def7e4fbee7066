//! Test CA, and a directory for its certificates.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, DnType, IsCa, KeyPair, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::{files::Files, issue::IssuerFiles};

pub(crate) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a CA of a test");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Issuer files for desktops, as `graywave ca issuer` creates them.
    pub(crate) fn issuer(&self, dir: &Path) -> IssuerFiles {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "an issuer of a test");
        params.not_after = OffsetDateTime::now_utc() + Duration::days(100);
        let key = KeyPair::generate().unwrap();
        let files = IssuerFiles { cert: dir.join("issuer.crt"), key: dir.join("issuer.key") };
        fs::write(&files.cert, params.signed_by(&key, &self.0).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// Certificate that is valid for `days` days from now; expired if `days` is negative.
    pub(crate) fn signed(&self, uris: &[&str], names: &[&str], days: i64) -> CertifiedKey<KeyPair> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = OffsetDateTime::now_utc() - Duration::days(10);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(days);
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        self.issue(params, KeyPair::generate().unwrap())
    }

    /// Certificate with these parameters, for a key.
    pub(crate) fn issue(&self, params: CertificateParams, signing_key: KeyPair) -> CertifiedKey<KeyPair> {
        let cert = params.signed_by(&signing_key, &self.0).unwrap();
        CertifiedKey { cert, signing_key }
    }
}

/// Directory with the three certificate files.
pub(crate) struct TlsDirectory(tempfile::TempDir);

impl TlsDirectory {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn files(&self) -> Files {
        let at = |name: &str| self.0.path().join(name);
        Files { ca: at("ca.crt"), cert: at("tls.crt"), key: at("tls.key") }
    }

    pub(crate) fn put(&self, ca: &Ca, pair: &CertifiedKey<KeyPair>) {
        let files = self.files();
        fs::write(files.ca, ca.0.pem()).unwrap();
        fs::write(files.cert, pair.cert.pem()).unwrap();
        fs::write(files.key, pair.signing_key.serialize_pem()).unwrap();
    }
}
