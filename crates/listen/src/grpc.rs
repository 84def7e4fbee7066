//! Connections for a gRPC server.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt as _, future, stream};
use identity::{Identity, Tls};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::{Accepted, Listener, Place};

/// A peer of which nothing is read for so long is gone, or never was one: whoever speaks HTTP/2 answers the pings that
/// the servers send far more often.
const SILENCE: Duration = Duration::from_secs(60);

/// A connection of a gRPC server; it breaks when its peer is silent.
pub struct Connection {
    stream: Pin<Box<dyn Bytes>>,
    peer: Peer,
    _place: Place,
}

/// With TLS or without.
trait Bytes: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Bytes for S {}

/// Who is at the other end; a request has it among its extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address, and ours.
    pub tcp: TcpConnectInfo,
    /// Who it is by its certificate; `None` without TLS.
    pub identity: Option<Identity>,
}

/// The connections for `tonic`'s `serve_with_incoming`. With certificates, only those of peers that have shown a good one;
/// of all others the log says why. Each handshake goes on by itself, within the room of the listener.
pub fn grpc(listener: Listener, tls: Option<Tls>) -> impl Stream<Item = io::Result<Connection>> {
    with_silence(listener, tls, SILENCE)
}

fn with_silence(
    listener: Listener,
    tls: Option<Tls>,
    silence: Duration,
) -> impl Stream<Item = io::Result<Connection>> {
    stream::unfold(listener, |listener| async move { Some((listener.accept().await, listener)) })
        .map(move |accepted| AbortOnDropHandle::new(tokio::spawn(connection(accepted, tls.clone(), silence))))
        .buffer_unordered(usize::MAX)
        .filter_map(|made| future::ready(made.ok().flatten().map(Ok)))
}

/// The connection, once its peer has shown who it is; `None` when it does not.
async fn connection(accepted: Accepted, tls: Option<Tls>, silence: Duration) -> Option<Connection> {
    let Accepted { stream, peer, place } = accepted;
    let tcp = stream.connect_info();
    let stream = unless_silent(stream, silence);
    let Some(tls) = tls else {
        let peer = Peer { tcp, identity: None };
        return Some(Connection { stream, peer, _place: place });
    };
    match identity::accept(&tls, stream).await {
        Ok(identity::Accepted { stream, identity }) => {
            let peer = Peer { tcp, identity: Some(identity) };
            Some(Connection { stream: Box::pin(stream), peer, _place: place })
        }
        Err(error) => {
            tracing::warn!(%peer, reason = identity::why(&error), "a connection is refused");
            None
        }
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
        let mut incoming =
            Box::pin(with_silence(Listener::new(listener, 5), None, Duration::from_millis(50)));
        let mut peer = TcpStream::connect(address).await.unwrap();
        peer.write_all(b"x").await.unwrap();
        let mut connection = incoming.next().await.unwrap().unwrap();
        assert_eq!(connection.connect_info().tcp.remote_addr(), Some(peer.local_addr().unwrap()));
        assert_eq!(connection.read(&mut [0; 8]).await.unwrap(), 1);
        assert_eq!(connection.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
