//! The side that dials.

use std::{future::Future, io, net::IpAddr, pin::Pin};

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::Uri;
use tower::service_fn;

use crate::{
    accept::{HANDSHAKE_WITHIN, peer, too_late},
    tls::Tls,
    who::Role,
};

/// A connection to a peer that has shown that it is who was meant.
pub type Dialled = TlsStream<TcpStream>;

/// Connects to a part of the control plane: it must have the host's name, and the role, in its certificate.
///
/// # Errors
///
/// Nobody there, or somebody else; [`crate::why`] says who.
pub async fn connect(tls: &Tls, host: &str, port: u16, role: Role) -> io::Result<Dialled> {
    let host = host.trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let handshake = TlsConnector::from(tls.client()).connect(name, stream);
    let stream = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await.map_err(|_| too_late())??;
    let identity = peer(stream.get_ref().1.peer_certificates())?;
    if !identity.has_role(role) {
        let reason = format!("{identity} is no {role}");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    Ok(stream)
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<Dialled>>> + Send>>;

/// What `tonic` dials with; each connection uses the certificates that are in use then.
pub fn connector(
    tls: Tls,
    role: Role,
) -> impl tower::Service<Uri, Response = TokioIo<Dialled>, Error = io::Error, Future = Connecting> + Clone + Send
{
    service_fn(move |uri: Uri| -> Connecting {
        let tls = tls.clone();
        Box::pin(async move {
            let host = uri.host().ok_or_else(|| io::Error::other("the URL names no host"))?;
            let port = uri.port_u16().unwrap_or(443);
            match connect(&tls, host, port, role).await {
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
    use super::*;

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
