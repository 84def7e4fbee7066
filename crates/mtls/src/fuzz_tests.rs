//! Mutated certificates and certificate requests.

use rustls::pki_types::CertificateDer;

use crate::{
    certificate::{read_certificates, read_facts},
    identity::Identity,
    issue::{NewKey, Request},
    testing::Ca,
};

#[test]
fn fuzz_certificates() {
    let signed = Ca::new().signed(&["graywave://desktop/p/d"], &["worker.example"], 1);
    let request = NewKey::generate().unwrap().request().unwrap();
    let identity = b"graywave://desktop/p%20q/d".to_vec();
    let samples = [signed.cert.der().to_vec(), signed.cert.pem().into_bytes(), request.clone(), identity];
    let key = Request::read(&request).unwrap().public_key();
    testkit::fuzz("certificates", &samples, |input| {
        drop(read_facts(&CertificateDer::from(input)));
        drop(read_certificates(input));
        if let Ok(text) = std::str::from_utf8(input) {
            drop(text.parse::<Identity>());
        }
        // The signature covers everything but itself.
        if let Ok(read) = Request::read(input) {
            assert_eq!(read.public_key(), key, "a request for another key has its own signature");
        }
    });
}
