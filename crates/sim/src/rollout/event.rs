//! Events of a simulation, and the messages in them.

use domain::{
    Timestamp,
    ids::{BatchId, TaskId, WorkerId},
    outcome::Outcome,
};
use engine::Duty;

use super::poison::Poison;

/// A worker: one run of its process. A worker that is started again is another one.
pub(super) type Worker = usize;
/// A desktop, numbered over all projects.
pub(super) type Desktop = usize;
/// A task, numbered in the order of acceptance. Retries are tasks.
pub(super) type Task = usize;
/// A connection between an agent and a worker.
pub(super) type Session = u64;

/// A target of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Target {
    pub(super) task: Task,
    pub(super) ordinal: u32,
}

/// Outcome of one script, with its exit code.
pub(super) type ScriptOutcome = (Outcome, Option<i32>);

/// Outcome of a target from those of its scripts, and the exit code of the script that decides.
pub(super) fn of_target(scripts: &[ScriptOutcome]) -> ScriptOutcome {
    let decider = scripts.iter().find(|(outcome, _)| *outcome != Outcome::Success);
    let outcome = Outcome::of_target(scripts.iter().map(|(outcome, _)| *outcome));
    (outcome, decider.and_then(|(_, code)| *code))
}

/// An event.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A scheduler looks for targets to admit.
    CutTick {
        scheduler: usize,
    },
    /// A scheduler looks for due work.
    ReapTick {
        scheduler: usize,
    },
    /// A scheduler runs a transaction that it decided on at a tick.
    Act {
        scheduler: usize,
        life: u32,
        /// The scheduler's time at the tick.
        now: Timestamp,
        /// True time of the tick.
        ticked_at: Timestamp,
        act: Act,
    },
    SchedulerDies {
        scheduler: usize,
    },
    SchedulerReturns {
        scheduler: usize,
    },
    Heartbeat {
        worker: Worker,
    },
    Renewal {
        worker: Worker,
    },
    Pull {
        worker: Worker,
    },
    AnnouncePresence {
        worker: Worker,
    },
    Flush {
        worker: Worker,
    },
    /// A report got no answer in time.
    ReportTimeout {
        worker: Worker,
        report: u64,
    },
    /// A presence update got no answer in time.
    PresenceTimeout {
        worker: Worker,
        update: u64,
    },
    WorkerDies {
        worker: Worker,
    },
    WorkerDrains {
        worker: Worker,
    },
    /// A new run of a worker begins.
    WorkerStarts,
    /// A worker's call reaches a scheduler.
    Call {
        worker: Worker,
        call: Call,
    },
    /// A scheduler's answer reaches the worker.
    Answer {
        worker: Worker,
        answer: Answer,
    },
    /// A message reaches an agent.
    ToAgent {
        desktop: Desktop,
        session: Session,
        message: ToAgent,
    },
    /// A result reaches a worker.
    ToWorker {
        worker: Worker,
        /// The desktop that sends it.
        desktop: Desktop,
        session: Session,
        /// The target that it names.
        target: Target,
        result: TargetResult,
    },
    /// A worker notices that a connection is gone.
    SessionEnds {
        worker: Worker,
        desktop: Desktop,
        session: Session,
    },
    /// An agent notices that its connection is gone.
    AgentLoses {
        desktop: Desktop,
        session: Session,
    },
    AgentConnects {
        desktop: Desktop,
    },
    AgentLeaves {
        desktop: Desktop,
        away_ms: i64,
    },
    AgentReboots {
        desktop: Desktop,
        away_ms: i64,
    },
    AgentReturns {
        desktop: Desktop,
    },
    /// The agent may let its desktop reboot after an acknowledged result.
    PlannedReboot {
        desktop: Desktop,
        /// The boot that ends with it.
        boot: u32,
        /// Time after which the desktop stays up, by the agent's clock.
        until: Timestamp,
    },
    /// The agent of a revoked desktop gets a new certificate.
    AgentEnrols {
        desktop: Desktop,
    },
    /// The turn of an order comes.
    Begins {
        desktop: Desktop,
        task: Task,
        life: u32,
    },
    ScriptEnds {
        desktop: Desktop,
        task: Task,
        life: u32,
        script: u16,
    },
    /// A task of the scenario is submitted.
    Submit {
        project: usize,
        task: usize,
    },
    Operator(Command),
    /// Clocks are set to other offsets.
    ClocksChange,
    /// The database stops answering.
    OutageBegins {
        /// Time in which commits succeed and their answers are lost.
        unknown_ms: i64,
        lasts_ms: i64,
    },
    OutageEnds,
    /// No more faults happen.
    FaultsCease,
    /// A fault happens; its kind is drawn.
    Fault,
}

/// A transaction of a scheduler, decided on at a tick.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Admission {
        task_id: TaskId,
    },
    ForgetWorker {
        worker_id: WorkerId,
        silent_since: Timestamp,
    },
    Perform {
        duty: Duty,
        /// Time up to which silence counts.
        observed_until: Timestamp,
    },
}

/// A command of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Pause(Task),
    Resume(Task),
    Freeze {
        project: usize,
    },
    /// The second transaction of a freeze, which holds everything that is ready.
    SuspendProject {
        project: usize,
    },
    Unfreeze {
        project: usize,
    },
    Stop {
        task: Task,
        kills: bool,
    },
    StopTarget(Target),
    SetConcurrency(Task, Option<u32>),
    SetProjectLimit {
        project: usize,
        max_in_flight: u32,
    },
    Approve {
        task: Task,
        wave: u16,
    },
    Retire {
        desktop: Desktop,
    },
    /// Revokes the certificates of a desktop, which enrols again after a while.
    Revoke {
        desktop: Desktop,
        away_ms: i64,
    },
    RetryTask(Task),
    RetryRecord {
        target: Target,
        script: u16,
    },
}

/// A call of a worker.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Heartbeat {
        draining: bool,
    },
    /// A call that arrives after its deadline is dropped.
    Presence {
        update: u64,
        changes: Vec<Presence>,
        deadline: Timestamp,
    },
    Pull {
        room: u32,
    },
    Renew {
        leases: Vec<(Task, BatchId)>,
    },
    Report {
        report: u64,
        results: Vec<TargetReport>,
        returned: Vec<Returned>,
    },
    Stops,
    Goodbye,
}

/// A desktop that a worker gained or lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presence {
    pub(super) desktop: Desktop,
    /// The connected agent; `None` when the connection is gone.
    pub(super) agent: Option<u32>,
    /// The boot in which the connection was made.
    pub(super) boot: u32,
}

/// The result of a target, as its agent reports it.
#[derive(Debug, Clone)]
pub(super) struct TargetResult {
    pub(super) scripts: Vec<ScriptOutcome>,
    /// Time of the end, by the agent's clock.
    pub(super) ended_at: Option<Timestamp>,
    /// `None` from an honest agent.
    pub(super) poison: Option<Poison>,
    /// The boot that ends with a reboot of the desktop; `None` without one.
    pub(super) reboots_from: Option<u32>,
}

/// The result of a target in a worker's report.
#[derive(Debug, Clone)]
pub(super) struct TargetReport {
    /// The target that it names.
    pub(super) target: Target,
    /// The desktop that sent it.
    pub(super) desktop: Desktop,
    pub(super) batch: Option<BatchId>,
    /// Agent that it comes from.
    pub(super) agent: u32,
    pub(super) result: TargetResult,
}

/// A target that a worker gives back.
#[derive(Debug, Clone)]
pub(super) struct Returned {
    pub(super) target: Target,
    pub(super) batch: BatchId,
    pub(super) handed: bool,
}

/// An answer of a scheduler.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Heartbeat { is_new: bool },
    Presence { update: u64, known: bool },
    Batches(Vec<Leased>),
    Renewed { lost: Vec<BatchId> },
    Reported { report: u64 },
    Stops(Vec<Target>),
}

/// A leased batch.
#[derive(Debug, Clone)]
pub(super) struct Leased {
    pub(super) batch: BatchId,
    pub(super) task: Task,
    pub(super) deliver_by: Timestamp,
    pub(super) query_only: bool,
    /// Maximum number of scripts that run on a desktop at the same time.
    pub(super) max_running: Option<u16>,
    pub(super) members: Vec<Member>,
}

/// A target of a leased batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) ordinal: u32,
    /// The agent that it is for.
    pub(super) agent: u32,
    pub(super) first_script: u16,
    pub(super) is_stopped: bool,
}

/// An order to an agent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) target: Target,
    pub(super) deliver_by: Timestamp,
    pub(super) query_only: bool,
    pub(super) max_running: Option<u16>,
    pub(super) first_script: u16,
    /// Whether it is stopped before it starts.
    pub(super) is_stopped: bool,
}

/// A message to an agent.
#[derive(Debug, Clone, Copy)]
pub(super) enum ToAgent {
    Order(Order),
    /// The result with this number of scripts is stored.
    Acknowledge(Target, usize),
    Stop(Target),
}
