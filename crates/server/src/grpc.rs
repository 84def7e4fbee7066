//! Connections of a gRPC server.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt as _, future, stream};
use mtls::{AnonymousPeers, Certified, OperatorTls, Tls};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::{Accepted, ConnectionPermit, Listener};

/// Time without input after which a connection is closed. HTTP/2 peers answer pings, which the
/// servers send far more often.
const SILENCE: Duration = Duration::from_secs(60);

/// Maximum duration of a connection without a client certificate.
const STRANGER_FOR: Duration = Duration::from_secs(30);

/// Maximum number of connections without a client certificate, so that they leave room for
/// authenticated peers.
const MAX_STRANGERS: usize = 200;

/// Connection of a gRPC server; reads fail when its peer stays silent.
pub struct Connection {
    stream: Pin<Box<dyn Bytes>>,
    peer: Peer,
    stranger: Option<Visit>,
    _place: ConnectionPermit,
}

/// Time-limited permit of an anonymous connection.
struct Visit {
    over: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

/// Byte stream with or without TLS.
trait Bytes: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Bytes for S {}

/// Remote side of a connection; an extension of each request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Remote and local address.
    pub tcp: TcpConnectInfo,
    /// Identity of the peer.
    pub who: Who,
}

/// Identity of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Unknown, because the connection has no TLS.
    Anybody,
    /// Peer without a certificate, on a listener that accepts them.
    Anonymous,
    /// Peer with a valid certificate.
    Known(Certified),
}

/// Security settings of a listener.
#[derive(Debug, Clone)]
pub struct Security(Handshake);

#[derive(Debug, Clone)]
enum Handshake {
    /// Plain text.
    None,
    /// Peers with a certificate, and a number of anonymous ones if there are permits for them.
    Mutual { tls: Tls, strangers: Option<Arc<Semaphore>> },
    /// Operators, with or without a certificate.
    Operators(OperatorTls),
}

impl Security {
    /// With certificates, only peers with a valid one are accepted; without, all peers are.
    pub fn new(tls: Option<Tls>) -> Self {
        Self(tls.map_or(Handshake::None, |tls| Handshake::Mutual { tls, strangers: None }))
    }

    /// Also accepts a bounded number of peers without a certificate, each for a short time. Guards
    /// keep them from all other services.
    #[must_use]
    pub fn with_strangers(self) -> Self {
        let strangers = Some(Arc::new(Semaphore::new(MAX_STRANGERS)));
        match self.0 {
            Handshake::Mutual { tls, .. } => Self(Handshake::Mutual { tls, strangers }),
            other => Self(other),
        }
    }

    /// With a server certificate, accepts peers without a certificate too; without one, plain text.
    /// Each call needs a credential of its own.
    pub fn of_operators(tls: Option<OperatorTls>) -> Self {
        Self(tls.map_or(Handshake::None, Handshake::Operators))
    }
}

/// Connections for tonic's `serve_with_incoming`. With certificates, only peers with a valid one
/// are accepted, and anonymous peers if allowed; refusals are logged. Handshakes run concurrently,
/// within the limit of the listener.
pub fn grpc(listener: Listener, security: Security) -> impl Stream<Item = io::Result<Connection>> {
    with_silence(listener, security, SILENCE)
}

fn with_silence(
    listener: Listener,
    security: Security,
    silence: Duration,
) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold(listener, |listener| async move { Some((listener.accept().await, listener)) })
        .map(move |accepted| {
            AbortOnDropHandle::new(tokio::spawn(connection(accepted, security.clone(), silence)))
        })
        .buffer_unordered(usize::MAX)
        .filter_map(|made| future::ready(made.ok().flatten().map(Ok)))
}

/// Returns the connection after its handshake; `None` if the handshake fails.
async fn connection(accepted: Accepted, security: Security, silence: Duration) -> Option<Connection> {
    let Accepted { stream, peer, place } = accepted;
    let tcp = stream.connect_info();
    let stream = unless_silent(stream, silence);
    let (accepted, strangers) = match security.0 {
        Handshake::None => {
            let peer = Peer { tcp, who: Who::Anybody };
            return Some(Connection { stream, peer, stranger: None, _place: place });
        }
        Handshake::Mutual { tls, strangers } => {
            let treatment = if strangers.is_some() { AnonymousPeers::LetIn } else { AnonymousPeers::Refused };
            (mtls::accept(&tls, treatment, stream).await, strangers)
        }
        Handshake::Operators(tls) => (tls.accept(stream).await, None),
    };
    match accepted {
        Ok(mtls::Accepted { stream, who }) => {
            let (who, stranger) = match (who, strangers) {
                (Some(certified), _) => (Who::Known(certified), None),
                (None, Some(places)) => (Who::Anonymous, Some(Visit::begin(places, peer)?)),
                (None, None) => (Who::Anonymous, None),
            };
            let peer = Peer { tcp, who };
            Some(Connection { stream: Box::pin(stream), peer, stranger, _place: place })
        }
        Err(error) => {
            tracing::warn!(%peer, reason = mtls::why(&error), "connection refused");
            None
        }
    }
}

impl Visit {
    /// Takes a permit; `None` if all are in use.
    fn begin(places: Arc<Semaphore>, peer: SocketAddr) -> Option<Self> {
        let Ok(permit) = places.try_acquire_owned() else {
            tracing::warn!(%peer, "connection refused: limit of connections without a certificate reached");
            return None;
        };
        Some(Self { over: Box::pin(sleep(STRANGER_FOR)), _permit: permit })
    }
}

fn unless_silent(stream: TcpStream, silence: Duration) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_read_timeout(Some(silence));
    Box::pin(stream)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(visit) = &mut self.stranger
            && visit.over.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the time limit of a connection without a certificate has passed",
            )));
        }
        self.stream.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn a_connection_is_read_until_its_peer_is_silent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = Box::pin(with_silence(
            Listener::new(listener, 5),
            Security::new(None),
            Duration::from_millis(50),
        ));
        let mut peer = TcpStream::connect(address).await.unwrap();
        peer.write_all(b"x").await.unwrap();
        let mut connection = incoming.next().await.unwrap().unwrap();
        assert_eq!(connection.connect_info().tcp.remote_addr(), Some(peer.local_addr().unwrap()));
        assert_eq!(connection.read(&mut [0; 8]).await.unwrap(), 1);
        assert_eq!(connection.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
