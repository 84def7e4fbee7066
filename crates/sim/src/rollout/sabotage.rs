//! Sabotage: deliberate faults, to prove that the simulator would notice a broken rule.

use engine::{Faults, Rule};

/// A deliberate fault: of the engine, or of simulated agents and their orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sabotage {
    /// The gate's halt is taken for a hold, and for a close when all are in.
    IgnoreHalt,
    /// UNDELIVERED counts for nothing, whatever the task says.
    UndeliveredIgnored,
    /// A threshold is reached only by more than it says.
    ReachedMeansMore,
    /// A paused or frozen task admits.
    AdmitWhileHeld,
    /// What is held is leased.
    LeaseWhileHeld,
    /// That a batch was leased before is forgotten when its lease is lost.
    ForgetEpochs,
    /// Agents forget what they had started when they restart.
    NoJournal,
    /// What a former agent may have started is handed to the agent that replaced it.
    ForgetAgents,
    /// The next wave opens at once.
    SkipSoak,
    /// A wave opens without the approval it needs.
    IgnoreApproval,
    /// The last wave, too, is over with a quorum.
    QuorumOnLastWave,
    /// Strict mode does not count who is away.
    StrictForgetsWaiting,
    /// A result that comes again is counted again.
    CountTwice,
    /// A wave is closed when half of it is in.
    CloseWithMissing,
    /// A stopped task goes on admitting.
    AdmitAfterStop,
    /// `max_concurrency` is ignored.
    IgnoreConcurrency,
    /// What comes of a wave after it was closed on a quorum is not looked at.
    NoLateHalt,
    /// Orders do not say when their task expires.
    StartAfterExpiry,
    /// A halt withdraws what may have been handed out, too.
    WithdrawHanded,
    /// A halt withdraws nothing.
    WithdrawNothing,
    /// Agents start what they were only asked about.
    StartWhenAsked,
    /// Deadlines are enforced by nobody.
    ForgetDeadlines,
    /// Orders do not say when their window closes.
    IgnoreWindow,
    /// What time made UNKNOWN is written down as UNDELIVERED.
    UnknownAsUndelivered,
    /// The last result replaces the first.
    LastWordWins,
    /// What was ready when a task was held is handed out as it is when the hold ends, although its window has closed.
    ReleaseIgnoresWindow,
    /// Targets that come back in the report whose results halt the task are kept as if it went on.
    StaleStatus,
    /// That the others are a quorum is not noticed when the last target of a wave turns out to be away.
    QuorumUnnoticed,
}

impl Sabotage {
    /// Every fault.
    pub const ALL: [Self; 28] = [
        Self::IgnoreHalt,
        Self::UndeliveredIgnored,
        Self::ReachedMeansMore,
        Self::AdmitWhileHeld,
        Self::LeaseWhileHeld,
        Self::ForgetEpochs,
        Self::NoJournal,
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
        Self::StartAfterExpiry,
        Self::WithdrawHanded,
        Self::WithdrawNothing,
        Self::StartWhenAsked,
        Self::ForgetDeadlines,
        Self::IgnoreWindow,
        Self::UnknownAsUndelivered,
        Self::LastWordWins,
        Self::ReleaseIgnoresWindow,
        Self::StaleStatus,
        Self::QuorumUnnoticed,
    ];

    /// The engine's rule that it breaks; `None` for a fault of simulated agents and orders.
    const fn rule(self) -> Option<Rule> {
        Some(match self {
            Self::NoJournal | Self::StartAfterExpiry | Self::StartWhenAsked => return None,
            Self::IgnoreHalt => Rule::IgnoreHalt,
            Self::UndeliveredIgnored => Rule::UndeliveredIgnored,
            Self::ReachedMeansMore => Rule::ReachedMeansMore,
            Self::AdmitWhileHeld => Rule::AdmitWhileHeld,
            Self::LeaseWhileHeld => Rule::LeaseWhileHeld,
            Self::ForgetEpochs => Rule::ForgetEpochs,
            Self::ForgetAgents => Rule::ForgetAgents,
            Self::SkipSoak => Rule::SkipSoak,
            Self::IgnoreApproval => Rule::IgnoreApproval,
            Self::QuorumOnLastWave => Rule::QuorumOnLastWave,
            Self::StrictForgetsWaiting => Rule::StrictForgetsWaiting,
            Self::CountTwice => Rule::CountTwice,
            Self::CloseWithMissing => Rule::CloseWithMissing,
            Self::AdmitAfterStop => Rule::AdmitAfterStop,
            Self::IgnoreConcurrency => Rule::IgnoreConcurrency,
            Self::NoLateHalt => Rule::NoLateHalt,
            Self::WithdrawHanded => Rule::WithdrawHanded,
            Self::WithdrawNothing => Rule::WithdrawNothing,
            Self::ForgetDeadlines => Rule::ForgetDeadlines,
            Self::IgnoreWindow => Rule::IgnoreWindow,
            Self::UnknownAsUndelivered => Rule::UnknownAsUndelivered,
            Self::LastWordWins => Rule::LastWordWins,
            Self::ReleaseIgnoresWindow => Rule::ReleaseIgnoresWindow,
            Self::StaleStatus => Rule::StaleStatus,
            Self::QuorumUnnoticed => Rule::QuorumUnnoticed,
        })
    }
}

/// The deliberate fault of a story, as the engine asks for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deliberate(Option<Rule>);

impl Deliberate {
    pub(super) const fn new(sabotage: Option<Sabotage>) -> Self {
        match sabotage {
            Some(sabotage) => Self(sabotage.rule()),
            None => Self(None),
        }
    }
}

impl Faults for Deliberate {
    fn breaks(self, rule: Rule) -> bool {
        self.0 == Some(rule)
    }
}
