//! Scenarios: projects with their desktops and tasks, the processes of the cluster, and the faults.

use chrono::TimeDelta;
use domain::{deadline::Timeouts, policy::RolloutPolicy, rollout::WaveSpec};

use crate::memory::ProjectLimits;

mod draw;
mod reboots;
mod several;
mod theme;

/// The input of a simulation. Drawn from a seed by [`Scenario::drawn`], or built by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Seed of every choice that the other fields leave open: delays, worker_deaths, the order of
    /// events.
    pub seed: u64,
    /// Projects, each with desktops of its own. At least one.
    pub projects: Vec<ProjectSpec>,
    /// Behaviour of the desktops.
    pub fleet: Fleet,
    /// Processes and their periods.
    pub cluster: ClusterConfig,
    /// Faults, their frequency and their end.
    pub faults: Faults,
}

/// A project. Its tasks share its desktops and its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectSpec {
    /// Number of desktops.
    pub desktops: u32,
    /// Limits over all tasks.
    pub limits: ProjectLimits,
    /// New values of `max_in_flight`, each with its time after the beginning.
    pub limit_changes: Vec<(TimeDelta, u32)>,
    /// Beginning and end of a freeze.
    pub freeze: Option<(TimeDelta, TimeDelta)>,
    /// Desktops that are retired or revoked.
    pub out_of_service: Vec<Departure>,
    /// Tasks, 1 to 4.
    pub tasks: Vec<TaskSpec>,
}

/// The retirement of a desktop, or the revocation of its certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// Time after the beginning.
    pub after: TimeDelta,
    /// Number of the desktop in its project. It wraps around.
    pub desktop: u32,
    /// Time after which the agent of a revoked desktop enrols again; `None` for a retirement.
    pub returns_after: Option<TimeDelta>,
}

/// A task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSpec {
    /// Time of the submission after the beginning.
    pub submitted_after: TimeDelta,
    /// Number of desktops. They are a run of the project's desktops from `first_desktop` on, and
    /// wrap around.
    pub desktops: u32,
    /// Place of the first desktop among those of the project.
    pub first_desktop: u32,
    /// Sizes and thresholds of the waves.
    pub waves: Waves,
    /// Failure policy.
    pub policy: RolloutPolicy,
    /// Maximum number of targets in flight.
    pub max_concurrency: Option<u32>,
    /// Timeouts of a target.
    pub timeouts: Timeouts,
    /// Number of scripts that run on each target, one after the other.
    pub scripts: u16,
    /// Time after the submission at which the task expires.
    pub expires_after: Option<TimeDelta>,
    /// Commands of operators.
    pub operators: Operators,
}

impl Default for Scenario {
    /// Returns one task over twenty connected desktops in one wave, without faults.
    fn default() -> Self {
        let runs = TimeDelta::seconds(20);
        Self {
            seed: 0,
            projects: vec![ProjectSpec::of(TaskSpec::default())],
            fleet: Fleet { runs, slow: TimeDelta::milliseconds(100), ..Fleet::default() },
            cluster: ClusterConfig::default(),
            faults: Faults::default(),
        }
    }
}

impl Scenario {
    /// Returns a scenario of one task, which is otherwise the default.
    pub fn of(task: TaskSpec) -> Self {
        Self { projects: vec![ProjectSpec::of(task)], ..Self::default() }
    }

    /// Tasks of all projects.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskSpec> {
        self.projects.iter().flat_map(|project| &project.tasks)
    }
}

impl ProjectSpec {
    /// Returns a project without limits that has one task over all its desktops.
    pub fn of(task: TaskSpec) -> Self {
        Self {
            desktops: task.desktops,
            limits: ProjectLimits::default(),
            limit_changes: Vec::new(),
            freeze: None,
            out_of_service: Vec::new(),
            tasks: vec![task],
        }
    }
}

impl Default for TaskSpec {
    /// Returns a task over twenty desktops in one wave.
    fn default() -> Self {
        let minutes = TimeDelta::minutes;
        Self {
            submitted_after: TimeDelta::zero(),
            desktops: 20,
            first_desktop: 0,
            waves: Waves::One,
            policy: RolloutPolicy::default(),
            max_concurrency: None,
            timeouts: Timeouts { execution: minutes(5), delivery: minutes(5), grace: TimeDelta::seconds(30) },
            scripts: 1,
            expires_after: None,
            operators: Operators::default(),
        }
    }
}

/// Waves of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waves {
    /// One wave.
    One,
    /// A gray wave and the rest.
    Gray {
        /// Number of targets in the gray wave.
        count: u32,
        /// Number of failures at which the gray wave halts the task.
        fail_threshold: u32,
    },
    /// Waves as a request names them.
    Asked(Vec<WaveSpec>),
}

/// Commands of operators for one task, each with its time after the submission.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operators {
    /// Pauses, each with the time of its end.
    pub pauses: Vec<(TimeDelta, TimeDelta)>,
    /// A stop; with `true`, running scripts are killed.
    pub stop: Option<(TimeDelta, bool)>,
    /// Stops of single targets, by ordinal.
    pub target_stops: Vec<(TimeDelta, u32)>,
    /// New values of `max_concurrency`.
    pub concurrency: Vec<(TimeDelta, Option<u32>)>,
    /// Maximum time that an approver takes to approve a wave.
    pub approver_takes: TimeDelta,
    /// Retries after the end.
    pub retries: Retries,
}

/// Retries of a task and of its retries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retries {
    /// Number of single records to retry before the task is retried.
    pub records: u32,
    /// Maximum number of successive retries of the whole task.
    pub tasks: u32,
    /// Maximum time between the end of a task and its retry.
    pub wait: TimeDelta,
}

/// Behaviour of the desktops.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    /// Percentage of desktops that are offline at the beginning.
    pub away: u32,
    /// Percentage of the offline desktops that never come online.
    pub never: u32,
    /// Maximum time in which the other offline desktops come online.
    pub back_within: TimeDelta,
    /// Percentage of scripts that fail with an exit code.
    pub failing: u32,
    /// Exit codes of these scripts.
    pub exit_codes: Vec<i32>,
    /// Percentage of scripts that hang until their timeout.
    pub hanging: u32,
    /// Percentage of scripts that the agent rejects.
    pub refused: u32,
    /// Results in a thousand that are poisoned.
    pub poisoned: u32,
    /// Percentage of planned reboots from which the desktop never comes back.
    pub lost_by_reboot: u32,
    /// Maximum duration of the other planned reboots.
    pub reboots_within: TimeDelta,
    /// Maximum duration of a script.
    pub runs: TimeDelta,
    /// Maximum time that an order waits on its desktop before its turn.
    pub slow: TimeDelta,
}

/// Processes and their periods in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Number of schedulers.
    pub schedulers: usize,
    /// Number of workers.
    pub workers: usize,
    /// Maximum number of targets that a worker holds.
    pub capacity: u32,
    /// Period in which a scheduler looks for work without a wake-up.
    pub period_ms: i64,
    /// Period of a worker's heartbeats.
    pub heartbeat_ms: i64,
    /// Silence after which a worker is forgotten.
    pub worker_timeout_ms: i64,
    /// Duration of a lease.
    pub lease_ms: i64,
    /// Maximum delay of a message without faults.
    pub delay_ms: i64,
    /// Maximum difference between a clock and the true time, either way. Clocks of schedulers, use
    /// cases and agents differ.
    pub skew_ms: i64,
    /// Maximum difference between the times that agents report and their clocks, either way.
    pub reported_skew_ms: i64,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            schedulers: 2,
            workers: 3,
            capacity: 1_000,
            period_ms: 1_000,
            heartbeat_ms: 3_000,
            worker_timeout_ms: 15_000,
            lease_ms: 30_000,
            delay_ms: 40,
            skew_ms: 0,
            reported_skew_ms: 0,
        }
    }
}

/// Faults, until they cease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Time of the last fault after the beginning.
    pub until: TimeDelta,
    /// Mean time between two faults in milliseconds; 0 for none.
    pub every_ms: i64,
    /// Frequency of each kind of fault, relative to the others.
    pub kinds: Kinds,
    /// Lost messages in a thousand.
    pub lost: u32,
    /// Duplicated messages in a thousand.
    pub doubled: u32,
    /// Messages in a thousand that come 1 to 90 seconds late.
    pub late: u32,
    /// Outages of the database, each with its time after the beginning.
    pub outages: Vec<(TimeDelta, Outage)>,
}

/// An outage of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// Time at its beginning in which transactions commit and their answers are lost.
    pub unknown: TimeDelta,
    /// Time in which every transaction fails before its commit.
    pub down: TimeDelta,
}

/// Relative frequencies of faults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds {
    /// A scheduler is killed and comes back.
    pub schedulers: u32,
    /// A worker is killed and another one is started.
    pub workers: u32,
    /// A worker drains, and another one is started.
    pub drains: u32,
    /// An agent's connection breaks.
    pub flaps: u32,
    /// A desktop restarts.
    pub reboots: u32,
}

impl Faults {
    /// Whether no process dies and no message is disturbed.
    pub fn is_calm(&self) -> bool {
        self.every_ms == 0 && self.lost + self.doubled + self.late == 0
    }
}
