//! What a task says of its results: what counts as a failure, when it is too much, and what then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{outcome::Outcome, threshold::Threshold, words::words};

/// What becomes of what runs when the gate halts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnHalt {
    /// It runs to its end.
    #[default]
    Drain,
    /// It is ended.
    Kill,
}

impl OnHalt {
    /// Every word.
    pub const ALL: [Self; 2] = [Self::Drain, Self::Kill];

    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Kill => "kill",
        }
    }
}

words!(OnHalt, "on_halt");

/// What a target's end means for the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// It counts as a failure.
    Count,
    /// It does not count.
    Ignore,
    /// It halts the rollout at once, whatever the thresholds say.
    Halt,
}

impl Weight {
    /// Every word.
    pub const ALL: [Self; 3] = [Self::Count, Self::Ignore, Self::Halt];

    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Ignore => "ignore",
            Self::Halt => "halt",
        }
    }
}

words!(Weight, "weight");

/// The policy of a task, decided once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatePolicy {
    /// Failures of all waves together at which it halts.
    pub fail_threshold: Option<Threshold>,
    /// Targets are admitted only while failures and targets in flight together stay under the threshold.
    pub strict: bool,
    /// What becomes of what runs when the gate halts.
    pub on_halt: OnHalt,
    /// Outcomes that weigh otherwise than they do by default.
    pub outcomes: BTreeMap<Outcome, Weight>,
    /// Exit codes that weigh otherwise than FAILED does.
    pub exit_codes: BTreeMap<i32, Weight>,
    /// Exit codes that are a success, beside 0.
    pub success_exit_codes: Vec<i32>,
}

impl GatePolicy {
    /// What the end of a target means: the exit code of the script that decided it is looked at first, then its
    /// outcome.
    pub fn weigh(&self, outcome: Outcome, exit_code: Option<i32>) -> Weight {
        if outcome == Outcome::Failed
            && let Some(weight) = exit_code.and_then(|code| self.exit_codes.get(&code))
        {
            return *weight;
        }
        let default = if outcome.counts_as_failure() { Weight::Count } else { Weight::Ignore };
        self.outcomes.get(&outcome).copied().unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_the_outcomes_weigh_as_the_design_says() {
        let policy = GatePolicy::default();
        for outcome in Outcome::ALL {
            let expected = if outcome.counts_as_failure() { Weight::Count } else { Weight::Ignore };
            assert_eq!(policy.weigh(outcome, Some(1)), expected, "{outcome}");
        }
    }

    #[test]
    fn an_exit_code_is_looked_at_before_its_outcome() {
        let policy = GatePolicy {
            outcomes: [(Outcome::Failed, Weight::Ignore), (Outcome::Undelivered, Weight::Ignore)].into(),
            exit_codes: [(42, Weight::Halt), (75, Weight::Count)].into(),
            ..GatePolicy::default()
        };
        assert_eq!(policy.weigh(Outcome::Failed, Some(42)), Weight::Halt);
        assert_eq!(policy.weigh(Outcome::Failed, Some(75)), Weight::Count);
        assert_eq!(policy.weigh(Outcome::Failed, Some(1)), Weight::Ignore);
        assert_eq!(policy.weigh(Outcome::Failed, None), Weight::Ignore);
        assert_eq!(policy.weigh(Outcome::Undelivered, None), Weight::Ignore);
        assert_eq!(
            policy.weigh(Outcome::Timeout, Some(42)),
            Weight::Count,
            "an exit code of a killed script is none"
        );
    }

    #[test]
    fn it_is_read_back() {
        let policy = GatePolicy {
            fail_threshold: Some(Threshold::Count(3)),
            strict: true,
            on_halt: OnHalt::Kill,
            outcomes: [(Outcome::Unknown, Weight::Ignore)].into(),
            exit_codes: [(-1, Weight::Halt)].into(),
            success_exit_codes: vec![3010],
        };
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<GatePolicy>(&text).unwrap(), policy, "{text}");
        assert_eq!(serde_json::from_str::<GatePolicy>("{}").unwrap(), GatePolicy::default());
    }
}
