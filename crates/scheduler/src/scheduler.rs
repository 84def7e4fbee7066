//! What a scheduler does, with the time as a parameter. Several schedulers may work on one database at once: the row locks
//! decide.

use std::sync::Arc;

use domain::Timestamp;
use proto::types::Time;
use store::Store;

use crate::{Config, issuing::Enrolment, spec_cache::Specs};

/// The scheduler's work over one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Scheduler {
    pub(crate) store: Store,
    pub(crate) config: Config,
    pub(crate) specs: Specs,
    pub(crate) enrolment: Option<Arc<Enrolment>>,
}

impl Scheduler {
    /// A scheduler over a database.
    pub fn new(store: Store, config: Config) -> Self {
        Self { store, config, specs: Specs::default(), enrolment: None }
    }

    /// The same scheduler, which also makes certificates for desktops.
    #[must_use]
    pub fn with_enrolment(self, enrolment: Enrolment) -> Self {
        Self { enrolment: Some(Arc::new(enrolment)), ..self }
    }

    /// Its settings.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The database's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// The database's time with its error; `None` while the database has not told it.
    pub(crate) fn time(&self) -> Option<Time> {
        self.store.clock().told().map(|told| Time::new(told.now, told.error))
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }
}
