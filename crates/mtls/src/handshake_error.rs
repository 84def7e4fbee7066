//! Why a handshake failed, for the log.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// Why a handshake failed, in words where there are some.
pub fn why(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => words(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the connection was closed before it was made".into()
        }
        None => error.to_string(),
    }
}

fn words(error: &Error) -> String {
    let said = match error {
        Error::NoCertificatesPresented => "it shows no certificate",
        Error::InvalidCertificate(reason) => return certificate(reason),
        Error::AlertReceived(AlertDescription::CertificateExpired) => {
            "it says that our certificate has expired"
        }
        // The second where both CAs have the same name.
        Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError) => {
            "it says that our certificate is of another CA"
        }
        Error::AlertReceived(AlertDescription::CertificateRequired) => "it asks for a certificate",
        Error::InvalidMessage(_) => "it does not speak TLS",
        other => return other.to_string(),
    };
    said.to_owned()
}

fn certificate(reason: &CertificateError) -> String {
    let said = match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not good yet: are the clocks right?"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is of another CA"
        }
        CertificateError::Revoked => "its certificate is revoked",
        other => return format!("its certificate is not good: {other}"),
    };
    said.to_owned()
}
