//! Deliberate faults. The simulator breaks one rule at a time to prove that its checks detect the
//! violation.
//!
//! Every operation is generic over [`Faults`]. Release binaries use [`NoFaults`], a zero-sized type
//! with a constant answer. The compiler therefore removes every branch that asks for a fault.

/// Selects the rules that are broken deliberately.
pub trait Faults: Copy + Send + Sync + 'static {
    /// Returns whether `rule` is broken.
    fn breaks(self, rule: Rule) -> bool;
}

/// Breaks no rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn breaks(self, _: Rule) -> bool {
        false
    }
}

/// A rule, named after the way in which a fault breaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Treats the gate's halt as a hold, or as a close once all results are in.
    IgnoreHalt,
    /// Does not count an UNDELIVERED target as a failure.
    UndeliveredIgnored,
    /// Reaches a threshold one failure too late.
    ReachedMeansMore,
    /// Admits targets of a paused or frozen task.
    AdmitWhileBlocked,
    /// Leases suspended batches.
    LeaseWhileSuspended,
    /// Forgets that a lost batch was leased before.
    ForgetEpochs,
    /// Dispatches targets to a replacement agent although the former agent may have started them.
    ForgetAgents,
    /// Opens the next wave without its soak.
    SkipSoak,
    /// Opens a wave without its approval.
    IgnoreApproval,
    /// Opens the next wave although no target of the previous one succeeded.
    OpenWithoutEvidence,
    /// Applies the quorum to the last wave as well.
    QuorumOnLastWave,
    /// Excludes deferred targets from strict mode.
    StrictForgetsWaiting,
    /// Counts a repeated result twice.
    CountTwice,
    /// Closes a wave when half of its results are in.
    CloseWithMissing,
    /// Admits targets after a stop.
    AdmitAfterStop,
    /// Ignores `max_concurrency`.
    IgnoreConcurrency,
    /// Ignores `max_in_flight` of a project.
    IgnoreProjectLimit,
    /// Ignores failures of a wave that closed on a quorum.
    NoLateHalt,
    /// A halt also withdraws targets that may have been delivered.
    WithdrawDelivered,
    /// A halt withdraws no batch.
    WithdrawNothing,
    /// Enforces no deadline.
    ForgetDeadlines,
    /// Ends targets of connected desktops as UNDELIVERED because their worker is full.
    FullWorkerLosesTargets,
    /// Dispatches targets whose window is closed.
    IgnoreWindow,
    /// Ends targets as UNDELIVERED although they may have been delivered.
    UnknownAsUndelivered,
    /// Replaces the first result of a target with the last one.
    LastWordWins,
    /// Dispatches targets after a suspension although their window has closed.
    ReleaseIgnoresWindow,
    /// Takes returned targets back under the status from before the results of the same report.
    StaleStatus,
    /// Does not check the quorum when targets are deferred.
    QuorumUnnoticed,
    /// Leases the oldest batches first, however many targets of their task the worker holds.
    FirstComeFirstLeased,
    /// Keeps targets of retired and revoked desktops until their delivery deadline.
    OutOfServiceWaits,
    /// Ends a target with its result although the return of its desktop is awaited.
    EndWithoutReturn,
    /// Waits for ever for a desktop that does not come back.
    ForgetReturnDeadline,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 32] = [
        Self::IgnoreHalt,
        Self::UndeliveredIgnored,
        Self::ReachedMeansMore,
        Self::AdmitWhileBlocked,
        Self::LeaseWhileSuspended,
        Self::ForgetEpochs,
        Self::ForgetAgents,
        Self::SkipSoak,
        Self::IgnoreApproval,
        Self::OpenWithoutEvidence,
        Self::QuorumOnLastWave,
        Self::StrictForgetsWaiting,
        Self::CountTwice,
        Self::CloseWithMissing,
        Self::AdmitAfterStop,
        Self::IgnoreConcurrency,
        Self::IgnoreProjectLimit,
        Self::NoLateHalt,
        Self::WithdrawDelivered,
        Self::WithdrawNothing,
        Self::ForgetDeadlines,
        Self::FullWorkerLosesTargets,
        Self::IgnoreWindow,
        Self::UnknownAsUndelivered,
        Self::LastWordWins,
        Self::ReleaseIgnoresWindow,
        Self::StaleStatus,
        Self::QuorumUnnoticed,
        Self::FirstComeFirstLeased,
        Self::OutOfServiceWaits,
        Self::EndWithoutReturn,
        Self::ForgetReturnDeadline,
    ];
}
