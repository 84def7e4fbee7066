//! Sabotage: deliberate faults, to prove that the simulator would notice a broken rule.

use engine::{Faults, Rule};

/// A deliberate fault: of the engine, or of simulated agents and their orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sabotage {
    /// The engine breaks this rule.
    Rule(Rule),
    /// Agents forget what they had started when they restart.
    NoJournal,
    /// Orders do not say when their task expires.
    StartAfterExpiry,
    /// Agents start what they were only asked about.
    StartWhenAsked,
}

impl Sabotage {
    /// Every fault: the engine's first.
    pub const ALL: [Self; Rule::ALL.len() + 3] = {
        let mut all = [Self::NoJournal; Rule::ALL.len() + 3];
        let mut place = 0;
        while place < Rule::ALL.len() {
            all[place] = Self::Rule(Rule::ALL[place]);
            place += 1;
        }
        all[place + 1] = Self::StartAfterExpiry;
        all[place + 2] = Self::StartWhenAsked;
        all
    };
}

/// The deliberate fault of a story, as the engine asks for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deliberate(Option<Sabotage>);

impl Deliberate {
    pub(super) const fn new(sabotage: Option<Sabotage>) -> Self {
        Self(sabotage)
    }
}

impl Faults for Deliberate {
    fn breaks(self, rule: Rule) -> bool {
        self.0 == Some(Sabotage::Rule(rule))
    }
}
