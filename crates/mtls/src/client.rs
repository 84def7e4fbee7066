//! Client side of connections.

use std::{
    future::Future,
    hash::{BuildHasher as _, RandomState},
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
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
    certificate::Certified,
    denied::{DenyList, UntilDenied},
    files,
    identity::{Identity, Role},
    proxy::{Proxy, ProxySettings},
    server::{HANDSHAKE_WITHIN, peer, too_late},
    settings,
    tls::{Error, Tls},
};

/// Time limit for one of several addresses to accept a connection.
const ADDRESS_WITHIN: Duration = Duration::from_secs(1);

/// Connection to a peer with a verified identity; it ends when the peer's certificate is denied.
pub type Dialled = UntilDenied<TlsStream<TcpStream>>;

/// Client without a certificate that trusts some CAs; servers accept it only for enrolment.
#[derive(Debug, Clone)]
pub struct Anonymous {
    client: Arc<ClientConfig>,
}

impl Anonymous {
    /// Reads the certificates of the trusted CAs. Blocks while it reads a small file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or contains no CA certificates.
    pub fn load(ca_file: &Path) -> Result<Self, Error> {
        let path = ca_file.to_owned();
        let pem = files::read(ca_file).map_err(|source| Error::Read { path: path.clone(), source })?;
        let client = settings::stranger(&pem).map_err(|reason| Error::Wrong { path, reason })?;
        Ok(Self { client: Arc::new(client) })
    }
}

/// Identity of a client.
#[derive(Debug, Clone)]
pub enum Dialling {
    /// Client with a certificate.
    Known(Tls),
    /// Client without a certificate.
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

    /// Deny-list of the client; a client without a certificate has none.
    fn deny_list(&self) -> DenyList {
        match self {
            Self::Known(tls) => tls.deny_list().clone(),
            Self::Anonymous(_) => DenyList::default(),
        }
    }
}

/// Connects to a control plane process. Its certificate must contain the host name and the role.
///
/// # Errors
///
/// When no peer answers, or its certificate is not accepted; [`crate::why`] gives the reason.
pub async fn connect(who: &Dialling, host: &str, port: u16, role: Role) -> io::Result<Dialled> {
    connect_in_turn(who, host, port, role, None, 0).await.map(|(stream, _)| stream)
}

/// Connects like [`connect`], beginning with the address at position `turn`; through the proxy, if
/// there is one. Also returns the identity of the peer.
async fn connect_in_turn(
    who: &Dialling,
    host: &str,
    port: u16,
    role: Role,
    proxy: Option<&Proxy>,
    turn: usize,
) -> io::Result<(Dialled, Identity)> {
    let name = ServerName::try_from(bare(host).to_owned()).map_err(io::Error::other)?;
    let stream = open_stream(host, port, proxy, turn).await?;
    let handshake = TlsConnector::from(who.client()).connect(name, stream);
    let stream = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await.map_err(|_| too_late())??;
    let Certified { identity, serial, .. } = peer(stream.get_ref().1.peer_certificates())?;
    if !identity.has_role(role) {
        let reason = format!("{identity} does not have the role {role}");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    Ok((UntilDenied::new(stream, &who.deny_list(), Some(&serial), Duration::ZERO), identity))
}

/// Opens a connection to a host, beginning with its address at position `turn`; through the proxy,
/// if there is one.
pub(crate) async fn open_stream(
    host: &str,
    port: u16,
    proxy: Option<&Proxy>,
    turn: usize,
) -> io::Result<TcpStream> {
    let stream = match proxy {
        Some(proxy) => {
            let dialled = dial(proxy.host(), proxy.port(), turn).await;
            let stream = dialled.map_err(|error| {
                io::Error::new(error.kind(), format!("connecting to the proxy {proxy} failed: {error}"))
            })?;
            proxy.open_tunnel(stream, host, port).await?
        }
        None => dial(host, port, turn).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Host without the brackets of an IPv6 address.
pub(crate) fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

/// Connects to a host, beginning with its address at position `turn`.
async fn dial(host: &str, port: u16, turn: usize) -> io::Result<TcpStream> {
    let mut addresses: Vec<SocketAddr> = lookup_host((bare(host), port)).await?.collect();
    rotate(&mut addresses, turn);
    dial_first(&addresses).await
}

/// Rotates the addresses so that the one at position `turn` is first.
fn rotate(addresses: &mut [SocketAddr], turn: usize) {
    if let Some(first) = turn.checked_rem(addresses.len()) {
        addresses.rotate_left(first);
    }
}

/// Connects to the first address that answers. A silent address does not use up the time of the
/// next one; the last address has all remaining time of the caller.
async fn dial_first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let Some((last, others)) = addresses.split_last() else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the host name has no address"));
    };
    for address in others {
        match tokio::time::timeout(ADDRESS_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => tracing::debug!(%address, %error, "connecting failed; trying the next address"),
            Err(_) => tracing::debug!(%address, "connecting timed out; trying the next address"),
        }
    }
    TcpStream::connect(last).await
}

/// Connector of a tonic channel.
pub trait Connect:
    tower::Service<Uri, Response = TokioIo<Dialled>, Error = io::Error, Future = Connecting> + Clone + Send
{
}

impl<S> Connect for S where
    S: tower::Service<Uri, Response = TokioIo<Dialled>, Error = io::Error, Future = Connecting>
        + Clone
        + Send
{
}

/// Connection in progress.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<Dialled>>> + Send>>;

/// Connector for tonic; each connection uses the current certificates.
///
/// Each connection begins with another address of the name. If one address hangs, the next
/// connection uses another one. The first position is random, so that clients spread over the
/// addresses. Clones share the position.
pub fn connector(who: impl Into<Dialling>, role: Role) -> impl Connect {
    connector_through(who, role, ProxySettings::default())
}

/// Connector like [`connector`], through the proxy of each URL.
pub fn connector_through(who: impl Into<Dialling>, role: Role, proxies: ProxySettings) -> impl Connect {
    connector_to_peer(who, role, proxies, DialledPeer::default())
}

/// Identity of the peer of a connector's last connection. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct DialledPeer(Arc<Mutex<Option<Identity>>>);

impl DialledPeer {
    /// Identity in the peer's certificate; `None` before the first connection.
    pub fn identity(&self) -> Option<Identity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, identity: Identity) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
    }
}

/// Connector like [`connector_through`], which stores the identity of each peer in `peer`.
pub fn connector_to_peer(
    who: impl Into<Dialling>,
    role: Role,
    proxies: ProxySettings,
    peer: DialledPeer,
) -> impl Connect {
    let who = who.into();
    let first_turn = RandomState::new().hash_one(()) as usize;
    let turns = Arc::new(AtomicUsize::new(first_turn));
    service_fn(move |uri: Uri| -> Connecting {
        let (who, proxies, slot) = (who.clone(), proxies.clone(), peer.clone());
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let host = uri.host().ok_or_else(|| io::Error::other("the URL has no host"))?;
            let port = uri.port_u16().unwrap_or(443);
            let proxy = proxies.of(&uri).map_err(io::Error::other)?;
            match connect_in_turn(&who, host, port, role, proxy, turn).await {
                Ok((stream, identity)) => {
                    slot.set(identity);
                    Ok(TokioIo::new(stream))
                }
                Err(error) => {
                    let reason = crate::why(&error);
                    tracing::warn!(peer = %uri, reason, "connecting to a {role} failed");
                    Err(io::Error::new(error.kind(), reason))
                }
            }
        })
    })
}

/// Checks the scheme of a URL: `https` with certificates; without them `http`, and only to this
/// machine.
///
/// # Errors
///
/// When the scheme is not allowed; the text names the alternative.
pub fn check_url(url: &str, has_certificates: bool) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|_| format!("{url:?} is not a valid URL"))?;
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
        _ => Err(format!("{url:?} has no http or https scheme or no host; expected https://host:port")),
    }
}

/// Whether a host is a loopback address or `localhost`.
pub fn is_this_machine(host: &str) -> bool {
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
