//! Entry point of the scheduler, with the time as a parameter. Several schedulers may use one
//! database: row locks decide between them.

use std::sync::Arc;

use domain::Timestamp;
use proto::types::Time;
use store::Store;

use crate::{Config, issuing::Enrolment, report_permits::ReportPermits, spec_cache::Specs};

/// Scheduler over one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scheduler {
    pub(crate) store: Store,
    pub(crate) config: Config,
    pub(crate) specs: Specs,
    pub(crate) enrolment: Option<Arc<Enrolment>>,
    /// Permits of reports: they must leave connections for other work.
    pub(crate) report_permits: ReportPermits,
}

impl Scheduler {
    /// Creates a scheduler without an issuer of certificates.
    pub fn new(store: Store, config: Config) -> Self {
        let report_permits = ReportPermits::new(store.max_connections() as usize / 2);
        Self { store, config, specs: Specs::default(), enrolment: None, report_permits }
    }

    /// Adds an issuer, so that the scheduler also issues certificates to desktops.
    #[must_use]
    pub fn with_enrolment(self, enrolment: Enrolment) -> Self {
        Self { enrolment: Some(Arc::new(enrolment)), ..self }
    }

    /// Settings of the scheduler.
    pub const fn config(&self) -> &Config {
        &self.config
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
}
