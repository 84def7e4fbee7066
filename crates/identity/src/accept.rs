//! The side that is dialled.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{certificate::read_facts, tls::Tls, who::Identity};

/// Whoever has not shown a certificate within this time is no peer.
pub(crate) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// A peer that has shown who it is.
#[derive(Debug)]
pub struct Accepted<S> {
    /// What is said.
    pub stream: TlsStream<S>,
    /// Who says it.
    pub identity: Identity,
}

/// Takes a connection with the certificates that are in use now. Its peer has a certificate of a CA that is trusted, and
/// the certificate says whose it is; what that one may do is for the caller to say.
///
/// # Errors
///
/// No good certificate in time; [`crate::why`] says which way.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(tls: &Tls, stream: S) -> io::Result<Accepted<S>> {
    let handshake = TlsAcceptor::from(tls.server()).accept(stream);
    let stream = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await.map_err(|_| too_late())??;
    let identity = peer(stream.get_ref().1.peer_certificates())?;
    Ok(Accepted { stream, identity })
}

pub(crate) fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it did not show who it is in time")
}

/// Who showed these certificates.
pub(crate) fn peer(shown: Option<&[rustls::pki_types::CertificateDer<'_>]>) -> io::Result<Identity> {
    let refused = |reason: String| io::Error::new(io::ErrorKind::PermissionDenied, reason);
    let first = shown.and_then(<[_]>::first).ok_or_else(|| refused("it shows no certificate".into()))?;
    let facts = read_facts(first).map_err(|reason| refused(format!("its certificate {reason}")))?;
    facts.identity.map_err(|error| refused(format!("its certificate names nobody: {error}")))
}
