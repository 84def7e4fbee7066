//! The deny-list of an agent: signed by a scheduler, brought by workers, kept on disk. A worker can
//! withhold it, but neither change it nor replace it with an older one.

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mtls::{Tls, verify_signed};
use proto::{deny_list, limits::MAX_DENY_LIST_BYTES, order::SignedDenyList};

use crate::data_dir::{replace, restore_file};

#[cfg(test)]
#[path = "deny_list_tests.rs"]
mod tests;

const FILE: &str = "deny-list.bin";
/// Time by which a list's version may be ahead of this machine's clock: a forged version does not
/// block later lists for longer.
const MAX_AHEAD: Duration = Duration::from_secs(24 * 3_600);

/// The newest list that this agent has verified. Clones share the state.
#[derive(Debug, Clone)]
pub(crate) struct DenyLists {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tls: Tls,
    path: PathBuf,
    version: AtomicU64,
    /// Held while a list is checked and stored.
    taking: Mutex<()>,
}

impl DenyLists {
    /// Reads the list of an earlier run. An unreadable list counts as none: workers send it again.
    pub(crate) fn open(tls: Tls, data_dir: &std::path::Path) -> Self {
        let path = data_dir.join(FILE);
        let inner = Inner { tls, path, version: AtomicU64::new(0), taking: Mutex::default() };
        match inner.read() {
            Ok(Some(list)) => inner.apply(&list).unwrap_or_else(|reason| {
                tracing::warn!(reason, "stored deny-list ignored");
            }),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, path = %inner.path.display(), "stored deny-list ignored"),
        }
        Self { inner: Arc::new(inner) }
    }

    /// Version of the list in use; 0 without one.
    pub(crate) fn version(&self) -> u64 {
        self.inner.version.load(Ordering::Acquire)
    }

    /// Takes a list from a worker if it is newer. Blocks while it writes a small file.
    ///
    /// # Errors
    ///
    /// The reason why the list is not accepted.
    pub(crate) fn take(&self, signed: &SignedDenyList) -> Result<(), String> {
        let _taking = self.inner.taking.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, _) = deny_list::decode(&signed.list)?;
        if version <= self.version() {
            return Ok(());
        }
        let signature = signed.signature.as_ref().ok_or("it is not signed")?;
        let message = deny_list::message(&signed.list);
        verify_signed(&self.inner.tls, &signature.certificate, &message, &signature.signature)
            .map_err(|error| error.to_string())?;
        check_version(version, SystemTime::now())?;
        self.inner.apply(&signed.list)?;
        if let Err(error) = replace(&self.inner.path, &signed.list) {
            let path = self.inner.path.display();
            tracing::error!(%error, %path, "storing the deny-list failed; it is lost at the next restart");
        }
        tracing::info!(version, "new deny-list in use");
        Ok(())
    }
}

impl Inner {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        restore_file(&self.path)?;
        let length = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if length > MAX_DENY_LIST_BYTES as u64 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        fs::read(&self.path).map(Some)
    }

    fn apply(&self, list: &[u8]) -> Result<(), String> {
        let (version, serials) = deny_list::decode(list)?;
        self.tls.deny_list().replace(serials.iter().map(String::as_str));
        self.version.store(version, Ordering::Release);
        Ok(())
    }
}

/// Refuses a version that lies far in the future.
fn check_version(version: u64, now: SystemTime) -> Result<(), String> {
    let limit = (now + MAX_AHEAD).duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    if u128::from(version) <= limit {
        return Ok(());
    }
    Err(format!("its version {version} lies more than a day ahead of this machine's clock: check the clock"))
}
