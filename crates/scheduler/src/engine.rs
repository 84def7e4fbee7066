//! What a scheduler does, each in one transaction, with the time as a parameter. Several engines may work on one
//! database at once: the row locks decide.

mod budget;
mod cut;
mod enrol;
mod lease;
mod presence;
mod reap;
mod report;
mod retention;
mod specs;
mod stops;
mod waiting;

use std::sync::Arc;

use domain::Timestamp;
pub use enrol::{AskedBy, Enrolment};
pub use lease::Leased;
pub use presence::Refused;
use proto::types::Time;
pub use report::{ReportAnswer, ReturnedTarget, ScriptReport, TargetReport};
pub use specs::Spec;
use store::Store;
use uuid::Uuid;

use crate::Config;

/// The scheduler's work over one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    store: Store,
    config: Config,
    specs: specs::Specs,
    enrolment: Option<Arc<Enrolment>>,
}

impl Engine {
    /// An engine over a database.
    pub fn new(store: Store, config: Config) -> Self {
        Self { store, config, specs: specs::Specs::default(), enrolment: None }
    }

    /// The same, which makes certificates for desktops.
    #[must_use]
    pub fn with_enrolment(self, enrolment: Enrolment) -> Self {
        Self { enrolment: Some(Arc::new(enrolment)), ..self }
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The database's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// The same, for whoever goes by it; `None` while the database has not told it.
    pub(crate) fn time(&self) -> Option<Time> {
        self.store.clock().told().map(|told| Time::new(told.now, told.error))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

fn fresh_batch_id() -> domain::ids::BatchId {
    domain::ids::BatchId(Uuid::now_v7())
}
