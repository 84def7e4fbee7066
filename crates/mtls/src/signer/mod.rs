//! Signatures over what agents are ordered: made with the key of a certificate of the role signer, and verified against the
//! CAs that are trusted already.

mod key;
mod verify;

use std::{
    convert::Infallible,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;

use self::key::{Pair, SigningKey};
use crate::{
    files::read,
    tls::{Error, Tls},
};

pub use verify::{NotSigned, verify_signed};

#[cfg(test)]
mod tests;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// With a certificate that ends so soon nothing is signed: who is ordered something must have the time to verify it.
const LEAST_LEFT: Duration = Duration::from_secs(10);
/// A certificate that ends so soon is warned of.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 24 * 3_600);
const WARN_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// `[orders]` of the configuration: both files, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignerFilesGiven {
    /// A certificate of the role signer.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

impl SignerFilesGiven {
    /// Both files, or `None` when none is named.
    ///
    /// # Errors
    ///
    /// One without the other, in words.
    pub fn both_or_none(&self) -> Result<Option<SignerFiles>, String> {
        match (&self.cert_file, &self.key_file) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(SignerFiles { cert: cert.clone(), key: key.clone() })),
            _ => Err("cert_file and key_file go together: name both, or none".into()),
        }
    }
}

/// The files that a signer is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerFiles {
    /// Its certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A signature, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The signer's certificate, DER.
    pub certificate: Vec<u8>,
    /// Ed25519.
    pub signature: Vec<u8>,
}

/// Signs with what its files said last that was good; [`Signer::watched`] looks at them. Clones share it.
#[derive(Clone)]
pub struct Signer {
    inner: Arc<Inner>,
}

struct Inner {
    files: SignerFiles,
    tls: Tls,
    current: RwLock<Current>,
    /// What was looked at last, good or not: it is not complained of twice.
    seen: Mutex<Option<Pair>>,
}

struct Current {
    key: Arc<SigningKey>,
    /// Why agents would not take its signatures any more.
    wrong: Option<String>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("files", &self.inner.files).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads the files. The certificate must be one whose signatures are taken by whoever trusts the same CAs. It blocks, for
    /// as long as two small files take.
    ///
    /// # Errors
    ///
    /// Files that cannot be read or do not fit together, or a certificate that nobody would take.
    pub fn load(files: SignerFiles, tls: Tls) -> Result<Self, Error> {
        let pair = pair(&files)?;
        let key = SigningKey::read(&files, &pair, &tls)?;
        let current = RwLock::new(Current { key: Arc::new(key), wrong: None });
        Ok(Self { inner: Arc::new(Inner { files, tls, current, seen: Mutex::new(Some(pair)) }) })
    }

    /// Whether what is signed now will be taken.
    ///
    /// # Errors
    ///
    /// The certificate has expired, or its CA is trusted no more; in words.
    pub fn check(&self) -> Result<(), String> {
        let current = self.inner.current.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &current.wrong {
            return Err(reason.clone());
        }
        if ends_within(&current.key, LEAST_LEFT) {
            return Err("the signer's certificate has expired".into());
        }
        Ok(())
    }

    /// Signs.
    ///
    /// # Errors
    ///
    /// See [`Signer::check`].
    pub fn sign(&self, message: &[u8]) -> Result<Shown, String> {
        self.check()?;
        let key = self.key();
        Ok(Shown { certificate: key.certificate.to_vec(), signature: key.sign(message)? })
    }

    fn key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.inner.current.read().unwrap_or_else(PoisonError::into_inner).key)
    }

    /// Serves, and meanwhile looks at the files every few seconds, where there are some. What is new and good signs from then
    /// on; of what is not good the log says why, and the old stays in use.
    pub async fn watched<T>(signer: Option<Self>, serving: impl Future<Output = T>) -> T {
        let Some(signer) = signer else { return serving.await };
        tokio::select! {
            served = serving => served,
            never = signer.watch() => match never {},
        }
    }

    async fn watch(&self) -> Infallible {
        let mut warn_at = tokio::time::Instant::now();
        loop {
            let (signer, warns) = (self.clone(), tokio::time::Instant::now() >= warn_at);
            if warns {
                warn_at += WARN_EVERY;
            }
            let looked = tokio::task::spawn_blocking(move || {
                signer.look();
                signer.judge();
                if warns && ends_within(&signer.key(), WARN_BEFORE) {
                    tracing::warn!(
                        "the signer's certificate ends soon: issue another one, with --role signer"
                    );
                }
            });
            if let Err(error) = looked.await {
                tracing::error!(%error, "the signer's files could not be looked at");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks at the files once; true when something new is in use.
    fn look(&self) -> bool {
        let files = &self.inner.files;
        let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match pair(files) {
            Ok(found) if seen.as_ref() == Some(&found) => return false,
            Ok(found) => found,
            Err(error) => {
                // Said once, until there is something to read again.
                if seen.take().is_some() {
                    stays(&error);
                }
                return false;
            }
        };
        let key = SigningKey::read(files, &found, &self.inner.tls);
        *seen = Some(found);
        match key {
            Ok(key) => {
                tracing::info!("a new signer is in use: {}, {}", key.facts.serial, key.identity);
                let mut current = self.inner.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Current { key: Arc::new(key), wrong: None };
                true
            }
            Err(error) => {
                stays(&error);
                false
            }
        }
    }

    /// Looks whether the certificate in use is still good: it ends, and CAs are dropped.
    fn judge(&self) {
        let wrong = self.key().is_taken(&self.inner.tls).err();
        let mut current = self.inner.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.wrong != wrong {
            match &wrong {
                Some(reason) => tracing::error!(
                    reason,
                    "nothing is signed, and nothing handed out, until there is a good signer"
                ),
                None => tracing::info!("the signer is good again"),
            }
            current.wrong = wrong;
        }
    }
}

fn stays(error: &Error) {
    let error = error as &dyn std::error::Error;
    tracing::error!(error, "the new signer is not used; the old one stays");
}

fn ends_within(key: &SigningKey, time: Duration) -> bool {
    let then = (SystemTime::now() + time).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(then).is_ok_and(|then| then > key.facts.not_after_unix)
}

fn pair(files: &SignerFiles) -> Result<Pair, Error> {
    let read = |path: &PathBuf| read(path).map_err(|source| Error::Read { path: path.clone(), source });
    Ok(Pair { cert: read(&files.cert)?, key: read(&files.key)? })
}
