//! Whether something was signed by a signer.

use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, UnixTime},
};
use webpki::{EndEntityCert, KeyUsage};

use crate::{
    certificate::read_facts,
    identity::{Identity, Role},
    tls::Tls,
};

/// What a signer's certificate is for, `id-kp-codeSigning`: nothing that is spoken. So no certificate that anybody shows in a
/// handshake signs orders, and no signer's opens a connection.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];

/// Why something is not signed by a signer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// Its certificate is of nobody who may sign.
    #[error("{0}")]
    Certificate(String),
    /// It is not what was signed.
    #[error("the signature is not of the signer and of this")]
    Signature,
}

impl NotSigned {
    pub(super) fn is_of_the_key(&self) -> bool {
        matches!(self, Self::Signature)
    }
}

/// Whose signature this is: that of a certificate of the role signer, issued by a CA that is trusted now (and by none between),
/// and good by this machine's clock, as in a handshake.
///
/// # Errors
///
/// Another certificate, or a signature of something else.
pub fn verify_signed(
    tls: &Tls,
    certificate: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<Identity, NotSigned> {
    let wrong = |reason: String| NotSigned::Certificate(reason);
    let der = CertificateDer::from(certificate);
    let facts = read_facts(&der).map_err(|reason| wrong(format!("the signer's certificate {reason}")))?;
    let identity =
        facts.identity.map_err(|error| wrong(format!("the signer's certificate names nobody: {error}")))?;
    if !identity.has_role(Role::Signer) {
        return Err(wrong(format!("{identity} is no signer")));
    }
    let read = EndEntityCert::try_from(&der).map_err(|error| wrong(words(&error)))?;
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    let (roots, usage) = (tls.roots(), KeyUsage::required(CODE_SIGNING));
    read.verify_for_usage(algorithms, &roots.roots, &[], UnixTime::now(), usage, None, None)
        .map_err(|error| wrong(words(&error)))?;
    read.verify_signature(webpki::ring::ED25519, message, signature).map_err(|_| NotSigned::Signature)?;
    Ok(identity)
}

fn words(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { .. } => "the signer's certificate has expired".into(),
        webpki::Error::CertNotValidYet { .. } => {
            "the signer's certificate is not good yet: are the clocks right?".into()
        }
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            "the signer's certificate is of another CA".into()
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => "the signer's certificate is not for signing".into(),
        other => format!("the signer's certificate is not good: {other}"),
    }
}
