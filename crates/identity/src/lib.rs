//! Mutual TLS between the parts of Graywave: who a peer is stands in its certificate, and certificates are read again
//! when their files change.

mod accept;
mod certificate;
mod dial;
mod files;
mod refusal;
mod settings;
mod signer;
mod tls;
mod who;

#[cfg(test)]
mod handshakes;

#[cfg(test)]
mod testing;

pub use accept::{Accepted, accept};
pub use certificate::{Facts, read_certificates, read_facts};
pub use dial::{Dialled, check_url, connect, connector};
pub use files::{Files, FilesGiven};
pub use refusal::why;
pub use rustls::pki_types::CertificateDer;
pub use signer::{NotSigned, Shown, Signer, SignerFiles, SignerFilesGiven, verify_signed};
pub use tls::{Error, Tls};
pub use who::{Identity, NotAnIdentity, Role};
