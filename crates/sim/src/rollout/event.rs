//! What may happen in a story, and the messages in it.

use domain::{
    Timestamp,
    ids::{BatchId, TaskId, WorkerId},
    outcome::Outcome,
};
use engine::Duty;

/// A worker: one run of its process. A worker that comes back is another one.
pub(super) type Worker = usize;
/// A connection between an agent and a worker.
pub(super) type Session = u64;

/// How one script ended, with its exit code.
pub(super) type Ended = (Outcome, Option<i32>);

/// The outcome of a target from those of its scripts, and the exit code of the script that decided.
pub(super) fn of_target(scripts: &[Ended]) -> Ended {
    let decider = scripts.iter().find(|(outcome, _)| *outcome != Outcome::Success);
    let outcome = Outcome::of_target(scripts.iter().map(|(outcome, _)| *outcome));
    (outcome, decider.and_then(|(_, code)| *code))
}

/// Something that happens.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A scheduler looks for targets to cut.
    CutTick {
        scheduler: usize,
    },
    /// A scheduler looks for what time has done.
    ReapTick {
        scheduler: usize,
    },
    /// A scheduler does what it decided on when it looked.
    Act {
        scheduler: usize,
        life: u32,
        now: Timestamp,
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
    Tell {
        worker: Worker,
    },
    Flush {
        worker: Worker,
    },
    /// A report was not answered in time.
    SendAgain {
        worker: Worker,
        report: u64,
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
        ordinal: u32,
        session: Session,
        message: ToAgent,
    },
    /// A result reaches a worker.
    ToWorker {
        worker: Worker,
        ordinal: u32,
        session: Session,
        results: Vec<Ended>,
    },
    /// Who came and went was not answered in time.
    TellAgain {
        worker: Worker,
        tell: u64,
    },
    /// A worker notices that a connection is gone.
    SessionEnds {
        worker: Worker,
        ordinal: u32,
        session: Session,
    },
    /// An agent notices the same.
    AgentLoses {
        ordinal: u32,
        session: Session,
    },
    AgentConnects {
        ordinal: u32,
    },
    AgentLeaves {
        ordinal: u32,
        away_ms: i64,
    },
    AgentReboots {
        ordinal: u32,
        away_ms: i64,
    },
    AgentReturns {
        ordinal: u32,
    },
    /// An order's turn has come.
    Begins {
        ordinal: u32,
        life: u32,
    },
    ScriptEnds {
        ordinal: u32,
        life: u32,
        script: u16,
    },
    Person(Wish),
    /// Nothing breaks any more.
    FaultsCease,
    /// The dice decide which fault is next.
    Fault,
}

/// What a scheduler does in one transaction, from what it saw before.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Admission { task_id: TaskId },
    ForgetWorker { worker_id: WorkerId, last_heartbeat_before: Timestamp },
    Perform(Duty),
}

/// What a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Pause,
    Resume,
    Freeze,
    /// The second half of a freeze: what is ready is held.
    SuspendProject,
    Unfreeze,
    Stop {
        kill: bool,
    },
    StopTarget(u32),
    Concurrency(Option<u32>),
    Approve(u16),
}

/// What workers ask of schedulers.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Heartbeat {
        draining: bool,
    },
    /// Nothing comes of one that arrives after its deadline.
    Presence {
        tell: u64,
        changes: Vec<Presence>,
        deadline: Timestamp,
    },
    Pull {
        room: u32,
    },
    Renew {
        leases: Vec<BatchId>,
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
    pub(super) ordinal: u32,
    /// The agent that is connected; `None` when the connection is gone.
    pub(super) agent: Option<u32>,
}

/// How all scripts of a target ended.
#[derive(Debug, Clone)]
pub(super) struct TargetReport {
    pub(super) ordinal: u32,
    pub(super) batch: Option<BatchId>,
    /// Agent that it comes from.
    pub(super) agent: u32,
    pub(super) scripts: Vec<Ended>,
}

/// A target that a worker gives back.
#[derive(Debug, Clone)]
pub(super) struct Returned {
    pub(super) ordinal: u32,
    pub(super) batch: BatchId,
    pub(super) handed: bool,
}

/// What schedulers answer.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Heartbeat { is_new: bool },
    Presence { tell: u64, known: bool },
    Batches(Vec<Leased>),
    Renewed { lost: Vec<BatchId> },
    Reported { report: u64 },
    Stops(Vec<u32>),
}

/// A batch in a worker's hands.
#[derive(Debug, Clone)]
pub(super) struct Leased {
    pub(super) batch: BatchId,
    pub(super) order: Order,
    pub(super) ordinals: Vec<u32>,
    /// The agents that they are for, in their order.
    pub(super) agents: Vec<u32>,
    /// Those of them that are to be stopped.
    pub(super) stops: Vec<u32>,
}

/// What a target's agent is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) deliver_by: Timestamp,
    pub(super) query_only: bool,
    /// It is to be stopped before it starts.
    pub(super) stop: bool,
}

/// What reaches an agent.
#[derive(Debug, Clone, Copy)]
pub(super) enum ToAgent {
    Order(Order),
    Ack,
    Stop,
}
