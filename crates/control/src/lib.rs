//! The use cases: each checks rights, asks `domain`, writes through `store`, and knows no
//! transport.

mod access;
mod approve;
mod attention;
mod audit;
mod bulkhead;
mod change;
mod concurrency;
mod desktops;
mod environment;
mod executions;
mod expiry;
mod explain;
mod failures;
mod freeze;
mod guardrails;
mod idempotency;
mod live_output;
mod lookup;
mod map;
mod map_cache;
mod pause;
mod preview;
mod project_limits;
mod project_watch;
mod rate_limit;
mod request_limits;
mod retry;
mod rollout;
mod run_detached;
mod scripts;
mod shares;
mod stop;
mod stop_mode;
mod task_queries;
mod verify_audit;
mod warnings;
mod watch;
mod what_if;
mod workers;

use std::{collections::BTreeSet, sync::Arc};

use access::LoginGuard;
pub use access::{
    Access, AccessAnswers, AccessKey, Actor, Caller, CliToken, Credentials, EnrolmentTerms, Idempotency,
    Identity, MasterKeys, NO_LIMIT, NewDenial, NewEnrolmentToken, NewKey, NewSession, NewToken, Operator,
    RequestOrigin, Rewrapped, Session, SignedInPerson, SigningKey, TOKEN_HEADER, Token,
};
pub use approve::ApprovedVersion;
pub use attention::{AttentionCounts, AttentionItem, AttentionList};
pub use audit::{kept, source};
pub use bulkhead::{Bulkhead, BulkheadPermit, Priority, RESERVED_PLACES};
use chrono::TimeDelta;
pub use desktops::AgentAge;
use domain::{ids::ProjectId, session::SessionTerms};
pub use environment::{DatabaseClock, Environment};
pub use failures::Failures;
pub use guardrails::Guardrails;
pub use live_output::OutputRead;
pub use map::TaskMap;
use map_cache::MapCache;
pub use preview::{Preview, PreviewedWave};
pub use project_limits::LimitsChange;
pub use project_watch::{
    ByeReason, ProjectPoll, ProjectUpdate, ProjectWatch, ResetReason, StreamFilter, StreamKind,
};
pub use rate_limit::{BodyBudget, Rates};
pub use request_limits::RequestLimits;
pub use run_detached::finished;
pub use scripts::ScriptPatch;
use shares::Shares;
pub use shares::StreamPermit;
pub use stop_mode::StopMode;
use store::Store;
pub use store::{
    audit::{AuditFilter, EntryRow},
    credential::CredentialRow,
    deny_list::DeniedCertificate,
    desktop::{DesktopFilter, DesktopOrder, DesktopRow, Retired},
    enrolment::{EnrolmentTokenRow, Revoked},
    event::EventRow,
    failure::FailureGroup,
    project::{PrincipalRow, ProjectRow},
    project_limit::{FreezeRow, ProjectLimits},
    record::{RecordFilter, RecordRow},
    script::{RevisionRow, RevisionSelector, ScriptFilter, ScriptRow},
    seal::Signature,
    target::ListedTarget,
    task::{POOL_GROUP, PinnedScript, RetryOf, Selection, TaskFilter, TaskRow},
    wave::WaveRow,
    worker::WorkerRow,
};
pub use task_queries::{TaskEntry, TaskProgress};
pub use verify_audit::{ChainVerdict, SignatureVerifier};
pub use watch::{Poll, Progress, TaskUpdate, Watch};

/// Default limits of a task whose request sets none.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// Maximum run time of one script.
    pub execution_timeout: TimeDelta,
    /// Maximum time that a target waits for its desktop.
    pub delivery_timeout: TimeDelta,
    /// Time that a result may take to arrive before its target counts as UNKNOWN.
    pub result_grace: TimeDelta,
    /// Maximum number of open tasks per project.
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

/// All use cases, on one database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    store: Store,
    defaults: Defaults,
    environment: Arc<dyn Environment>,
    access: Access,
    login_guard: Arc<LoginGuard>,
    shares: Arc<Shares>,
    maps: Arc<MapCache>,
    cluster_admins: Arc<BTreeSet<(ProjectId, String)>>,
    session_terms: SessionTerms,
}

impl Control {
    /// Creates the use cases on a database.
    pub fn new(store: Store, defaults: Defaults, environment: Arc<dyn Environment>, access: Access) -> Self {
        let shares = Shares::new(store.for_lists().max_connections());
        Self {
            store,
            defaults,
            environment,
            access,
            login_guard: Arc::default(),
            shares: Arc::new(shares),
            maps: Arc::default(),
            cluster_admins: Arc::default(),
            session_terms: SessionTerms::default(),
        }
    }

    /// Sets the limits of console sessions.
    #[must_use]
    pub fn with_session_terms(self, session_terms: SessionTerms) -> Self {
        Self { session_terms, ..self }
    }

    /// Names the principals, each with its project, that administer the cluster with a token or a
    /// key: they act on workers, which serve all projects.
    #[must_use]
    pub fn with_cluster_admins(self, admins: impl IntoIterator<Item = (ProjectId, String)>) -> Self {
        Self { cluster_admins: Arc::new(admins.into_iter().collect()), ..self }
    }

    /// Returns the current time of the use cases' environment.
    pub fn now(&self) -> domain::Timestamp {
        self.environment.now()
    }
}
