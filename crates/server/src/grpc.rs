//! Connections for a gRPC server.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt as _, future, stream};
use mtls::{AnonymousPeers, Certified, Tls};
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

/// A peer of which nothing is read for so long is gone, or never was one: whoever speaks HTTP/2 answers the pings that
/// the servers send far more often.
const SILENCE: Duration = Duration::from_secs(60);

/// A stranger says what it has to say within this time; then its connection breaks.
const STRANGER_FOR: Duration = Duration::from_secs(30);

/// AnonymousPeers that may be connected at once, so that they leave room for those who are known.
const MAX_STRANGERS: usize = 200;

/// A connection of a gRPC server; it breaks when its peer is silent.
pub struct Connection {
    stream: Pin<Box<dyn Bytes>>,
    peer: Peer,
    stranger: Option<Visit>,
    _place: ConnectionPermit,
}

/// A stranger's place among those that may be there, and its end.
struct Visit {
    over: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

/// With TLS or without.
trait Bytes: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Bytes for S {}

/// Who is at the other end; a request has it among its extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address, and ours.
    pub tcp: TcpConnectInfo,
    /// Who it is.
    pub who: Who,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Without TLS nobody can tell.
    Anybody,
    /// One that showed no certificate, where such are let in.
    Anonymous,
    /// One that showed a good certificate.
    Known(Certified),
}

/// How connections are secured.
#[derive(Debug, Clone)]
pub struct Security {
    tls: Option<Tls>,
    /// Places for strangers, where they are let in.
    strangers: Option<Arc<Semaphore>>,
}

impl Security {
    /// With certificates, only peers that show a good one are let in; without, all are.
    pub fn new(tls: Option<Tls>) -> Self {
        Self { tls, strangers: None }
    }

    /// Lets a bounded number of peers in that show no certificate, each for a short time. Guards keep them from everything that
    /// is not meant for them.
    #[must_use]
    pub fn with_strangers(self) -> Self {
        Self { strangers: Some(Arc::new(Semaphore::new(MAX_STRANGERS))), ..self }
    }
}

/// The connections for `tonic`'s `serve_with_incoming`. With certificates, only those of peers that have shown a good one, and
/// of strangers where they are let in; of all others the log says why. Each handshake goes on by itself, within the room of
/// the listener.
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

/// The connection, once its peer has shown who it is; `None` when it does not.
async fn connection(accepted: Accepted, security: Security, silence: Duration) -> Option<Connection> {
    let Accepted { stream, peer, place } = accepted;
    let tcp = stream.connect_info();
    let stream = unless_silent(stream, silence);
    let Some(tls) = security.tls else {
        let peer = Peer { tcp, who: Who::Anybody };
        return Some(Connection { stream, peer, stranger: None, _place: place });
    };
    let strangers =
        if security.strangers.is_some() { AnonymousPeers::LetIn } else { AnonymousPeers::Refused };
    match mtls::accept(&tls, strangers, stream).await {
        Ok(mtls::Accepted { stream, who }) => {
            let (who, stranger) = match (who, security.strangers) {
                (Some(certified), _) => (Who::Known(certified), None),
                (None, places) => (Who::Anonymous, Some(Visit::begin(places?, peer)?)),
            };
            let peer = Peer { tcp, who };
            Some(Connection { stream: Box::pin(stream), peer, stranger, _place: place })
        }
        Err(error) => {
            tracing::warn!(%peer, reason = mtls::why(&error), "a connection is refused");
            None
        }
    }
}

impl Visit {
    /// `None` when as many strangers are there as may be.
    fn begin(places: Arc<Semaphore>, peer: SocketAddr) -> Option<Self> {
        let Ok(permit) = places.try_acquire_owned() else {
            tracing::warn!(%peer, "a connection is refused: as many as may be have shown no certificate");
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
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "a stranger stayed too long")));
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
