//! Certificate of this process, reloaded from its files.

use std::{
    convert::Infallible,
    fmt, io,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use rustls::{ClientConfig, RootCertStore, ServerConfig, sign::CertifiedKey};

use crate::{
    anonymous::AnonymousPeers,
    certificate::Facts,
    denied::DenyList,
    files::{Contents, Files},
    identity::Identity,
    reloaded::{LOOK_EVERY, Look, Reloaded, Source, beside},
    settings::{Settings, Wrong},
};

/// Cause for which certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("reading {} failed", .path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A file has invalid content.
    #[error("{} {reason}", .path.display())]
    Wrong {
        /// Path of the file.
        path: PathBuf,
        /// Problem with the content; the text follows the path.
        reason: String,
    },
}

/// Certificate, key and trusted CAs of this process: the last valid contents of the files.
/// [`Tls::watched`] reloads them. Clones share the state.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    reloaded: Reloaded<TlsFiles>,
    identity: Identity,
}

/// The three files of a process.
struct TlsFiles {
    files: Files,
    deny_list: DenyList,
    /// Identity of the first valid certificate.
    identity: OnceLock<Identity>,
}

impl Source for TlsFiles {
    type Contents = Contents;
    type Value = Settings;
    type Error = Error;

    fn read(&self) -> Result<Contents, Error> {
        self.files.read().map_err(|(path, source)| Error::Read { path, source })
    }

    fn build(&self, contents: &Contents) -> Result<Settings, Error> {
        let settings = Settings::from_contents(contents, &self.deny_list).map_err(|wrong| {
            let (path, reason) = match wrong {
                Wrong::Ca(reason) => (&self.files.ca, reason),
                Wrong::Cert(reason) => (&self.files.cert, reason),
                Wrong::Key(reason) => (&self.files.key, reason),
            };
            Error::Wrong { path: path.clone(), reason }
        })?;
        let identity = self.identity.get_or_init(|| settings.identity.clone());
        if settings.identity != *identity {
            let reason = format!("names {}, not {identity}", settings.identity);
            return Err(Error::Wrong { path: self.files.cert.clone(), reason });
        }
        Ok(settings)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.inner.reloaded.source.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files. Blocks while it reads three small files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or the files do not match.
    pub fn load(files: Files) -> Result<Self, Error> {
        let source = TlsFiles { files, deny_list: DenyList::default(), identity: OnceLock::new() };
        let reloaded = Reloaded::load(source)?;
        let identity = reloaded.current().identity.clone();
        Ok(Self { inner: Arc::new(Inner { reloaded, identity }) })
    }

    /// Identity in the certificate. It never changes: a certificate with another identity is
    /// refused.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// Certificates that this process refuses although they are valid.
    pub fn deny_list(&self) -> &DenyList {
        &self.inner.reloaded.source.deny_list
    }

    /// Facts of the certificate in use.
    pub fn facts(&self) -> Facts {
        self.current().facts.clone()
    }

    /// Certificates and key in use.
    pub(crate) fn own(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current().own)
    }

    /// CAs that are trusted now.
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.current().roots)
    }

    pub(crate) fn server(&self, strangers: AnonymousPeers) -> Arc<ServerConfig> {
        let current = self.current();
        match strangers {
            AnonymousPeers::Refused => Arc::clone(&current.server),
            AnonymousPeers::LetIn => Arc::clone(&current.open_server),
        }
    }

    /// Subjects of the CAs that are trusted now, as in [`Facts`].
    pub fn trusted(&self) -> Vec<String> {
        self.current().trusted.clone()
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current().client)
    }

    /// Runs `serving`, and checks the files every few seconds if there are any. Valid new files
    /// take effect for new connections; invalid ones are logged, and the old ones stay in use.
    pub async fn watched<T>(tls: Option<Self>, serving: impl Future<Output = T>) -> T {
        beside(tls.as_ref().map(Self::watch), serving).await
    }

    async fn watch(&self) -> Infallible {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look_now().await;
        }
    }

    /// Reads the files now, for a caller that has just changed them.
    pub async fn look_now(&self) {
        let tls = self.clone();
        match tokio::task::spawn_blocking(move || tls.look()).await {
            Ok(Ok(Look::Same)) => {}
            Ok(Ok(Look::New)) => {
                let current = self.current();
                let (serial, trusted) = (&current.facts.serial, current.trusted.len());
                tracing::info!("new certificates in use: {serial}, trusting {trusted} CAs");
            }
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "new certificates refused; the old ones stay in use");
            }
            Err(error) => tracing::error!(%error, "reading the certificate files failed"),
        }
    }

    pub(crate) fn current(&self) -> Arc<Settings> {
        self.inner.reloaded.current()
    }

    /// Reads the files once.
    fn look(&self) -> Result<Look, Error> {
        self.inner.reloaded.look()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{Ca, TlsDirectory};

    const WHO: &str = "graywave://role/worker/w";

    #[test]
    fn what_is_new_and_good_is_taken_and_what_is_not_keeps_the_old() {
        let (ca, place) = (Ca::new(), TlsDirectory::new());
        place.put(&ca, &ca.signed(&[WHO], &[], 1));
        let tls = Tls::load(place.files()).unwrap();
        let first = tls.facts().serial;
        assert!(matches!(tls.look(), Ok(Look::Same)));

        let next = ca.signed(&[WHO], &[], 1);
        fs::write(&place.files().cert, next.cert.pem()).unwrap();
        assert!(tls.look().unwrap_err().to_string().contains("does not match the certificate"));
        assert!(matches!(tls.look(), Ok(Look::Same)), "the error is reported once");
        fs::write(&place.files().key, "-----BEGIN PRIVATE").unwrap();
        assert!(tls.look().unwrap_err().to_string().contains("no private key"));
        fs::remove_file(&place.files().key).unwrap();
        assert!(matches!(tls.look(), Err(Error::Read { .. })));
        assert!(matches!(tls.look(), Ok(Look::Same)), "the error is reported once");
        assert_eq!(tls.facts().serial, first);

        fs::write(&place.files().key, next.signing_key.serialize_pem()).unwrap();
        assert!(matches!(tls.look(), Ok(Look::New)));
        assert_ne!(tls.facts().serial, first);
    }

    #[test]
    fn a_certificate_of_somebody_else_is_not_taken() {
        let (ca, place) = (Ca::new(), TlsDirectory::new());
        place.put(&ca, &ca.signed(&[WHO], &[], 1));
        let tls = Tls::load(place.files()).unwrap();
        place.put(&ca, &ca.signed(&["graywave://role/worker/another"], &[], 1));
        assert!(tls.look().unwrap_err().to_string().contains(", not graywave://role/worker/w"));
        assert_eq!(tls.identity().to_string(), WHO);
    }

    #[test]
    fn what_cannot_work_is_refused_at_once_and_named() {
        let (ca, place) = (Ca::new(), TlsDirectory::new());
        let wrong = |place: &TlsDirectory| Tls::load(place.files()).unwrap_err().to_string();
        assert!(wrong(&place).contains("reading"));
        place.put(&ca, &ca.signed(&[], &[], 1));
        assert!(wrong(&place).contains("contains no Graywave identity"));
        let good = ca.signed(&[WHO], &[], 1);
        place.put(&ca, &good);
        fs::write(&place.files().ca, good.cert.pem()).unwrap();
        assert!(wrong(&place).contains("not a CA's"));
    }
}
