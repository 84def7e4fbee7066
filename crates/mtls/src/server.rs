//! Server side of connections.

use std::{io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    anonymous::AnonymousPeers,
    certificate::Certified,
    denied::{DenyList, UntilDenied},
    identity::Role,
    tls::Tls,
};

/// Time limit of a handshake.
pub(crate) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Time that the connection of a denied worker stays open, so that an honest one gets the list with
/// its next heartbeat and its agents leave it.
const WORKER_GRACE: Duration = Duration::from_secs(5);

/// Accepted connection.
#[derive(Debug)]
pub struct Accepted<S> {
    /// Encrypted stream; it ends when the peer's certificate is denied.
    pub stream: UntilDenied<TlsStream<S>>,
    /// Identity of the peer; `None` for an anonymous peer.
    pub who: Option<Certified>,
}

/// Performs the handshake with the current certificates. The peer's certificate must be signed by a
/// trusted CA and contain an identity; the caller decides what that identity may do.
///
/// # Errors
///
/// When no valid certificate arrives in time; [`crate::why`] gives the reason.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    tls: &Tls,
    strangers: AnonymousPeers,
    stream: S,
) -> io::Result<Accepted<S>> {
    let stream = shake_hands(tls.server(strangers), stream).await?;
    accepted(stream, strangers, tls.deny_list())
}

pub(crate) async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ServerConfig>,
    stream: S,
) -> io::Result<TlsStream<S>> {
    let handshake = TlsAcceptor::from(config).accept(stream);
    tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await.map_err(|_| too_late())?
}

/// Reads the identity of the peer, and ends its connection when its certificate is denied.
pub(crate) fn accepted<S>(
    stream: TlsStream<S>,
    strangers: AnonymousPeers,
    deny_list: &DenyList,
) -> io::Result<Accepted<S>> {
    let shown = stream.get_ref().1.peer_certificates();
    let who = match strangers {
        AnonymousPeers::LetIn if shown.is_none() => None,
        AnonymousPeers::LetIn | AnonymousPeers::Refused => Some(peer(shown)?),
    };
    let serial = who.as_ref().map(|certified: &Certified| certified.serial.as_str());
    let is_worker = who.as_ref().is_some_and(|certified| certified.identity.has_role(Role::Worker));
    let grace = if is_worker { WORKER_GRACE } else { Duration::ZERO };
    let stream = UntilDenied::new(stream, deny_list, serial, grace);
    Ok(Accepted { stream, who })
}

pub(crate) fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the handshake timed out")
}

/// Identity in the first of the peer's certificates.
pub(crate) fn peer(shown: Option<&[rustls::pki_types::CertificateDer<'_>]>) -> io::Result<Certified> {
    let refused = |reason: String| io::Error::new(io::ErrorKind::PermissionDenied, reason);
    let first = shown.and_then(<[_]>::first).ok_or_else(|| refused("the peer sent no certificate".into()))?;
    Certified::read(first).map_err(|reason| refused(format!("its certificate {reason}")))
}
