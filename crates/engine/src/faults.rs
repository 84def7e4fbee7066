//! Deliberate faults: the simulator breaks one rule at a time to prove that it would notice.
//!
//! Every operation is generic over [`Faults`]. Release binaries use [`NoFaults`], a type without a size whose answer is a
//! constant, so that the compiler removes every branch that asks for a fault.

/// Which rules are broken.
pub trait Faults: Copy + Send + Sync + 'static {
    /// Whether this rule is broken.
    fn breaks(self, rule: Rule) -> bool;
}

/// No rule is broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn breaks(self, _: Rule) -> bool {
        false
    }
}

/// A rule, named by the way in which a fault breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Takes the gate's halt for a hold, and for a close when all results are in.
    IgnoreHalt,
    /// Counts no UNDELIVERED target as a failure.
    UndeliveredIgnored,
    /// Reaches a threshold only with one failure more.
    ReachedMeansMore,
    /// Admits targets of a paused or frozen task.
    AdmitWhileBlocked,
    /// Leases held batches.
    LeaseWhileSuspended,
    /// Forgets that a lost batch was leased before.
    ForgetEpochs,
    /// Hands what a former agent may have started to the agent that replaced it.
    ForgetAgents,
    /// Opens the next wave without its soak.
    SkipSoak,
    /// Opens a wave without its approval.
    IgnoreApproval,
    /// Ends the last wave on a quorum, too.
    QuorumOnLastWave,
    /// Leaves deferred targets out of strict mode.
    StrictForgetsWaiting,
    /// Counts a result that comes again.
    CountTwice,
    /// Closes a wave when half of its results are in.
    CloseWithMissing,
    /// Goes on admitting after a stop.
    AdmitAfterStop,
    /// Ignores `max_concurrency`.
    IgnoreConcurrency,
    /// Ignores failures of a wave after it was closed on a quorum.
    NoLateHalt,
    /// Withdraws what may have been handed out at a halt, too.
    WithdrawDelivered,
    /// Withdraws no batch at a halt.
    WithdrawNothing,
    /// Enforces no deadline.
    ForgetDeadlines,
    /// Hands out targets whose window is closed.
    IgnoreWindow,
    /// Ends as UNDELIVERED what may have been handed out.
    UnknownAsUndelivered,
    /// Replaces the first result of a target by the last one.
    LastWordWins,
    /// Hands out what was ready before a hold although its window has closed.
    ReleaseIgnoresWindow,
    /// Takes returned targets back as if the results of the same report had changed nothing.
    StaleStatus,
    /// Does not look at the quorum when targets are deferred.
    QuorumUnnoticed,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 25] = [
        Self::IgnoreHalt,
        Self::UndeliveredIgnored,
        Self::ReachedMeansMore,
        Self::AdmitWhileBlocked,
        Self::LeaseWhileSuspended,
        Self::ForgetEpochs,
        Self::ForgetAgents,
        Self::SkipSoak,
        Self::IgnoreApproval,
        Self::QuorumOnLastWave,
        Self::StrictForgetsWaiting,
        Self::CountTwice,
        Self::CloseWithMissing,
        Self::AdmitAfterStop,
        Self::IgnoreConcurrency,
        Self::NoLateHalt,
        Self::WithdrawDelivered,
        Self::WithdrawNothing,
        Self::ForgetDeadlines,
        Self::IgnoreWindow,
        Self::UnknownAsUndelivered,
        Self::LastWordWins,
        Self::ReleaseIgnoresWindow,
        Self::StaleStatus,
        Self::QuorumUnnoticed,
    ];
}
