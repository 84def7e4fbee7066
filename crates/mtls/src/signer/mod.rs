//! Order signatures: made with a certificate of the role signer, and verified against the trusted
//! CAs.

mod key;
mod verify;

use std::{
    convert::Infallible,
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;

use self::key::{Pair, SigningKey};
use crate::{
    files::read,
    reloaded::{LOOK_EVERY, Look, Reloaded, Source, beside},
    tls::{Error, Tls},
};

pub use verify::{NotSigned, SealRoots, verify_signed};

#[cfg(test)]
mod tests;

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
    reloaded: Reloaded<SignerSource>,
    /// Reason why agents would refuse signatures of the current key.
    wrong: RwLock<Option<String>>,
}

/// Files of a signer, and the CAs that its signatures are verified against.
struct SignerSource {
    files: SignerFiles,
    tls: Tls,
}

impl Source for SignerSource {
    type Contents = Pair;
    type Value = SigningKey;
    type Error = Error;

    fn read(&self) -> Result<Pair, Error> {
        let read = |path: &PathBuf| read(path).map_err(|source| Error::Read { path: path.clone(), source });
        Ok(Pair { cert: read(&self.files.cert)?, key: read(&self.files.key)? })
    }

    fn build(&self, pair: &Pair) -> Result<SigningKey, Error> {
        SigningKey::read(&self.files, pair, &self.tls)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("files", &self.inner.reloaded.source.files).finish_non_exhaustive()
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
        Ok(Self::of(Reloaded::load(SignerSource { files, tls })?))
    }

    fn of(reloaded: Reloaded<SignerSource>) -> Self {
        Self { inner: Arc::new(Inner { reloaded, wrong: RwLock::new(None) }) }
    }

    /// Certificates of the process, which name the trusted CAs.
    pub fn tls(&self) -> &Tls {
        &self.inner.reloaded.source.tls
    }

    /// Whether agents would accept signatures made now.
    ///
    /// # Errors
    ///
    /// When the certificate has expired or is denied, or its CA is no longer trusted.
    pub fn check(&self) -> Result<(), String> {
        if let Some(reason) = &*self.inner.wrong.read().unwrap_or_else(PoisonError::into_inner) {
            return Err(reason.clone());
        }
        let key = self.key();
        if self.tls().deny_list().contains(&key.facts.serial) {
            return Err("the signer's certificate is denied".into());
        }
        if ends_within(&key, LEAST_LEFT) {
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
        self.inner.reloaded.current()
    }

    /// Runs `serving`, and checks the files every few seconds if there is a signer. Valid new files
    /// take effect; invalid ones are logged, and the old signer stays in use.
    pub async fn watched<T>(signer: Option<Self>, serving: impl Future<Output = T>) -> T {
        beside(signer.as_ref().map(Self::watch), serving).await
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
        match self.inner.reloaded.look() {
            Ok(Look::Same) => false,
            Ok(Look::New) => {
                let key = self.key();
                tracing::info!("new signer in use: {}, {}", key.facts.serial, key.identity);
                *self.inner.wrong.write().unwrap_or_else(PoisonError::into_inner) = None;
                true
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "new signer refused; the old one stays in use");
                false
            }
        }
    }

    /// Checks whether the current certificate is still accepted: it may have expired, or its CA may
    /// be gone.
    fn judge(&self) {
        let wrong = self.key().is_taken(self.tls()).err();
        let mut current = self.inner.wrong.write().unwrap_or_else(PoisonError::into_inner);
        if *current != wrong {
            match &wrong {
                Some(reason) => tracing::error!(
                    reason,
                    "order signing stopped: no orders are sent until the signer is valid"
                ),
                None => tracing::info!("order signing resumed"),
            }
            *current = wrong;
        }
    }
}

fn ends_within(key: &SigningKey, time: Duration) -> bool {
    let then = (SystemTime::now() + time).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(then).is_ok_and(|then| then > key.facts.not_after_unix)
}
