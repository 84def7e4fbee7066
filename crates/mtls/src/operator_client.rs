//! Client of the operators' services: a server with any certificate of a trusted CA, and an
//! optional certificate of the client.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::Uri;
use tower::service_fn;

use crate::{
    certificate::{read_certificates, read_facts},
    client::{bare, open_stream},
    files,
    identity::{Identity, Role},
    proxy::ProxySettings,
    server::{HANDSHAKE_WITHIN, too_late},
    server_fault::NotAScheduler,
    settings::roots,
    tls::Error,
};

/// CAs that certify servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Certificates of a file.
    File(PathBuf),
    /// Certificates of this machine's store. Those that cannot be parsed are ignored.
    System(Vec<CertificateDer<'static>>),
}

/// Certificate files of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFiles {
    /// Certificate of a principal or of the role admin.
    pub cert: PathBuf,
    /// Private key of the certificate.
    pub key: PathBuf,
}

/// Client of the operators' services. Clones share the settings.
#[derive(Debug, Clone)]
pub struct OperatorClient {
    config: Arc<ClientConfig>,
    identity: Option<Identity>,
    proxies: ProxySettings,
}

impl OperatorClient {
    /// Reads the files. Blocks while it reads three small files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, the files do not match, or the client's certificate contains no
    /// identity.
    pub fn load(trust: &Trust, own: Option<&OwnFiles>, proxies: ProxySettings) -> Result<Self, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Wrong { path: PathBuf::new(), reason: error.to_string() })?
            .with_root_certificates(trusted(trust)?);
        let (mut config, identity) = match own {
            None => (builder.with_no_client_auth(), None),
            Some(own) => {
                let (chain, key, identity) = read_own(own)?;
                let reason = "does not match the certificate, or cannot be loaded";
                let config = builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|_| Error::Wrong { path: own.key.clone(), reason: reason.into() })?;
                (config, Some(identity))
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { config: Arc::new(config), identity, proxies })
    }

    /// Identity in the client's certificate; `None` without one.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Connects to a server whose certificate names the host. A Graywave identity in the
    /// certificate must have the role scheduler: no other process may receive a token.
    async fn connect(&self, uri: &Uri) -> io::Result<TlsStream<TcpStream>> {
        let stream = open_tcp(uri, &self.proxies).await?;
        let host = bare(uri.host().unwrap_or_default()).to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let handshake = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream);
        let stream = tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await.map_err(|_| too_late())??;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        match shown.and_then(|first| read_facts(first).ok()?.identity.ok()) {
            Some(identity) if !identity.has_role(Role::Scheduler) => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, NotAScheduler(identity)))
            }
            _ => Ok(stream),
        }
    }
}

/// Opens a connection to the server of a URL, through its proxy if there is one.
///
/// # Errors
///
/// When the URL has no host, or no server or proxy answers.
pub async fn open_tcp(uri: &Uri, proxies: &ProxySettings) -> io::Result<TcpStream> {
    let host = uri.host().ok_or_else(|| io::Error::other("the URL has no host"))?;
    let proxy = proxies.of(uri).map_err(io::Error::other)?;
    open_stream(host, uri.port_u16().unwrap_or(443), proxy, 0).await
}

/// Connector for tonic; its errors keep the cause for [`crate::ServerFault`].
pub fn operator_connector(
    client: OperatorClient,
) -> impl tower::Service<Uri, Response = TokioIo<TlsStream<TcpStream>>, Error = io::Error, Future = Connecting>
+ Clone
+ Send {
    service_fn(move |uri: Uri| -> Connecting {
        let client = client.clone();
        Box::pin(async move { client.connect(&uri).await.map(TokioIo::new) })
    })
}

/// Connection in progress.
type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<TlsStream<TcpStream>>>> + Send>>;

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    files::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

fn trusted(trust: &Trust) -> Result<Arc<RootCertStore>, Error> {
    match trust {
        Trust::File(path) => {
            let wrong = |reason| Error::Wrong { path: path.clone(), reason };
            roots(&read(path)?).map(|(roots, _)| roots).map_err(wrong)
        }
        Trust::System(certificates) => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(certificates.iter().cloned());
            Ok(Arc::new(roots))
        }
    }
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, Identity);

fn read_own(own: &OwnFiles) -> Result<Own, Error> {
    let wrong = |path: &PathBuf, reason: String| Error::Wrong { path: path.clone(), reason };
    let chain = read_certificates(&read(&own.cert)?).map_err(|reason| wrong(&own.cert, reason))?;
    let first = chain.first().ok_or_else(|| wrong(&own.cert, "contains no certificate".into()))?;
    let identity = read_facts(first).map_err(|reason| wrong(&own.cert, reason))?.identity;
    let identity =
        identity.map_err(|error| wrong(&own.cert, format!("contains no Graywave identity: {error}")))?;
    let key = PrivateKeyDer::from_pem_slice(&read(&own.key)?)
        .map_err(|error| wrong(&own.key, format!("contains no private key: {error}")))?;
    Ok((chain, key, identity))
}
