//! The use cases: each checks who may, asks domain, writes through store, and knows no transport.

mod access;
mod approve;
mod audit;
mod bulkhead;
mod clock;
mod concurrency;
mod desktops;
mod executions;
mod finish;
mod found;
mod hold;
mod insight;
mod listings;
mod once;
mod preview;
mod project_limits;
mod rate;
mod retry;
mod rollout;
mod scripts;
mod stop;
mod stop_mode;
mod upkeep;
mod watch;
mod workers;

use std::sync::Arc;

pub use access::{
    Access, AccessKey, Actor, Caller, Credentials, Idempotency, Identity, MasterKeys, NO_LIMIT,
    NewEnrolmentToken, NewKey, NewToken, Operator, SigningKey, TOKEN_HEADER, Token,
};
pub use approve::Seen;
pub use audit::{kept, source};
pub use bulkhead::{Bulkhead, Place, Priority, RESERVED_PLACES};
use chrono::TimeDelta;
pub use clock::{Clock, DatabaseClock};
pub use finish::finished;
pub use insight::Failures;
pub use listings::{TaskEntry, TaskProgress};
pub use preview::{Preview, PreviewedWave};
pub use rate::{BodyBudget, Rates};
pub use scripts::ScriptPatch;
pub use stop_mode::StopMode;
use store::Store;
pub use store::{
    audit::{AuditFilter, EntryRow},
    credential::CredentialRow,
    desktop::{DesktopFilter, DesktopOrder, DesktopRow, Retired},
    enrolment::{EnrolmentTokenRow, Revoked},
    event::EventRow,
    failure::FailureGroup,
    project::{PrincipalRow, ProjectRow},
    project_limit::{FreezeRow, ProjectLimits},
    record::{RecordFilter, RecordRow},
    script::{At, RevisionRow, ScriptFilter, ScriptRow},
    target::ListedTarget,
    task::{POOL_GROUP, PinnedScript, RetryOf, Selection, TaskFilter, TaskRow},
    wave::WaveRow,
    worker::WorkerRow,
};
pub use watch::{Looked, Progress, Told, Watch};

/// The limits that a task is accepted with where it does not say otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// How long one script may run.
    pub execution_timeout: TimeDelta,
    /// How long a target waits for its desktop.
    pub delivery_timeout: TimeDelta,
    /// How long a result may travel before its target counts as UNKNOWN.
    pub result_grace: TimeDelta,
    /// Tasks of one project that may be under way at once.
    pub max_open_per_project: u32,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            execution_timeout: TimeDelta::minutes(10),
            delivery_timeout: TimeDelta::minutes(10),
            result_grace: TimeDelta::seconds(30),
            max_open_per_project: 10_000,
        }
    }
}

/// All use cases, over one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    store: Store,
    defaults: Defaults,
    clock: Arc<dyn Clock>,
    access: Access,
}

impl Control {
    /// The use cases over a database.
    pub fn new(store: Store, defaults: Defaults, clock: Arc<dyn Clock>, access: Access) -> Self {
        Self { store, defaults, clock, access }
    }

    /// Now, as the use cases see it.
    pub fn now(&self) -> domain::Timestamp {
        self.clock.now()
    }
}
