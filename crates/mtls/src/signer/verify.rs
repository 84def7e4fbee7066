//! Verification of order signatures.

use std::{sync::Arc, time::Duration};

use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, UnixTime},
};
use webpki::{EndEntityCert, KeyUsage};

use crate::{
    certificate::read_facts,
    denied::DenyList,
    identity::{Identity, Role},
    settings::roots,
    tls::Tls,
};

/// Key usage of a signer's certificate, `id-kp-codeSigning`, which TLS does not accept. So TLS
/// certificates cannot sign orders, and a signer's certificate cannot open a connection.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];

/// Cause of a failed verification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// The certificate may not sign.
    #[error("{0}")]
    Certificate(String),
    /// The signature does not match the message.
    #[error("the signature does not match the signer and the message")]
    Signature,
}

impl NotSigned {
    pub(super) fn is_of_the_key(&self) -> bool {
        matches!(self, Self::Signature)
    }
}

/// Verifies a signature and returns the signer's identity. The certificate must have the role
/// signer, be issued directly by a trusted CA, and be valid by this machine's clock.
///
/// # Errors
///
/// When the certificate is denied or not accepted, or the signature does not match.
pub fn verify_signed(
    tls: &Tls,
    certificate: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<Identity, NotSigned> {
    verify(&tls.roots(), Some(tls.deny_list()), certificate, message, signature, UnixTime::now())
}

/// CAs that verify signatures of the past, such as the seals of an audit.
#[derive(Debug, Clone)]
pub struct SealRoots(Arc<RootCertStore>);

impl SealRoots {
    /// Reads the certificates of CAs in PEM. After a rotation, the file needs the old CA too, as
    /// long as signatures of its signers are kept.
    ///
    /// # Errors
    ///
    /// When a certificate cannot be read, or is not a CA's.
    pub fn read(pem: &[u8]) -> Result<Self, String> {
        roots(pem).map(|(roots, _)| Self(roots))
    }

    /// Does the same as [`verify_signed`] at a time in Unix seconds: the certificate must have been
    /// valid then, and may have expired or been denied since.
    ///
    /// # Errors
    ///
    /// As [`verify_signed`].
    pub fn verify_signed_at(
        &self,
        certificate: &[u8],
        message: &[u8],
        signature: &[u8],
        at_unix: u64,
    ) -> Result<Identity, NotSigned> {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at_unix));
        verify(&self.0, None, certificate, message, signature, at)
    }
}

fn verify(
    roots: &RootCertStore,
    deny_list: Option<&DenyList>,
    certificate: &[u8],
    message: &[u8],
    signature: &[u8],
    at: UnixTime,
) -> Result<Identity, NotSigned> {
    let wrong = |reason: String| NotSigned::Certificate(reason);
    let der = CertificateDer::from(certificate);
    let facts = read_facts(&der).map_err(|reason| wrong(format!("the signer's certificate {reason}")))?;
    let identity = facts
        .identity
        .map_err(|error| wrong(format!("the signer's certificate contains no Graywave identity: {error}")))?;
    if !identity.has_role(Role::Signer) {
        return Err(wrong(format!("{identity} does not have the role signer")));
    }
    if deny_list.is_some_and(|denied| denied.contains(&facts.serial)) {
        return Err(wrong("the signer's certificate is denied".into()));
    }
    let read = EndEntityCert::try_from(&der).map_err(|error| wrong(words(&error)))?;
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    let usage = KeyUsage::required(CODE_SIGNING);
    read.verify_for_usage(algorithms, &roots.roots, &[], at, usage, None, None)
        .map_err(|error| wrong(words(&error)))?;
    read.verify_signature(webpki::ring::ED25519, message, signature).map_err(|_| NotSigned::Signature)?;
    Ok(identity)
}

fn words(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { .. } => "the signer's certificate has expired".into(),
        webpki::Error::CertNotValidYet { .. } => {
            "the signer's certificate is not valid yet: check the clocks".into()
        }
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            "the signer's certificate is from another CA".into()
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => {
            "the signer's certificate is not for code signing".into()
        }
        other => format!("the signer's certificate is not valid: {other}"),
    }
}
