//! Key and certificate of a signer.

use rustls::{
    SignatureScheme,
    crypto::ring::sign::any_eddsa_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign,
};

use super::{SignerFiles, verify::verify_signed};
use crate::{
    certificate::{Facts, read_certificates, read_facts},
    identity::Identity,
    tls::{Error, Tls},
};

/// Message that is signed to check whether a key belongs to its certificate; no verifier accepts it
/// as an order.
const TRIAL: &[u8] = b"graywave signer trial v1";

/// Contents of the files at one moment.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) cert: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// Signing key whose signatures verifiers accept.
pub(super) struct SigningKey {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) facts: Facts,
    pub(super) identity: Identity,
    key: Box<dyn sign::Signer>,
}

impl SigningKey {
    pub(super) fn read(files: &SignerFiles, pair: &Pair, tls: &Tls) -> Result<Self, Error> {
        let wrong_cert = |reason: String| Error::Wrong { path: files.cert.clone(), reason };
        let wrong_key = |reason: String| Error::Wrong { path: files.key.clone(), reason };
        let certificate = read_certificates(&pair.cert).map_err(wrong_cert)?.remove(0);
        let facts = read_facts(&certificate).map_err(wrong_cert)?;
        let identity = facts
            .identity
            .clone()
            .map_err(|error| wrong_cert(format!("contains no Graywave identity: {error}")))?;
        let key = PrivateKeyDer::from_pem_slice(&pair.key)
            .map_err(|error| wrong_key(format!("contains no private key: {error}")))?;
        let key = ed25519(&key).ok_or_else(|| wrong_key("contains no Ed25519 key".into()))?;
        let signing = Self { certificate, facts, identity, key };
        let signature = signing.sign(TRIAL).map_err(wrong_key)?;
        verify_signed(tls, &signing.certificate, TRIAL, &signature).map_err(|error| {
            if error.is_of_the_key() {
                return wrong_key("does not match the certificate".into());
            }
            wrong_cert(format!(
                "is not accepted: {error} (create one with `graywave ca issue --role signer`)"
            ))
        })?;
        Ok(signing)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        self.key.sign(message).map_err(|error| format!("signing failed: {error}"))
    }

    /// Whether verifiers accept its signatures now.
    pub(super) fn is_taken(&self, tls: &Tls) -> Result<(), String> {
        let signature = self.sign(TRIAL)?;
        verify_signed(tls, &self.certificate, TRIAL, &signature).map(drop).map_err(|error| error.to_string())
    }
}

fn ed25519(key: &PrivateKeyDer<'static>) -> Option<Box<dyn sign::Signer>> {
    let PrivateKeyDer::Pkcs8(key) = key else { return None };
    any_eddsa_type(key).ok()?.choose_scheme(&[SignatureScheme::ED25519])
}
