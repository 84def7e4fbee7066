//! Signatures with the key of a certificate outside of TLS: they prove possession of that key to a
//! process that does not hold the connection.

use rustls::{SignatureScheme, pki_types::CertificateDer, sign::SigningKey};
use webpki::EndEntityCert;

use crate::{certificate::Facts, tls::Tls};

/// Schemes of the keys that certificates of Graywave have.
const SCHEMES: [SignatureScheme; 2] = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519];

impl Tls {
    /// Signs a message with the current key. `message` gets the facts of the certificate of that
    /// key. The message must begin with a label of its purpose, so that the signature has no other
    /// use.
    ///
    /// # Errors
    ///
    /// When the key is neither on P-256 nor an Ed25519 key.
    pub fn sign(&self, message: impl FnOnce(&Facts) -> Vec<u8>) -> Result<Vec<u8>, String> {
        let current = self.current();
        sign(&*current.own.key, &message(&current.facts))
    }
}

fn sign(key: &dyn SigningKey, message: &[u8]) -> Result<Vec<u8>, String> {
    let signer = key.choose_scheme(&SCHEMES).ok_or("the key is neither on P-256 nor an Ed25519 key")?;
    signer.sign(message).map_err(|error| format!("signing failed: {error}"))
}

/// Checks a signature of [`Tls::sign`] against the certificate of the key, in DER. The certificate
/// itself is not verified.
///
/// # Errors
///
/// When the bytes are no certificate, or the signature is of another key or message.
pub fn verify_possession(certificate: &[u8], message: &[u8], signature: &[u8]) -> Result<(), String> {
    let der = CertificateDer::from(certificate);
    let read =
        EndEntityCert::try_from(&der).map_err(|error| format!("the certificate is not valid: {error}"))?;
    let is_signed = [webpki::ring::ECDSA_P256_SHA256, webpki::ring::ED25519]
        .into_iter()
        .any(|algorithm| read.verify_signature(algorithm, message, signature).is_ok());
    if is_signed { Ok(()) } else { Err("the signature does not match the certificate's key".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ca, TlsDirectory};

    #[test]
    fn signature_fits_only_its_key_and_message() {
        let (ca, place) = (Ca::new(), TlsDirectory::new());
        let pair = ca.signed(&["graywave://desktop/p/d"], &[], 1);
        place.put(&ca, &pair);
        let tls = Tls::load(place.files()).unwrap();
        let signature = tls.sign(|facts| facts.serial.clone().into_bytes()).unwrap();
        let serial = tls.facts().serial;
        verify_possession(pair.cert.der(), serial.as_bytes(), &signature).unwrap();
        let other = ca.signed(&["graywave://desktop/p/d"], &[], 1);
        for (certificate, message, signature) in [
            (other.cert.der().as_ref(), serial.as_bytes(), &signature[..]),
            (pair.cert.der().as_ref(), b"another message", &signature[..]),
            (pair.cert.der().as_ref(), serial.as_bytes(), &signature[1..]),
            (pair.cert.der().as_ref(), serial.as_bytes(), b""),
            (b"no certificate", serial.as_bytes(), &signature[..]),
        ] {
            verify_possession(certificate, message, signature).unwrap_err();
        }
    }
}
