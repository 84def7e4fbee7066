//! Mutual TLS between the processes of Graywave. A peer's identity is in its certificate, and
//! certificates are read again when their files change.

mod anonymous;
mod certificate;
mod client;
mod denied;
mod enrolment_token;
mod files;
mod handshake_error;
mod identity;
mod issue;
mod operator_client;
mod operator_server;
mod possession;
mod probe;
mod proof;
mod proxy;
mod reloaded;
mod server;
mod server_fault;
mod session;
mod settings;
mod signer;
mod tls;
mod verified_chains;
mod verify;
mod web;

#[cfg(test)]
mod fuzz_tests;

#[cfg(test)]
mod handshake_tests;

#[cfg(test)]
mod testing;

pub use anonymous::AnonymousPeers;
pub use certificate::{BACKDATED_SECONDS, Certified, Facts, read_certificates, read_facts};
pub use client::{
    Anonymous, Connect, Connecting, Dialled, DialledPeer, Dialling, check_url, connect, connector,
    connector_through, connector_to_peer, is_this_machine,
};
pub use denied::{DenyList, UntilDenied, canonical_serial};
pub use enrolment_token::{EnrolmentToken, TOKEN_KEY_BYTES, is_signed_by_token};
pub use files::{Files, FilesGiven, read as read_file};
pub use handshake_error::why;
pub use identity::{Identity, NotAnIdentity, Role};
pub use issue::{Issued, Issuer, IssuerFiles, NewKey, Request, params, server_params};
pub use operator_client::{OperatorClient, OwnFiles, Trust, open_tcp, operator_connector};
pub use operator_server::OperatorTls;
pub use possession::verify_possession;
pub use probe::{TlsProbe, UnverifiedTls, probe_tls};
pub use proof::{Proof, check_denied, verify_proof};
pub use proxy::{Proxy, ProxySettings, TUNNEL_WITHIN};
pub use reloaded::{Look, Reloaded, Source};
pub use rustls::pki_types::CertificateDer;
pub use server::{Accepted, accept};
pub use server_fault::ServerFault;
pub use session::{SessionKey, SessionOffer};
pub use signer::{NotSigned, SealRoots, Shown, Signer, SignerFiles, SignerFilesGiven, verify_signed};
pub use tls::{Error, Tls};
pub use web::{WebFiles, WebTls};
