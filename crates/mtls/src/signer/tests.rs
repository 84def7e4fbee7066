use std::{fs, path::Path};

use rcgen::{CertificateParams, CertifiedKey, ExtendedKeyUsagePurpose, KeyPair, PKCS_ED25519, SanType};
use time::{Duration as Span, OffsetDateTime};

use super::*;
use crate::testing::{Ca, TlsDirectory};

const SCHEDULER: &str = "graywave://role/scheduler/s";
const SIGNER: &str = "graywave://role/signer/s1";

fn signer(ca: &Ca, uri: &str, days: i64, change: impl Fn(&mut CertificateParams)) -> CertifiedKey<KeyPair> {
    let mut params = CertificateParams::default();
    params.not_before = OffsetDateTime::now_utc() - Span::days(10);
    params.not_after = OffsetDateTime::now_utc() + Span::days(days);
    params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    change(&mut params);
    ca.issue(params, KeyPair::generate_for(&PKCS_ED25519).unwrap())
}

fn put(dir: &Path, pair: &CertifiedKey<KeyPair>) -> SignerFiles {
    let files = SignerFiles { cert: dir.join("signer.crt"), key: dir.join("signer.key") };
    fs::write(&files.cert, pair.cert.pem()).unwrap();
    fs::write(&files.key, pair.signing_key.serialize_pem()).unwrap();
    files
}

/// A process that trusts this CA.
fn trusting(ca: &Ca) -> (Tls, TlsDirectory) {
    let place = TlsDirectory::new();
    place.put(ca, &ca.signed(&[SCHEDULER], &[], 1));
    (Tls::load(place.files()).unwrap(), place)
}

#[test]
fn only_signatures_under_a_trusted_ca_are_accepted() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let (tls, _at) = trusting(&ca);
    let loaded = Signer::load(put(dir.path(), &signer(&ca, SIGNER, 1, |_| {})), tls.clone()).unwrap();
    let Shown { certificate, signature } = loaded.sign(b"orders").unwrap();
    assert_eq!(verify_signed(&tls, &certificate, b"orders", &signature).unwrap().to_string(), SIGNER);
    assert_eq!(verify_signed(&tls, &certificate, b"order", &signature), Err(NotSigned::Signature));
    assert_eq!(verify_signed(&tls, &certificate, b"orders", &signature[1..]), Err(NotSigned::Signature));
    let (other, _there) = trusting(&Ca::new());
    let refused = verify_signed(&other, &certificate, b"orders", &signature).unwrap_err();
    assert!(refused.to_string().contains("from another CA"), "{refused}");
    assert!(verify_signed(&tls, b"none", b"orders", &signature).is_err());
}

#[test]
fn an_issuer_of_desktops_makes_no_signer() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let (tls, _at) = trusting(&ca);
    let files = ca.issuer(dir.path());
    let read = |path| fs::read_to_string(path).unwrap();
    let key = KeyPair::from_pem(&read(&files.key)).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read(&files.cert), key).unwrap();
    let own = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let cert = crate::issue::params(&SIGNER.parse().unwrap(), now, now + 100)
        .unwrap()
        .signed_by(&own, &issuer)
        .unwrap();
    let refused = Signer::load(put(dir.path(), &CertifiedKey { cert, signing_key: own }), tls).unwrap_err();
    assert!(refused.to_string().contains("from another CA"), "{refused}");
}

#[test]
fn certificate_unfit_for_signing_is_refused_at_load() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let (tls, _at) = trusting(&ca);
    let refused = |pair: &CertifiedKey<KeyPair>| {
        Signer::load(put(dir.path(), pair), tls.clone()).unwrap_err().to_string()
    };
    assert!(refused(&signer(&ca, SIGNER, -1, |_| {})).contains("has expired"));
    assert!(refused(&signer(&Ca::new(), SIGNER, 1, |_| {})).contains("from another CA"));
    assert!(
        refused(&signer(&ca, SCHEDULER, 1, |_| {}))
            .contains("graywave://role/scheduler/s does not have the role signer")
    );
    let for_talking = signer(&ca, SIGNER, 1, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    assert!(refused(&for_talking).contains("is not for code signing"));
    assert!(refused(&ca.signed(&[SIGNER], &[], 1)).contains("contains no Ed25519 key"));
    let mixed = CertifiedKey {
        cert: signer(&ca, SIGNER, 1, |_| {}).cert,
        signing_key: KeyPair::generate_for(&PKCS_ED25519).unwrap(),
    };
    assert!(refused(&mixed).contains("does not match the certificate"));
}

#[test]
fn a_new_signer_is_taken_and_what_is_wrong_keeps_the_old() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let (tls, _at) = trusting(&ca);
    let loaded = Signer::load(put(dir.path(), &signer(&ca, SIGNER, 1, |_| {})), tls).unwrap();
    let first = loaded.sign(b"x").unwrap().certificate;
    assert!(!loaded.look());
    let next = signer(&ca, "graywave://role/signer/s2", 1, |_| {});
    fs::write(dir.path().join("signer.crt"), next.cert.pem()).unwrap();
    assert!(!loaded.look(), "the key is still the old one");
    assert_eq!(loaded.sign(b"x").unwrap().certificate, first);
    put(dir.path(), &next);
    assert!(loaded.look());
    assert_eq!(loaded.sign(b"x").unwrap().certificate, next.cert.der().to_vec());
}

#[test]
fn nothing_is_signed_any_more_once_the_ca_is_dropped() {
    let (ca, other, dir) = (Ca::new(), Ca::new(), tempfile::tempdir().unwrap());
    let (tls, at) = trusting(&ca);
    let loaded = Signer::load(put(dir.path(), &signer(&ca, SIGNER, 1, |_| {})), tls).unwrap();
    at.put(&other, &other.signed(&[SCHEDULER], &[], 1));
    let again =
        Signer::load(put(dir.path(), &signer(&other, SIGNER, 1, |_| {})), Tls::load(at.files()).unwrap());
    again.unwrap();
    let source = SignerSource {
        files: loaded.inner.reloaded.source.files.clone(),
        tls: Tls::load(at.files()).unwrap(),
    };
    let moved = Signer::of(Reloaded::unread(source, loaded.key()));
    moved.judge();
    assert!(moved.sign(b"x").unwrap_err().contains("from another CA"));
    assert!(moved.look(), "the files hold a signer of the new CA");
    moved.sign(b"x").unwrap();
}

#[test]
fn the_two_files_go_together() {
    let none = SignerFilesGiven::default();
    assert_eq!(none.both_or_none(), Ok(None));
    let one = SignerFilesGiven { cert_file: Some("c".into()), ..none };
    assert!(one.both_or_none().unwrap_err().contains("both"));
}

#[test]
fn denied_signer_signs_nothing_that_counts() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let (tls, _at) = trusting(&ca);
    let loaded = Signer::load(put(dir.path(), &signer(&ca, SIGNER, 1, |_| {})), tls.clone()).unwrap();
    let Shown { certificate, signature } = loaded.sign(b"orders").unwrap();
    tls.deny_list().replace([loaded.key().facts.serial.as_str()]);
    let refused = verify_signed(&tls, &certificate, b"orders", &signature).unwrap_err();
    assert!(refused.to_string().contains("is denied"), "{refused}");
    assert!(loaded.sign(b"orders").unwrap_err().contains("is denied"));
    loaded.judge();
    assert!(loaded.sign(b"orders").unwrap_err().contains("is denied"));
    tls.deny_list().replace([]);
    loaded.judge();
    loaded.sign(b"orders").unwrap();
}
