//! Order signatures: made with a certificate of the role signer, and verified against the trusted
//! CAs.

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

pub use verify::{NotSigned, SealRoots, verify_signed};

#[cfg(test)]
mod tests;

/// Interval at which the files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Minimum remaining validity for signing, so that the recipient has time to verify.
const LEAST_LEFT: Duration = Duration::from_secs(10);
/// Remaining validity below which a warning is logged: a third of the usual lifetime.
const WARN_BEFORE: Duration = Duration::from_secs(10 * 24 * 3_600);
const WARN_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// `[orders]` of the configuration: both files, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignerFilesGiven {
    /// Certificate with the role signer.
    pub cert_file: Option<PathBuf>,
    /// Private key of the certificate.
    pub key_file: Option<PathBuf>,
}

impl SignerFilesGiven {
    /// Both files; `None` if none is named.
    ///
    /// # Errors
    ///
    /// When only one file is named.
    pub fn both_or_none(&self) -> Result<Option<SignerFiles>, String> {
        match (&self.cert_file, &self.key_file) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(SignerFiles { cert: cert.clone(), key: key.clone() })),
            _ => Err("cert_file and key_file belong together: name both, or none".into()),
        }
    }
}

/// Files of a signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerFiles {
    /// Certificate with the role signer.
    pub cert: PathBuf,
    /// Private key of the certificate.
    pub key: PathBuf,
}

/// Signature with its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Certificate of the signer, in DER.
    pub certificate: Vec<u8>,
    /// Ed25519 signature.
    pub signature: Vec<u8>,
}

/// Order signer with the last valid contents of its files; [`Signer::watched`] reloads them. Clones
/// share the state.
#[derive(Clone)]
pub struct Signer {
    inner: Arc<Inner>,
}

struct Inner {
    files: SignerFiles,
    tls: Tls,
    current: RwLock<Current>,
    /// Last contents read, valid or not, so that an error is logged only once.
    seen: Mutex<Option<Pair>>,
}

struct Current {
    key: Arc<SigningKey>,
    /// Reason why agents would refuse its signatures now.
    wrong: Option<String>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("files", &self.inner.files).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads the files. Peers that trust the same CAs must accept the certificate's signatures.
    /// Blocks while it reads two small files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, the files do not match, or the certificate is not accepted.
    pub fn load(files: SignerFiles, tls: Tls) -> Result<Self, Error> {
        let pair = pair(&files)?;
        let key = SigningKey::read(&files, &pair, &tls)?;
        let current = RwLock::new(Current { key: Arc::new(key), wrong: None });
        Ok(Self { inner: Arc::new(Inner { files, tls, current, seen: Mutex::new(Some(pair)) }) })
    }

    /// Certificates of the process, which name the trusted CAs.
    pub fn tls(&self) -> &Tls {
        &self.inner.tls
    }

    /// Whether agents would accept signatures made now.
    ///
    /// # Errors
    ///
    /// When the certificate has expired or is denied, or its CA is no longer trusted.
    pub fn check(&self) -> Result<(), String> {
        let current = self.inner.current.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &current.wrong {
            return Err(reason.clone());
        }
        if self.inner.tls.deny_list().contains(&current.key.facts.serial) {
            return Err("the signer's certificate is denied".into());
        }
        if ends_within(&current.key, LEAST_LEFT) {
            return Err("the signer's certificate has expired".into());
        }
        Ok(())
    }

    /// Signs a message.
    ///
    /// # Errors
    ///
    /// See [`Signer::check`].
    pub fn sign(&self, message: &[u8]) -> Result<Shown, String> {
        self.check()?;
        let key = self.key();
        Ok(Shown { certificate: key.certificate.to_vec(), signature: key.sign(message)? })
    }

    /// End of validity of the certificate in use, in Unix seconds, inclusive.
    pub fn not_after_unix(&self) -> i64 {
        self.key().facts.not_after_unix
    }

    fn key(&self) -> Arc<SigningKey> {
        Arc::clone(&self.inner.current.read().unwrap_or_else(PoisonError::into_inner).key)
    }

    /// Runs `serving`, and checks the files every few seconds if there is a signer. Valid new files
    /// take effect; invalid ones are logged, and the old signer stays in use.
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
                        "the signer's certificate expires soon: issue a new one with `graywave ca issue --role signer`"
                    );
                }
            });
            if let Err(error) = looked.await {
                tracing::error!(%error, "reading the signer's files failed");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Reads the files once; true if a new signer is in use.
    fn look(&self) -> bool {
        let files = &self.inner.files;
        let mut seen = self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match pair(files) {
            Ok(found) if seen.as_ref() == Some(&found) => return false,
            Ok(found) => found,
            Err(error) => {
                // Logged once, until the files are readable again.
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
                tracing::info!("new signer in use: {}, {}", key.facts.serial, key.identity);
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

    /// Checks whether the current certificate is still accepted: it may have expired, or its CA may
    /// be gone.
    fn judge(&self) {
        let wrong = self.key().is_taken(&self.inner.tls).err();
        let mut current = self.inner.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.wrong != wrong {
            match &wrong {
                Some(reason) => tracing::error!(
                    reason,
                    "order signing stopped: no orders are sent until the signer is valid"
                ),
                None => tracing::info!("order signing resumed"),
            }
            current.wrong = wrong;
        }
    }
}

fn stays(error: &Error) {
    let error = error as &dyn std::error::Error;
    tracing::error!(error, "new signer refused; the old one stays in use");
}

fn ends_within(key: &SigningKey, time: Duration) -> bool {
    let then = (SystemTime::now() + time).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(then).is_ok_and(|then| then > key.facts.not_after_unix)
}

fn pair(files: &SignerFiles) -> Result<Pair, Error> {
    let read = |path: &PathBuf| read(path).map_err(|source| Error::Read { path: path.clone(), source });
    Ok(Pair { cert: read(&files.cert)?, key: read(&files.key)? })
}
