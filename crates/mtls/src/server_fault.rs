//! Reasons for which a client refuses a server.

use std::{error::Error as StdError, io};

use rustls::{CertificateError, Error};

use crate::identity::Identity;

/// Identity of a server that is no scheduler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} does not have the role scheduler")]
pub(crate) struct NotAScheduler(pub(crate) Identity);

/// Reason for which a client refuses a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerFault {
    /// No trusted CA signed it.
    UnknownAuthority,
    /// It names other hosts.
    OtherName,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It belongs to another process of Graywave.
    OtherRole(Identity),
    /// It is not valid for another reason.
    Invalid(String),
}

impl ServerFault {
    /// Finds the fault in an error and its causes; `None` if the certificate is not the cause.
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(fault) = inner.and_then(Self::read) {
                return Some(fault);
            }
            cause = error.source();
        }
        None
    }

    fn read(error: &(dyn StdError + Send + Sync + 'static)) -> Option<Self> {
        if let Some(NotAScheduler(identity)) = error.downcast_ref() {
            return Some(Self::OtherRole(identity.clone()));
        }
        let Error::InvalidCertificate(reason) = error.downcast_ref()? else { return None };
        Some(match reason {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            other => Self::Invalid(other.to_string()),
        })
    }
}
