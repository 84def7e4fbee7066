//! Server certificate for clients without one: HTTPS of the REST API.

use std::{
    convert::Infallible,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    certificate::{Facts, read_certificates, read_facts},
    files,
    server::{HANDSHAKE_WITHIN, too_late},
    tls::Error,
};

/// Interval at which the files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Files of a server certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebFiles {
    /// Certificate with its intermediates, from any CA.
    pub cert: PathBuf,
    /// Private key of the certificate.
    pub key: PathBuf,
}

/// Server certificate with the last valid contents of its files; [`WebTls::watched`] reloads them.
/// Clones share the state.
#[derive(Clone)]
pub struct WebTls(Arc<Inner>);

struct Inner {
    files: WebFiles,
    current: RwLock<Arc<Current>>,
    /// Last contents read, valid or not, so that an error is logged only once.
    seen: Mutex<Option<Contents>>,
}

struct Current {
    config: Arc<ServerConfig>,
    facts: Facts,
}

/// Contents of certificate and key.
type Contents = (Vec<u8>, Vec<u8>);

impl fmt::Debug for WebTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebTls").field("files", &self.0.files).finish_non_exhaustive()
    }
}

impl WebTls {
    /// Reads the files. Blocks while it reads two small files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or the key does not match the certificate.
    pub fn load(files: WebFiles) -> Result<Self, Error> {
        let contents = read(&files)?;
        let current = current(&files, &contents)?;
        let seen = Mutex::new(Some(contents));
        Ok(Self(Arc::new(Inner { files, current: RwLock::new(Arc::new(current)), seen })))
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
        let handshake = TlsAcceptor::from(Arc::clone(&self.current().config)).accept(stream);
        tokio::time::timeout(HANDSHAKE_WITHIN, handshake).await.map_err(|_| too_late())?
    }

    /// Runs `serving`, and checks the files every few seconds if there are any. Valid new files
    /// take effect for new connections; invalid ones are logged, and the old ones stay in use.
    pub async fn watched<T>(tls: Option<Self>, serving: impl Future<Output = T>) -> T {
        let Some(tls) = tls else { return serving.await };
        tokio::select! {
            served = serving => served,
            never = tls.watch() => match never {},
        }
    }

    async fn watch(&self) -> Infallible {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let tls = self.clone();
            match tokio::task::spawn_blocking(move || tls.look()).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    tracing::info!("new certificate of the REST API in use: {}", self.facts().serial)
                }
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(
                        error,
                        "new certificate of the REST API refused; the old one stays in use"
                    );
                }
                Err(error) => tracing::error!(%error, "reading the certificate of the REST API failed"),
            }
        }
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.0.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files once. Returns whether their contents are new and in use.
    fn look(&self) -> Result<bool, Error> {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match read(&self.0.files) {
            Ok(found) => found,
            // Logged once, until the files are readable again.
            Err(error) => return seen.take().map_or(Ok(false), |_| Err(error)),
        };
        if seen.as_ref() == Some(&found) {
            return Ok(false);
        }
        let current = current(&self.0.files, &found);
        *seen = Some(found);
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(current?);
        Ok(true)
    }
}

fn read(files: &WebFiles) -> Result<Contents, Error> {
    let read =
        |path: &PathBuf| files::read(path).map_err(|source| Error::Read { path: path.clone(), source });
    Ok((read(&files.cert)?, read(&files.key)?))
}

fn current(files: &WebFiles, (cert, key): &Contents) -> Result<Current, Error> {
    let wrong = |path: &PathBuf, reason: String| Error::Wrong { path: path.clone(), reason };
    let chain = read_certificates(cert).map_err(|reason| wrong(&files.cert, reason))?;
    let first = chain.first().ok_or_else(|| wrong(&files.cert, "contains no certificate".into()))?;
    let facts = read_facts(first).map_err(|reason| wrong(&files.cert, reason))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| wrong(&files.key, "contains no private key in PEM".into()))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&files.cert, error.to_string()))?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&files.key, format!("does not match the certificate: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Current { config: Arc::new(config), facts })
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
        let tls = WebTls::load(files.clone()).unwrap();
        let first = tls.facts().serial;
        assert!(!tls.look().unwrap());

        let next = ca.signed(&[], &["api.example"], 1);
        fs::write(&files.cert, next.cert.pem()).unwrap();
        assert!(tls.look().unwrap_err().to_string().contains("does not match the certificate"));
        assert!(!tls.look().unwrap(), "the error is reported once");
        assert_eq!(tls.facts().serial, first);

        fs::write(&files.key, next.signing_key.serialize_pem()).unwrap();
        assert!(tls.look().unwrap());
        assert_ne!(tls.facts().serial, first);
    }
}
