//! The side that dials.

use std::{
    future::Future,
    hash::{BuildHasher as _, RandomState},
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::Uri;
use tower::service_fn;

use crate::{
    files,
    identity::Role,
    server::{HANDSHAKE_WITHIN, peer, too_late},
    settings,
    tls::{Error, Tls},
};

/// Time for one of several addresses to accept a connection.
const ADDRESS_WITHIN: Duration = Duration::from_secs(1);

/// A connection to a peer that has shown that it is who was meant.
pub type Dialled = TlsStream<TcpStream>;

/// Somebody who has no certificate yet, and knows whom to trust: all it is let in for is to enrol.
#[derive(Debug, Clone)]
pub struct Anonymous {
    client: Arc<ClientConfig>,
}

impl Anonymous {
    /// Reads the certificates of the CAs that are trusted. It blocks, for as long as a small file takes.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or holds something else.
    pub fn load(ca_file: &Path) -> Result<Self, Error> {
        let path = ca_file.to_owned();
        let pem = files::read(ca_file).map_err(|source| Error::Read { path: path.clone(), source })?;
        let client = settings::stranger(&pem).map_err(|reason| Error::Wrong { path, reason })?;
        Ok(Self { client: Arc::new(client) })
    }
}

/// Who dials.
#[derive(Debug, Clone)]
pub enum Dialling {
    /// Somebody with a certificate.
    Known(Tls),
    /// Somebody without one.
    Anonymous(Anonymous),
}

impl From<Tls> for Dialling {
    fn from(tls: Tls) -> Self {
        Self::Known(tls)
    }
}

impl From<Anonymous> for Dialling {
    fn from(stranger: Anonymous) -> Self {
        Self::Anonymous(stranger)
    }
}

impl Dialling {
    fn client(&self) -> Arc<ClientConfig> {
        match self {
            Self::Known(tls) => tls.client(),
            Self::Anonymous(stranger) => Arc::clone(&stranger.client),
        }
    }
}

/// Connects to a part of the control plane: it must have the host's name, and the role, in its certificate.
///
/// # Errors
///
/// Nobody there, or somebody else; [`crate::why`] says who.
pub async fn connect(who: &Dialling, host: &str, port: u16, role: Role) -> io::Result<Dialled> {
    connect_in_turn(who, host, port, role, 0).await
}

/// Does the same, and begins with the address of the name whose turn it is.
async fn connect_in_turn(
    who: &Dialling,
    host: &str,
    port: u16,
    role: Role,
    turn: usize,
) -> io::Result<Dialled> {
    let host = host.trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    rotate(&mut addresses, turn);
    let stream = dial_first(&addresses).await?;
    stream.set_nodelay(true)?;
    let handshake = TlsConnector::from(who.client()).connect(name, stream);
    let stream = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await.map_err(|_| too_late())??;
    let identity = peer(stream.get_ref().1.peer_certificates())?.identity;
    if !identity.has_role(role) {
        let reason = format!("{identity} is no {role}");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    Ok(stream)
}

/// Puts the address first whose turn it is.
fn rotate(addresses: &mut [SocketAddr], turn: usize) {
    if let Some(first) = turn.checked_rem(addresses.len()) {
        addresses.rotate_left(first);
    }
}

/// Connects to the first address that answers. A silent address does not use up the time of the next one; the last
/// address has all the time of the caller.
async fn dial_first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let Some((last, others)) = addresses.split_last() else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    };
    for address in others {
        match tokio::time::timeout(ADDRESS_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => tracing::debug!(%address, %error, "no connection; the next address is tried"),
            Err(_) => tracing::debug!(%address, "no connection in time; the next address is tried"),
        }
    }
    TcpStream::connect(last).await
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<Dialled>>> + Send>>;

/// What `tonic` dials with; each connection uses the certificates that are in use then.
///
/// Each connection begins with another address of the name. If one address hangs, the next connection goes elsewhere.
/// The first turn is random, so that many clients do not all begin at one address. Clones share their turn.
pub fn connector(
    who: impl Into<Dialling>,
    role: Role,
) -> impl tower::Service<Uri, Response = TokioIo<Dialled>, Error = io::Error, Future = Connecting> + Clone + Send
{
    let who = who.into();
    let first_turn = RandomState::new().hash_one(()) as usize;
    let turns = Arc::new(AtomicUsize::new(first_turn));
    service_fn(move |uri: Uri| -> Connecting {
        let who = who.clone();
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let host = uri.host().ok_or_else(|| io::Error::other("the URL names no host"))?;
            let port = uri.port_u16().unwrap_or(443);
            match connect_in_turn(&who, host, port, role, turn).await {
                Ok(stream) => Ok(TokioIo::new(stream)),
                Err(error) => {
                    let reason = crate::why(&error);
                    tracing::warn!(peer = %uri, reason, "no connection to a {role}");
                    Err(io::Error::new(error.kind(), reason))
                }
            }
        })
    })
}

/// Whether a URL may be dialled: with certificates it is `https`, and without them `http` and of this machine.
///
/// # Errors
///
/// Says what to do instead.
pub fn check_url(url: &str, has_certificates: bool) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|_| format!("{url:?} is no URL"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) if has_certificates => Ok(()),
        (Some("http"), Some(host)) if !has_certificates && is_this_machine(host) => Ok(()),
        (Some("http"), Some(_)) if !has_certificates => Err(format!(
            "{url}: without TLS only this machine may be dialled, as http://127.0.0.1:port; name a CA, a certificate and a key, \
             and begin with https:// (docs/tls.md)"
        )),
        (Some("http"), Some(_)) if has_certificates => {
            Err(format!("{url}: with certificates it must begin with https://"))
        }
        (Some("http" | "https"), Some(_)) => {
            Err(format!("{url}: https:// needs certificates; name a CA, a certificate and a key"))
        }
        _ => Err(format!("{url:?} is not like https://host:port")),
    }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect()
    }

    #[test]
    fn each_turn_begins_with_another_address() {
        for (turn, expected) in [(0, [1, 2, 3]), (1, [2, 3, 1]), (2, [3, 1, 2]), (3, [1, 2, 3])] {
            let mut all = addresses(&[1, 2, 3]);
            rotate(&mut all, turn);
            assert_eq!(all, addresses(&expected), "{turn}");
        }
        rotate(&mut [], 7);
    }

    #[tokio::test]
    async fn closed_address_is_passed_for_the_next_one() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open_address = open.local_addr().unwrap();
        let stream = dial_first(&[closed, open_address, closed]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open_address);
        assert!(dial_first(&[closed]).await.is_err());
        assert_eq!(dial_first(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_scheme_says_whether_there_are_certificates() {
        for url in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1/"] {
            assert_eq!(check_url(url, false), Ok(()), "{url}");
            assert!(check_url(url, true).unwrap_err().contains("https://"), "{url}");
        }
        for url in
            ["http://worker.example:1", "http://10.0.0.1:1", "http://localhost.example:1", "http://[::2]:1"]
        {
            assert!(check_url(url, false).unwrap_err().contains("only this machine"), "{url}");
        }
        assert_eq!(check_url("https://scheduler:9090", true), Ok(()));
        for url in ["https://127.0.0.1:1", "ftp://x", "x", ""] {
            assert!(check_url(url, false).is_err(), "{url}");
        }
    }
}
