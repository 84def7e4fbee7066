//! Signatures of agents with the keys of their certificates, outside TLS handshakes.

use rustls::{
    SignatureScheme,
    crypto::ring,
    pki_types::{CertificateDer, UnixTime},
};
use webpki::{EndEntityCert, KeyUsage};

use crate::{
    certificate::{Certified, read_facts},
    tls::Tls,
    verified_chains::chain_id,
};

/// Accepted signature schemes, in order of preference.
const SCHEMES: [SignatureScheme; 6] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
];

/// Maximum number of certificates between a desktop and its CA.
const MAX_INTERMEDIATES: usize = 4;

/// Signature with the certificates of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Certificates in DER: the leaf, then its intermediates.
    pub chain: Vec<Vec<u8>>,
    /// Signature scheme of TLS.
    pub scheme: u16,
    /// Signature over the message, by the key of the leaf.
    pub signature: Vec<u8>,
}

impl Tls {
    /// Signs a message with the key of the certificate in use. The message must begin with a
    /// context of its own, so that the signature serves no other purpose.
    ///
    /// # Errors
    ///
    /// When the key has no accepted signature scheme.
    pub fn prove(&self, message: &[u8]) -> Result<Proof, String> {
        let own = self.own();
        let signer = own.key.choose_scheme(&SCHEMES).ok_or("the key has no accepted signature scheme")?;
        let signature = signer.sign(message).map_err(|error| format!("signing failed: {error}"))?;
        let chain = own.cert.iter().map(|certificate| certificate.to_vec()).collect();
        Ok(Proof { chain, scheme: signer.scheme().into(), signature })
    }
}

/// Verifies a signature and returns the identity of the desktop that made it. A trusted CA, or an
/// issuer below it, must have issued the certificate, which must be valid now.
///
/// # Errors
///
/// When the certificate is not accepted, or the signature does not match.
pub fn verify_proof(tls: &Tls, message: &[u8], proof: &Proof) -> Result<Certified, String> {
    let (leaf, between) = proof.chain.split_first().ok_or("the certificate is missing")?;
    if between.len() > MAX_INTERMEDIATES {
        return Err("there are too many certificates".into());
    }
    let leaf = CertificateDer::from(leaf.as_slice());
    let certified = Certified::read(&leaf).map_err(|reason| format!("the certificate {reason}"))?;
    if !certified.identity.is_desktop() {
        return Err(format!("{} is not a desktop", certified.identity));
    }
    let between: Vec<CertificateDer<'_>> =
        between.iter().map(|certificate| CertificateDer::from(certificate.as_slice())).collect();
    check_denied(tls, &proof.chain)?;
    let read = EndEntityCert::try_from(&leaf).map_err(|error| words(&error))?;
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let (current, id, now) = (tls.current(), chain_id(&proof.chain), UnixTime::now());
    if !current.verified.contains(&id, i64::try_from(now.as_secs()).unwrap_or(i64::MAX)) {
        let usage = KeyUsage::client_auth();
        read.verify_for_usage(algorithms.all, &current.roots.roots, &between, now, usage, None, None)
            .map_err(|error| words(&error))?;
        current.verified.add(id, ends_at(certified.not_after_unix, &between)?);
    }
    let scheme = SignatureScheme::from(proof.scheme);
    let accepted = if SCHEMES.contains(&scheme) { algorithms.mapping } else { &[] };
    let known = accepted.iter().filter(|(known, _)| *known == scheme).flat_map(|(_, algorithms)| *algorithms);
    let mut known = known.copied();
    if known.any(|algorithm| read.verify_signature(algorithm, message, &proof.signature).is_ok()) {
        return Ok(certified);
    }
    Err("the signature does not match the certificate and the message".into())
}

/// Refuses a chain of which a certificate is denied: the leaf, or its issuer.
///
/// # Errors
///
/// When a certificate is denied or malformed.
pub fn check_denied(tls: &Tls, chain: &[Vec<u8>]) -> Result<(), String> {
    for certificate in chain {
        let facts = read_facts(&CertificateDer::from(certificate.as_slice()))?;
        if tls.deny_list().contains(&facts.serial) {
            return Err(format!("the certificate {} is denied", facts.subject));
        }
    }
    Ok(())
}

/// First end of validity among a leaf and its intermediates, in Unix seconds.
fn ends_at(leaf_unix: i64, between: &[CertificateDer<'_>]) -> Result<i64, String> {
    between.iter().try_fold(leaf_unix, |first, between| Ok(first.min(read_facts(between)?.not_after_unix)))
}

fn words(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { .. } => "the certificate has expired".into(),
        webpki::Error::CertNotValidYet { .. } => "the certificate is not valid yet: check the clocks".into(),
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            "the certificate is from another CA".into()
        }
        other => format!("the certificate is not valid: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ca, TlsDirectory};

    fn tls(ca: &Ca, uri: &str) -> (Tls, TlsDirectory) {
        let place = TlsDirectory::new();
        place.put(ca, &ca.signed(&[uri], &[], 1));
        (Tls::load(place.files()).unwrap(), place)
    }

    #[test]
    fn only_desktops_under_a_trusted_ca_prove_themselves() {
        let ca = Ca::new();
        let (scheduler, _a) = tls(&ca, "graywave://role/scheduler/s");
        let (desktop, _b) = tls(&ca, "graywave://desktop/p/d");
        let proof = desktop.prove(b"message").unwrap();
        let certified = verify_proof(&scheduler, b"message", &proof).unwrap();
        assert_eq!(certified.identity.to_string(), "graywave://desktop/p/d");
        assert_eq!(certified.serial, desktop.facts().serial);
        let refused = |message: &[u8], proof: &Proof| verify_proof(&scheduler, message, proof).unwrap_err();
        assert!(refused(b"massage", &proof).contains("does not match"));
        let other_scheme = Proof { scheme: u16::from(SignatureScheme::ED25519), ..proof.clone() };
        assert!(refused(b"message", &other_scheme).contains("does not match"));
        let sha1 = Proof { scheme: u16::from(SignatureScheme::ECDSA_SHA1_Legacy), ..proof.clone() };
        assert!(refused(b"message", &sha1).contains("does not match"));
        assert!(refused(b"message", &Proof { chain: Vec::new(), ..proof.clone() }).contains("missing"));
        let (worker, _c) = tls(&ca, "graywave://role/worker/w");
        assert!(refused(b"message", &worker.prove(b"message").unwrap()).contains("is not a desktop"));
        let (stranger, _d) = tls(&Ca::new(), "graywave://desktop/p/d");
        assert!(refused(b"message", &stranger.prove(b"message").unwrap()).contains("another CA"));
        let crossed = Proof { chain: proof.chain, ..stranger.prove(b"message").unwrap() };
        assert!(refused(b"message", &crossed).contains("does not match"));
    }

    #[test]
    fn verified_chain_is_trusted_by_the_same_cas_only() {
        let (ca, other) = (Ca::new(), Ca::new());
        let (desktop, _a) = tls(&ca, "graywave://desktop/p/d");
        let (scheduler, place) = tls(&ca, "graywave://role/scheduler/s");
        let proof = desktop.prove(b"message").unwrap();
        for _ in 0..2 {
            assert!(verify_proof(&scheduler, b"message", &proof).is_ok());
            assert!(verify_proof(&scheduler, b"massage", &proof).is_err());
        }
        let padded = Proof { chain: [proof.chain.clone(), vec![vec![1]]].concat(), ..proof.clone() };
        assert!(verify_proof(&scheduler, b"message", &padded).is_err());
        // The CA is dropped.
        place.put(&other, &other.signed(&["graywave://role/scheduler/s"], &[], 1));
        let reloaded = Tls::load(place.files()).unwrap();
        assert!(verify_proof(&reloaded, b"message", &proof).unwrap_err().contains("another CA"));
    }

    #[test]
    fn denied_certificate_or_issuer_proves_nothing() {
        let ca = Ca::new();
        let (scheduler, _a) = tls(&ca, "graywave://role/scheduler/s");
        let (desktop, _b) = tls(&ca, "graywave://desktop/p/d");
        let proof = desktop.prove(b"message").unwrap();
        verify_proof(&scheduler, b"message", &proof).unwrap();
        scheduler.deny_list().replace([desktop.facts().serial.as_str()]);
        assert!(verify_proof(&scheduler, b"message", &proof).unwrap_err().contains("denied"));
    }

    #[test]
    fn expired_certificate_proves_nothing() {
        let (ca, place) = (Ca::new(), TlsDirectory::new());
        place.put(&ca, &ca.signed(&["graywave://desktop/p/d"], &[], -1));
        let expired = Tls::load(place.files()).unwrap().prove(b"message").unwrap();
        let (scheduler, _a) = tls(&ca, "graywave://role/scheduler/s");
        assert!(verify_proof(&scheduler, b"message", &expired).unwrap_err().contains("has expired"));
    }
}
