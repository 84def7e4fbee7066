//! The deny-list as a scheduler has it: read from the database, applied to its own connections, and
//! signed for workers and agents.

use std::sync::{Arc, PoisonError, RwLock};

use mtls::{Shown, Signer, Tls};
use proto::{
    deny_list,
    order::{Signature, SignedDenyList},
};
use store::{Store, deny_list as stored};

/// List of one version.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Version of the list; 0 if it was never changed.
    pub(crate) version: u64,
    /// Encoded list, as it is signed.
    encoded: Vec<u8>,
}

/// The list as it was last read. Clones share the state.
#[derive(Debug, Clone, Default)]
pub(crate) struct DenyLists {
    current: Arc<RwLock<Arc<Snapshot>>>,
    /// Certificates of this scheduler; `None` without TLS.
    tls: Option<Tls>,
}

impl DenyLists {
    /// Creates an empty list that applies to connections of `tls`.
    pub(crate) fn new(tls: Tls) -> Self {
        Self { tls: Some(tls), ..Self::default() }
    }

    /// The list as it was last read.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the list if it has changed. An older one, as after a restore of the database, does not
    /// replace a newer one in this process.
    pub(crate) async fn load(&self, store: &Store) -> Result<(), store::Error> {
        let mut connection = store.acquire().await?;
        let version = u64::try_from(stored::version(&mut connection).await?).unwrap_or_default();
        if version <= self.current().version {
            return Ok(());
        }
        let (version, serials) = stored::serials(&mut connection).await?;
        self.replace(u64::try_from(version).unwrap_or_default(), &serials);
        Ok(())
    }

    fn replace(&self, version: u64, serials: &[String]) {
        if let Some(tls) = &self.tls {
            tls.deny_list().replace(serials.iter().map(String::as_str));
        }
        let encoded = deny_list::encode(version, serials);
        let snapshot = Arc::new(Snapshot { version, encoded });
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
        tracing::info!(version, certificates = serials.len(), "deny-list in use");
    }
}

impl Snapshot {
    /// The list for a worker that has the version `has`; `None` if that is not older. The list is
    /// not signed while the scheduler cannot sign: the worker uses it and asks again.
    pub(crate) fn for_worker(&self, has: u64, signer: Option<&Signer>) -> Option<SignedDenyList> {
        if self.version <= has {
            return None;
        }
        let signed = signer.and_then(|signer| signer.sign(&deny_list::message(&self.encoded)).ok());
        let signature = signed.map(|Shown { certificate, signature }| Signature { certificate, signature });
        Some(SignedDenyList { list: self.encoded.clone(), signature })
    }
}
