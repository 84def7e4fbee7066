//! Causes of failed handshakes, for the log.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// Cause of a failed handshake, as text for operators.
pub fn why(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => words(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the peer closed the connection during the handshake".into()
        }
        None => error.to_string(),
    }
}

fn words(error: &Error) -> String {
    let said = match error {
        Error::NoCertificatesPresented => "the peer sent no certificate",
        Error::InvalidCertificate(reason) => return certificate(reason),
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "the peer reports that this certificate has expired"
        }
        // The second alert occurs if both CAs have the same name.
        Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError) => {
            "the peer reports that this certificate is from another CA"
        }
        Error::AlertReceived(AlertDescription::CertificateRevoked) => {
            "the peer reports that this certificate is denied"
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => "the peer requires a certificate",
        Error::InvalidMessage(_) => "the peer does not speak TLS",
        other => return other.to_string(),
    };
    said.to_owned()
}

fn certificate(reason: &CertificateError) -> String {
    let said = match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: check the clocks"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is from another CA"
        }
        CertificateError::Revoked => "its certificate is denied",
        other => return format!("its certificate is not valid: {other}"),
    };
    said.to_owned()
}
