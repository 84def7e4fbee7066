//! Tallies: the numbers of a wave's targets, or of its records, by outcome.

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// Counts by outcome. A wave has one tally of targets, which thresholds use, and one of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    counts: [u32; Outcome::ALL.len()],
}

impl Tally {
    /// Adds one outcome.
    pub fn add(&mut self, outcome: Outcome) {
        self.add_many(outcome, 1);
    }

    /// Adds an outcome `count` times.
    pub fn add_many(&mut self, outcome: Outcome, count: u32) {
        let slot = &mut self.counts[outcome as usize];
        *slot = slot.saturating_add(count);
    }

    /// Adds all counts of another tally.
    pub fn merge(&mut self, other: &Self) {
        for outcome in Outcome::ALL {
            self.add_many(outcome, other.get(outcome));
        }
    }

    /// Returns the count of an outcome.
    pub const fn get(&self, outcome: Outcome) -> u32 {
        self.counts[outcome as usize]
    }

    /// Returns the number of all outcomes.
    pub fn finished(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// Returns the number of outcomes that count as failures by default.
    pub fn failed(&self) -> u32 {
        Outcome::ALL
            .into_iter()
            .filter(|outcome| outcome.counts_as_failure())
            .map(|outcome| self.get(outcome))
            .sum()
    }
}

impl FromIterator<Outcome> for Tally {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        let mut tally = Self::default();
        for outcome in outcomes {
            tally.add(outcome);
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_counts_once_and_six_of_them_as_failures() {
        let tally: Tally = Outcome::ALL.into_iter().collect();
        assert_eq!(tally.finished(), 9);
        assert_eq!(tally.failed(), 6);
        for outcome in Outcome::ALL {
            assert_eq!(tally.get(outcome), 1);
        }
    }

    #[test]
    fn tallies_add_up() {
        let mut sum: Tally = [Outcome::Success, Outcome::Failed].into_iter().collect();
        sum.merge(&[Outcome::Failed, Outcome::Unknown].into_iter().collect());
        assert_eq!((sum.get(Outcome::Failed), sum.finished(), sum.failed()), (2, 4, 3));
    }
}
