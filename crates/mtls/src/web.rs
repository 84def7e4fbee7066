//! Server certificate that needs no Graywave identity: HTTPS of the REST API, and the admin
//! listener.

use std::{convert::Infallible, fmt, path::PathBuf, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    server::ResolvesServerCert,
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use crate::{
    certificate::{Facts, read_certificates, read_facts},
    files,
    reloaded::{LOOK_EVERY, Look, Reloaded, Source, beside},
    server::shake_hands,
    tls::Error,
};

/// Files of a server certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebFiles {
    /// Certificate with its intermediates, from any CA.
    pub cert: PathBuf,
    /// Private key of the certificate.
    pub key: PathBuf,
}

/// The files as a source of settings.
#[derive(Debug)]
struct WebSource(WebFiles);

/// Server certificate with the last valid contents of its files; [`WebTls::watched`] reloads them.
/// Clones share the state.
#[derive(Clone)]
pub struct WebTls {
    reloaded: Arc<Reloaded<WebSource>>,
    /// Server that shows the certificate, for the log.
    server: &'static str,
}

/// Settings of servers with one certificate.
pub(crate) struct Current {
    https: Arc<ServerConfig>,
    /// TLS 1.3 with HTTP/2 only, and no client certificates.
    pub(crate) grpc: Arc<ServerConfig>,
    pub(crate) certificate: Arc<dyn ResolvesServerCert>,
    facts: Facts,
}

/// Contents of certificate and key.
type Contents = (Vec<u8>, Vec<u8>);

impl fmt::Debug for WebTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebTls").field("files", &self.reloaded.source.0).finish_non_exhaustive()
    }
}

impl WebTls {
    /// Reads the files. Blocks while it reads two small files. `server` is the name of the server
    /// in the log, like "the REST API".
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or the key does not match the certificate.
    pub fn load(files: WebFiles, server: &'static str) -> Result<Self, Error> {
        Ok(Self { reloaded: Arc::new(Reloaded::load(WebSource(files))?), server })
    }

    /// Facts of the certificate in use.
    pub fn facts(&self) -> Facts {
        self.current().facts.clone()
    }

    /// Performs the handshake with the current certificate. The client may choose HTTP/2 or
    /// HTTP/1.1.
    ///
    /// # Errors
    ///
    /// When the handshake fails or takes too long.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> std::io::Result<TlsStream<S>> {
        shake_hands(Arc::clone(&self.current().https), stream).await
    }

    /// Runs `serving`, and checks the files every few seconds if there are any. Valid new files
    /// take effect for new connections; invalid ones are logged, and the old ones stay in use.
    pub async fn watched<T>(tls: Option<Self>, serving: impl Future<Output = T>) -> T {
        beside(tls.as_ref().map(Self::watch), serving).await
    }

    async fn watch(&self) -> Infallible {
        let server = self.server;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let tls = self.clone();
            match tokio::task::spawn_blocking(move || tls.look()).await {
                Ok(Ok(Look::Same)) => {}
                Ok(Ok(Look::New)) => {
                    tracing::info!("new certificate of {server} in use: {}", self.facts().serial);
                }
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "new certificate of {server} refused; the old one stays in use");
                }
                Err(error) => tracing::error!(%error, "reading the certificate of {server} failed"),
            }
        }
    }

    pub(crate) fn current(&self) -> Arc<Current> {
        self.reloaded.current()
    }

    /// Reads the files once.
    fn look(&self) -> Result<Look, Error> {
        self.reloaded.look()
    }
}

impl Source for WebSource {
    type Contents = Contents;
    type Value = Current;
    type Error = Error;

    fn read(&self) -> Result<Contents, Error> {
        let read =
            |path: &PathBuf| files::read(path).map_err(|source| Error::Read { path: path.clone(), source });
        Ok((read(&self.0.cert)?, read(&self.0.key)?))
    }

    fn build(&self, (cert, key): &Contents) -> Result<Current, Error> {
        let wrong = |path: &PathBuf, reason: String| Error::Wrong { path: path.clone(), reason };
        let chain = read_certificates(cert).map_err(|reason| wrong(&self.0.cert, reason))?;
        let first = chain.first().ok_or_else(|| wrong(&self.0.cert, "contains no certificate".into()))?;
        let facts = read_facts(first).map_err(|reason| wrong(&self.0.cert, reason))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| wrong(&self.0.key, "contains no private key in PEM".into()))?;
        let provider = Arc::new(ring::default_provider());
        let own = CertifiedKey::from_der(chain, key, &provider)
            .map_err(|error| wrong(&self.0.key, format!("does not match the certificate: {error}")))?;
        let certificate: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(own));
        let server = |versions: &[&'static rustls::SupportedProtocolVersion]| {
            let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(versions)
                .map_err(|error| wrong(&self.0.cert, error.to_string()))?;
            Ok(builder.with_no_client_auth().with_cert_resolver(Arc::clone(&certificate)))
        };
        let (mut https, mut grpc) = (server(rustls::DEFAULT_VERSIONS)?, server(&[&TLS13])?);
        https.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        grpc.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Current { https: Arc::new(https), grpc: Arc::new(grpc), certificate, facts })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{Ca, TlsDirectory};

    #[test]
    fn valid_new_files_are_used_and_invalid_ones_refused() {
        let (ca, place) = (Ca::new(), TlsDirectory::new());
        place.put(&ca, &ca.signed(&[], &["api.example"], 1));
        let files = WebFiles { cert: place.files().cert, key: place.files().key };
        let tls = WebTls::load(files.clone(), "a test").unwrap();
        let first = tls.facts().serial;
        assert_eq!(tls.look().unwrap(), Look::Same);

        let next = ca.signed(&[], &["api.example"], 1);
        fs::write(&files.cert, next.cert.pem()).unwrap();
        assert!(tls.look().unwrap_err().to_string().contains("does not match the certificate"));
        assert_eq!(tls.look().unwrap(), Look::Same, "the error is reported once");
        assert_eq!(tls.facts().serial, first);

        fs::write(&files.key, next.signing_key.serialize_pem()).unwrap();
        assert_eq!(tls.look().unwrap(), Look::New);
        assert_ne!(tls.facts().serial, first);
    }
}
