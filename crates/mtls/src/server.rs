//! The side that is dialled.

use std::{io, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{anonymous::AnonymousPeers, certificate::Certified, tls::Tls};

/// Whoever has not shown a certificate within this time is no peer.
pub(crate) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// A peer.
#[derive(Debug)]
pub struct Accepted<S> {
    /// What is said.
    pub stream: TlsStream<S>,
    /// Who says it; `None` of a stranger that was let in.
    pub who: Option<Certified>,
}

/// Takes a connection with the certificates that are in use now. Its peer has a certificate of a CA that is trusted, and
/// the certificate says whose it is; what that one may do is for the caller to say.
///
/// # Errors
///
/// No good certificate in time; [`crate::why`] says which way.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    tls: &Tls,
    strangers: AnonymousPeers,
    stream: S,
) -> io::Result<Accepted<S>> {
    let handshake = TlsAcceptor::from(tls.server(strangers)).accept(stream);
    let stream = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await.map_err(|_| too_late())??;
    let shown = stream.get_ref().1.peer_certificates();
    let who = match strangers {
        AnonymousPeers::LetIn if shown.is_none() => None,
        AnonymousPeers::LetIn | AnonymousPeers::Refused => Some(peer(shown)?),
    };
    Ok(Accepted { stream, who })
}

pub(crate) fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it did not show who it is in time")
}

/// Who showed these certificates.
pub(crate) fn peer(shown: Option<&[rustls::pki_types::CertificateDer<'_>]>) -> io::Result<Certified> {
    let refused = |reason: String| io::Error::new(io::ErrorKind::PermissionDenied, reason);
    let first = shown.and_then(<[_]>::first).ok_or_else(|| refused("it shows no certificate".into()))?;
    Certified::read(first).map_err(|reason| refused(format!("its certificate {reason}")))
}
