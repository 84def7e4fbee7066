//! Entry point of the scheduler, with the time as a parameter. Several schedulers may use one
//! database: row locks decide between them.

use std::sync::Arc;

use domain::Timestamp;
use mtls::{Signer, Tls};
use proto::types::Time;
use store::Store;
use tokio::sync::Semaphore;

use crate::{
    Config, KeyWrap, deny_list::DenyLists, issuing::Enrolment, report_permits::ReportPermits,
    session_keys::SessionKeys, spec_cache::Specs, waiting_pulls::WaitingPulls,
};

/// Scheduler over one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scheduler {
    pub(crate) store: Store,
    /// The database under the role that owns the partitions; `None` if the role of `store` does.
    pub(crate) partition_store: Option<Store>,
    pub(crate) config: Config,
    pub(crate) specs: Specs,
    pub(crate) pulls: WaitingPulls,
    pub(crate) enrolment: Option<Arc<Enrolment>>,
    pub(crate) deny_lists: DenyLists,
    /// Permits of reports: they must leave connections for other work.
    pub(crate) report_permits: ReportPermits,
    pub(crate) session_keys: SessionKeys,
    /// Places of calls that verify attaches, one for each processor but one.
    pub(crate) verifications: Arc<Semaphore>,
    /// Signer of the audit's seals; `None` without TLS.
    pub(crate) signer: Option<Signer>,
}

impl Scheduler {
    /// Creates a scheduler without an issuer of certificates.
    pub fn new(store: Store, config: Config) -> Self {
        let report_permits = ReportPermits::new(store.max_connections() as usize / 2);
        Self {
            store,
            partition_store: None,
            config,
            specs: Specs::default(),
            pulls: WaitingPulls::default(),
            enrolment: None,
            deny_lists: DenyLists::default(),
            report_permits,
            session_keys: SessionKeys::default(),
            verifications: Arc::new(Semaphore::new(verification_places())),
            signer: None,
        }
    }

    /// Adds an issuer, so that the scheduler also issues certificates to desktops.
    #[must_use]
    pub fn with_enrolment(self, enrolment: Enrolment) -> Self {
        Self { enrolment: Some(Arc::new(enrolment)), ..self }
    }

    /// Encrypts the session keys of desktops in the database.
    #[must_use]
    pub fn with_key_wrap(self, wrap: Arc<dyn KeyWrap>) -> Self {
        Self { session_keys: SessionKeys::new(wrap), ..self }
    }

    /// Uses another role for the creation and the deletion of partitions.
    #[must_use]
    pub fn with_partition_store(self, partition_store: Option<Store>) -> Self {
        Self { partition_store, ..self }
    }

    /// Adds the signer of orders, which then signs the audit's seals too.
    #[must_use]
    pub fn with_signer(self, signer: Option<Signer>) -> Self {
        Self { signer, ..self }
    }

    /// Adds certificates, so that this scheduler refuses denied peers.
    #[must_use]
    pub fn with_certificates(self, tls: Tls) -> Self {
        Self { deny_lists: DenyLists::new(tls), ..self }
    }

    /// Reads the deny-list of certificates, which [`crate::run`] then keeps current.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn load_deny_list(&self) -> Result<(), store::Error> {
        self.deny_lists.load(&self.store).await
    }

    /// Settings of the scheduler.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Number of pulls that wait in this scheduler.
    pub fn waiting_pulls(&self) -> usize {
        self.pulls.number()
    }

    /// Current database time.
    pub(crate) fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// Database time with its error; `None` until the database has answered once.
    pub(crate) fn time(&self) -> Option<Time> {
        self.store.clock().sample().map(|sample| Time::new(sample.now, sample.error))
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the database under the role that owns the partitions.
    pub(crate) fn partition_store(&self) -> &Store {
        self.partition_store.as_ref().unwrap_or(&self.store)
    }
}

fn verification_places() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors.saturating_sub(1).max(1)
}
