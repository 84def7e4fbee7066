//! Accepts connections: a bounded number of them, so that strangers can take neither all descriptors nor all memory.

mod grpc;
mod guard;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

pub use grpc::{Connection, Peer, Security, Who, grpc};
pub use guard::Guard;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Pause after an accept that failed, as when there are no more descriptors.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// A listener with room for so many connections.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    room: Arc<Semaphore>,
}

/// A connection, and its place among those that may be open.
#[derive(Debug)]
pub struct Accepted {
    /// With TCP_NODELAY: answers are small and written in pieces, and with Nagle's algorithm each would wait 40 ms for the
    /// peer's delayed acknowledgement.
    pub stream: TcpStream,
    /// Who made it.
    pub peer: SocketAddr,
    /// Keep it for as long as the connection.
    pub place: ConnectionPermit,
}

/// A place among the connections that may be open; free again when this is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    /// Wraps a listener that is bound.
    pub fn new(inner: TcpListener, max_connections: usize) -> Self {
        Self { inner, room: Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS))) }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// The next connection that there is a place for. One too many is closed at once: its maker learns it now, and not
    /// when it has waited in vain.
    pub async fn accept(&self) -> Accepted {
        loop {
            let (stream, peer) = match self.inner.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(RETRY_DELAY).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
                tracing::warn!(%peer, "a connection is refused: as many as may be are open");
                continue;
            };
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps Nagle's algorithm");
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
    async fn one_too_many_is_closed_and_a_place_that_is_free_again_is_given() {
        let listener = Listener::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), 1);
        let address = listener.local_addr().unwrap();
        let _first = TcpStream::connect(address).await.unwrap();
        let accepted = listener.accept().await;
        let mut second = TcpStream::connect(address).await.unwrap();
        let third = async {
            assert_eq!(second.read(&mut [0]).await.unwrap(), 0, "it is closed");
            drop(accepted);
            TcpStream::connect(address).await.unwrap()
        };
        let (third, accepted) = tokio::join!(third, listener.accept());
        assert_eq!(accepted.peer, third.local_addr().unwrap());
    }
}
