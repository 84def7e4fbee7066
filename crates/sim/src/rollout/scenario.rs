//! What is simulated: a rollout, the people around it, the desktops it runs on, and what breaks.

use chrono::TimeDelta;
use domain::{deadline::Timeouts, policy::RolloutPolicy, rollout::WaveSpec};

mod draw;
mod theme;

/// Everything that a story is made from. Drawn from a seed by [`Scenario::drawn`], or built by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Decides whatever the other fields leave open: who is slow, what is lost, in which order things come.
    pub seed: u64,
    /// Desktops of the task.
    pub desktops: u32,
    /// How the task is cut into waves.
    pub waves: Waves,
    /// What counts, when it is too much, and what then.
    pub policy: RolloutPolicy,
    /// Targets in flight at most.
    pub max_concurrency: Option<u32>,
    /// Targets of the whole project in flight at most.
    pub project_limit: Option<u32>,
    /// The limits of one target.
    pub timeouts: Timeouts,
    /// Scripts that each target runs, one after the other.
    pub scripts: u16,
    /// How long after its beginning the task expires.
    pub expires_after: Option<TimeDelta>,
    /// What people do.
    pub people: People,
    /// How the desktops behave.
    pub fleet: Fleet,
    /// The processes, and their periods.
    pub plant: Plant,
    /// What breaks.
    pub faults: Faults,
}

impl Default for Scenario {
    /// Twenty desktops that are all there, in one wave, and nothing breaks.
    fn default() -> Self {
        let minutes = TimeDelta::minutes;
        let runs = TimeDelta::seconds(20);
        Self {
            seed: 0,
            desktops: 20,
            waves: Waves::One,
            policy: RolloutPolicy::default(),
            max_concurrency: None,
            project_limit: None,
            timeouts: Timeouts { execution: minutes(5), delivery: minutes(5), grace: TimeDelta::seconds(30) },
            scripts: 1,
            expires_after: None,
            people: People::default(),
            fleet: Fleet { runs, slow: TimeDelta::milliseconds(100), ..Fleet::default() },
            plant: Plant::default(),
            faults: Faults::default(),
        }
    }
}

/// How the task is cut into waves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waves {
    /// One.
    One,
    /// A gray wave and the rest.
    Gray {
        /// Targets of the gray wave.
        count: u32,
        /// Failures at which it halts.
        fail_threshold: u32,
    },
    /// These.
    Asked(Vec<WaveSpec>),
}

/// What people do, each so long after the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People {
    /// Pauses, each with when it is resumed.
    pub pauses: Vec<(TimeDelta, TimeDelta)>,
    /// A freeze of the project, and its end.
    pub freeze: Option<(TimeDelta, TimeDelta)>,
    /// A stop; with `true`, what runs is ended.
    pub stop: Option<(TimeDelta, bool)>,
    /// Stops of single targets.
    pub target_stops: Vec<(TimeDelta, u32)>,
    /// Changes of `max_concurrency`.
    pub concurrency: Vec<(TimeDelta, Option<u32>)>,
    /// How long an approver takes to look at a wave that waits, at most.
    pub approver_takes: TimeDelta,
}

/// How the desktops behave.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    /// Of a hundred desktops, how many are away at the beginning.
    pub away: u32,
    /// Of a hundred of those, how many never come.
    pub never: u32,
    /// Those that come do so within this time.
    pub back_within: TimeDelta,
    /// Of a hundred scripts, how many fail with an exit code.
    pub failing: u32,
    /// Exit codes that they fail with.
    pub exit_codes: Vec<i32>,
    /// Of a hundred scripts, how many hang until their timeout.
    pub hanging: u32,
    /// Of a hundred scripts, how many the agent refuses.
    pub refused: u32,
    /// How long a script runs, at most.
    pub runs: TimeDelta,
    /// How long an order waits on its desktop before its turn comes, at most.
    pub slow: TimeDelta,
}

/// The processes, and their periods in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plant {
    /// Schedulers.
    pub schedulers: usize,
    /// Workers.
    pub workers: usize,
    /// Targets that a worker holds at most.
    pub capacity: u32,
    /// How often a scheduler looks although nothing woke it.
    pub period_ms: i64,
    /// How often a worker says that it lives.
    pub heartbeat_ms: i64,
    /// After how long a silent worker is forgotten.
    pub worker_timeout_ms: i64,
    /// How long a lease lasts.
    pub lease_ms: i64,
    /// How long a message takes, at most, where nothing is wrong.
    pub delay_ms: i64,
}

impl Default for Plant {
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
        }
    }
}

/// What breaks, until it does so no more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// When all of it ends.
    pub until: TimeDelta,
    /// Milliseconds between two accidents, on average; 0 for none.
    pub every_ms: i64,
    /// How often each kind of accident happens, against the others.
    pub kinds: Kinds,
    /// Of a thousand messages, how many are lost.
    pub lost: u32,
    /// Of a thousand messages, how many come twice.
    pub doubled: u32,
    /// Of a thousand messages, how many come much too late.
    pub late: u32,
}

/// Kinds of accidents, by how often each happens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds {
    /// A scheduler dies and comes back.
    pub schedulers: u32,
    /// A worker is killed and another one started.
    pub workers: u32,
    /// A worker is told to stop, finishes what it has, and another one is started.
    pub drains: u32,
    /// An agent's connection breaks.
    pub flaps: u32,
    /// A desktop restarts.
    pub reboots: u32,
}

impl Faults {
    /// Whether nothing breaks at all.
    pub fn is_calm(&self) -> bool {
        self.every_ms == 0 && self.lost + self.doubled + self.late == 0
    }
}
