//! Certificates of a desktop and a signer for tests.

use std::fs;

use mtls::{Files, Signer, SignerFiles, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ED25519, SanType, SignatureAlgorithm,
};
use tempfile::TempDir;
use time::OffsetDateTime;

/// Certificates of one CA: of the desktop `d` in the project `p`, and of a signer.
pub(super) struct Certificates {
    pub(super) dir: TempDir,
    pub(super) tls: Tls,
    pub(super) signer: Signer,
}

pub(super) fn certificates() -> Certificates {
    let dir = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(dir.path().join("ca.crt"), ca.pem()).unwrap();
    let issue = |name: &str, uri: &str, usage, algorithm: &'static SignatureAlgorithm| {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        params.extended_key_usages = vec![usage];
        params.not_before = OffsetDateTime::now_utc() - time::Duration::days(1);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let (cert_file, key_file) =
            (dir.path().join(format!("{name}.crt")), dir.path().join(format!("{name}.key")));
        fs::write(&cert_file, params.signed_by(&key, &ca).unwrap().pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        (cert_file, key_file)
    };
    let ecdsa = &rcgen::PKCS_ECDSA_P256_SHA256;
    let (cert, key) = issue("tls", "graywave://desktop/p/d", ExtendedKeyUsagePurpose::ClientAuth, ecdsa);
    let tls = Tls::load(Files { ca: dir.path().join("ca.crt"), cert, key }).unwrap();
    let signing = ExtendedKeyUsagePurpose::CodeSigning;
    let (cert, key) = issue("signer", "graywave://role/signer/s", signing, &PKCS_ED25519);
    let signer = Signer::load(SignerFiles { cert, key }, tls.clone()).unwrap();
    Certificates { dir, tls, signer }
}
