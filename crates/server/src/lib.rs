//! Accepts a bounded number of connections, so that untrusted peers cannot exhaust descriptors or
//! memory.

mod grpc;
mod guard;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

pub use grpc::{Connection, Peer, Security, Who, grpc};
pub use guard::Guard;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Pause after a failed accept, for example without free descriptors.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// Listener with a maximum number of open connections.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    room: Arc<Semaphore>,
}

/// Accepted connection with its permit.
#[derive(Debug)]
pub struct Accepted {
    /// Stream with TCP_NODELAY: answers are small and written in pieces, and Nagle's algorithm
    /// would delay each by 40 ms, until the peer's delayed acknowledgement.
    pub stream: TcpStream,
    /// Remote address.
    pub peer: SocketAddr,
    /// Permit; keep it as long as the connection.
    pub place: ConnectionPermit,
}

/// Permit for one open connection; released when dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// Wraps a bound listener.
    pub fn new(inner: TcpListener, max_connections: usize) -> Self {
        Self { inner, room: Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS))) }
    }

    /// Local address of the listener.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Accepts the next connection within the limit. A surplus connection is closed at once, so
    /// that its peer notices the refusal immediately.
    pub async fn accept(&self) -> Accepted {
        loop {
            let (stream, peer) = match self.inner.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(RETRY_DELAY).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
                tracing::warn!(%peer, "connection refused: connection limit reached");
                continue;
            };
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "setting TCP_NODELAY failed");
            }
            return Accepted { stream, peer, place: ConnectionPermit { _permit: permit } };
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn excess_connection_is_closed_and_a_freed_permit_reused() {
        let listener = Listener::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), 1);
        let address = listener.local_addr().unwrap();
        let _first = TcpStream::connect(address).await.unwrap();
        let accepted = listener.accept().await;
        let mut second = TcpStream::connect(address).await.unwrap();
        let third = async {
            assert_eq!(second.read(&mut [0]).await.unwrap(), 0, "the surplus connection is closed");
            drop(accepted);
            TcpStream::connect(address).await.unwrap()
        };
        let (third, accepted) = tokio::join!(third, listener.accept());
        assert_eq!(accepted.peer, third.local_addr().unwrap());
    }
}
