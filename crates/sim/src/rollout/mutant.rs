//! Mutants: deliberate faults, which prove that the simulator notices broken rules.

use engine::{Faults, Rule};

/// A deliberate fault of the engine, of simulated agents and their orders, or of operators' tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// The engine breaks this rule.
    Rule(Rule),
    /// Agents lose their journals when they restart.
    NoJournal,
    /// Orders ignore the expiry of their task.
    StartAfterExpiry,
    /// Agents start targets that they are only asked about.
    StartWhenAsked,
    /// Agents ignore `max_running_per_desktop`.
    IgnoreMaxRunning,
    /// Agents ignore the first script of an order.
    RunEarlierScripts,
    /// A retry takes all targets from their first script on.
    RetryEverything,
    /// A task that was retried can be retried again.
    RetryTwice,
    /// Schedulers take silence for death while the database is down.
    TrustSilence,
    /// Workers keep the outcome of a result that is not valid.
    KeepPoisonedOutcomes,
    /// Schedulers store a task's results together or not at all.
    StoreReportsWhole,
    /// The connection of a retired or revoked desktop stays.
    KeepRetiredConnected,
}

/// Mutants that are not rules of the engine.
const OTHERS: [Mutant; 11] = [
    Mutant::NoJournal,
    Mutant::StartAfterExpiry,
    Mutant::StartWhenAsked,
    Mutant::IgnoreMaxRunning,
    Mutant::RunEarlierScripts,
    Mutant::RetryEverything,
    Mutant::RetryTwice,
    Mutant::TrustSilence,
    Mutant::KeepPoisonedOutcomes,
    Mutant::StoreReportsWhole,
    Mutant::KeepRetiredConnected,
];

impl Mutant {
    /// Every mutant, first those of the engine.
    pub const ALL: [Self; Rule::ALL.len() + OTHERS.len()] = {
        let mut all = [Self::NoJournal; Rule::ALL.len() + OTHERS.len()];
        let mut place = 0;
        while place < all.len() {
            all[place] = if place < Rule::ALL.len() {
                Self::Rule(Rule::ALL[place])
            } else {
                OTHERS[place - Rule::ALL.len()]
            };
            place += 1;
        }
        all
    };
}

/// The mutant of a simulation, as the engine asks for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Breaking(Option<Mutant>);

impl Breaking {
    pub(super) const fn new(mutant: Option<Mutant>) -> Self {
        Self(mutant)
    }
}

impl Faults for Breaking {
    fn breaks(self, rule: Rule) -> bool {
        self.0 == Some(Mutant::Rule(rule))
    }
}
