//! Mutual TLS between the parts of Graywave: who a peer is stands in its certificate, and certificates are read again
//! when their files change.

mod accept;
mod certificate;
mod dial;
mod files;
mod issue;
mod refusal;
mod settings;
mod signer;
mod strangers;
mod tls;
mod verify;
mod who;

#[cfg(test)]
mod handshakes;

#[cfg(test)]
mod testing;

pub use accept::{Accepted, accept};
pub use certificate::{BACKDATED_SECONDS, Certified, Facts, read_certificates, read_facts};
pub use dial::{Dialled, Dialling, Stranger, check_url, connect, connector};
pub use files::{Files, FilesGiven};
pub use issue::{Issued, Issuer, IssuerFiles, NewKey, Request, params};
pub use refusal::why;
pub use rustls::pki_types::CertificateDer;
pub use signer::{NotSigned, Shown, Signer, SignerFiles, SignerFilesGiven, verify_signed};
pub use strangers::Strangers;
pub use tls::{Error, Tls};
pub use who::{Identity, NotAnIdentity, Role};
