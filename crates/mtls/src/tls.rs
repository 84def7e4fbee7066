//! This process's certificate, as its files say now.

use std::{
    convert::Infallible,
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::{
    anonymous::AnonymousPeers,
    certificate::Facts,
    files::{Contents, Files},
    identity::Identity,
    settings::{Settings, Wrong},
};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that is not what it should be.
    #[error("{} {reason}", .path.display())]
    Wrong {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// This process's certificate, its key and the CAs it trusts. What it is asked for is what the files said last that was
/// good; [`Tls::watched`] looks at them. Clones share it.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    files: Files,
    current: RwLock<Arc<Settings>>,
    /// What was looked at last, good or not: the same is not looked at, nor complained of, twice.
    seen: Mutex<Option<Contents>>,
    identity: Identity,
}

/// What a look at the files found.
#[derive(Debug)]
enum Look {
    Same,
    New,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.inner.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files. It blocks, for as long as three small files take.
    ///
    /// # Errors
    ///
    /// Files that cannot be read, or that do not fit together.
    pub fn load(files: Files) -> Result<Self, Error> {
        let contents = read(&files)?;
        let settings = settings(&files, &contents)?;
        let identity = settings.identity.clone();
        let inner = Inner {
            files,
            current: RwLock::new(Arc::new(settings)),
            seen: Mutex::new(Some(contents)),
            identity,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whose certificate it is. It never changes: a certificate of somebody else is not taken.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// What the certificate says that is in use.
    pub fn facts(&self) -> Facts {
        self.current().facts.clone()
    }

    /// The CAs that are trusted now.
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

    /// The subjects of the CAs that are trusted now, as [`Facts`] has them.
    pub fn trusted(&self) -> Vec<String> {
        self.current().trusted.clone()
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.current().client)
    }

    /// Serves, and meanwhile looks at the files every few seconds, where there are some. What is new and good is used for connections from then on; of what
    /// is not good the log says why, and the old stays in use.
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
            self.look_now().await;
        }
    }

    /// Looks at the files now, for whoever has just changed them.
    pub async fn look_now(&self) {
        let tls = self.clone();
        match tokio::task::spawn_blocking(move || tls.look()).await {
            Ok(Ok(Look::Same)) => {}
            Ok(Ok(Look::New)) => {
                let current = self.current();
                let (serial, trusted) = (&current.facts.serial, current.trusted.len());
                tracing::info!("new certificates are in use: {serial}, trusting {trusted} CAs");
            }
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the new certificates are not used; the old ones stay");
            }
            Err(error) => tracing::error!(%error, "the certificates could not be looked at"),
        }
    }

    fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.inner.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the files once.
    fn look(&self) -> Result<Look, Error> {
        let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match read(&self.inner.files) {
            Ok(found) => found,
            // Said once, until there is something to read again.
            Err(error) => return seen.take().map_or(Ok(Look::Same), |_| Err(error)),
        };
        if seen.as_ref() == Some(&found) {
            return Ok(Look::Same);
        }
        let settings = settings(&self.inner.files, &found);
        *seen = Some(found);
        let settings = settings?;
        if settings.identity != self.inner.identity {
            let reason = format!("is of {}, and not of {}", settings.identity, self.inner.identity);
            return Err(Error::Wrong { path: self.inner.files.cert.clone(), reason });
        }
        *self.inner.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
        Ok(Look::New)
    }
}

fn read(files: &Files) -> Result<Contents, Error> {
    files.read().map_err(|(path, source)| Error::Read { path, source })
}

fn settings(files: &Files, contents: &Contents) -> Result<Settings, Error> {
    Settings::from_contents(contents).map_err(|wrong| {
        let (path, reason) = match wrong {
            Wrong::Ca(reason) => (&files.ca, reason),
            Wrong::Cert(reason) => (&files.cert, reason),
            Wrong::Key(reason) => (&files.key, reason),
        };
        Error::Wrong { path: path.clone(), reason }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{Ca, Place};

    const WHO: &str = "graywave://role/worker/w";

    #[test]
    fn what_is_new_and_good_is_taken_and_what_is_not_keeps_the_old() {
        let (ca, place) = (Ca::new(), Place::new());
        place.put(&ca, &ca.signed(&[WHO], &[], 1));
        let tls = Tls::load(place.files()).unwrap();
        let first = tls.facts().serial;
        assert!(matches!(tls.look(), Ok(Look::Same)));

        let next = ca.signed(&[WHO], &[], 1);
        fs::write(&place.files().cert, next.cert.pem()).unwrap();
        assert!(tls.look().unwrap_err().to_string().contains("is not the key of the certificate"));
        assert!(matches!(tls.look(), Ok(Look::Same)), "it is said once");
        fs::write(&place.files().key, "-----BEGIN PRIVATE").unwrap();
        assert!(tls.look().unwrap_err().to_string().contains("no private key"));
        fs::remove_file(&place.files().key).unwrap();
        assert!(matches!(tls.look(), Err(Error::Read { .. })));
        assert!(matches!(tls.look(), Ok(Look::Same)), "it is said once");
        assert_eq!(tls.facts().serial, first);

        fs::write(&place.files().key, next.signing_key.serialize_pem()).unwrap();
        assert!(matches!(tls.look(), Ok(Look::New)));
        assert_ne!(tls.facts().serial, first);
    }

    #[test]
    fn a_certificate_of_somebody_else_is_not_taken() {
        let (ca, place) = (Ca::new(), Place::new());
        place.put(&ca, &ca.signed(&[WHO], &[], 1));
        let tls = Tls::load(place.files()).unwrap();
        place.put(&ca, &ca.signed(&["graywave://role/worker/another"], &[], 1));
        assert!(tls.look().unwrap_err().to_string().contains("and not of graywave://role/worker/w"));
        assert_eq!(tls.identity().to_string(), WHO);
    }

    #[test]
    fn what_cannot_work_is_refused_at_once_and_named() {
        let (ca, place) = (Ca::new(), Place::new());
        let wrong = |place: &Place| Tls::load(place.files()).unwrap_err().to_string();
        assert!(wrong(&place).contains("cannot read"));
        place.put(&ca, &ca.signed(&[], &[], 1));
        assert!(wrong(&place).contains("names nobody"));
        let good = ca.signed(&[WHO], &[], 1);
        place.put(&ca, &good);
        fs::write(&place.files().ca, good.cert.pem()).unwrap();
        assert!(wrong(&place).contains("no CA's"));
    }
}
