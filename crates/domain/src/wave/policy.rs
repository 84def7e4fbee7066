//! What a task says of its rollout: what counts as a failure, when it is too much and what then, and when a wave is over and
//! the next one opens.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    outcome::Outcome, string_enum::string_enum, threshold::Threshold, wave_start::StartConditions,
    window::Window,
};

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

string_enum!(OnHalt, "on_halt");

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

string_enum!(Weight, "weight");

/// The policy of a task, decided once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutPolicy {
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
    /// Seconds after a wave before the next one opens.
    pub soak_seconds: u32,
    /// Waves that a person must approve before they open.
    pub approval: Approval,
    /// Hundredths of a percent of a wave's targets with which it is over although the missing ones are away.
    pub quorum: Option<u32>,
    /// When targets may start.
    pub window: Option<Window>,
}

/// Which waves a person must approve, and who.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approval {
    /// These.
    pub before_waves: BTreeSet<u16>,
    /// Whoever asked for the task may not.
    pub distinct_approver: bool,
}

impl RolloutPolicy {
    /// What the end of a target means: the exit code of the script that decided it is looked at first, then its
    /// outcome.
    pub fn weigh(&self, outcome: Outcome, exit_code: Option<i32>) -> Weight {
        if outcome == Outcome::Failed
            && let Some(code) = exit_code
        {
            if self.success_exit_codes.contains(&code) {
                return Weight::Ignore;
            }
            if let Some(weight) = self.exit_codes.get(&code) {
                return *weight;
            }
        }
        let default = if outcome.counts_as_failure() { Weight::Count } else { Weight::Ignore };
        self.outcomes.get(&outcome).copied().unwrap_or(default)
    }

    /// Whether a target whose desktop stays away may count as a failure: when its time is over, or when a person stops it
    /// before.
    pub fn counts_away(&self) -> bool {
        [Outcome::Undelivered, Outcome::Stopped].iter().any(|&end| self.weigh(end, None) != Weight::Ignore)
    }

    /// Exit codes that weigh otherwise than FAILED does, in words: success, count, ignore or halt.
    pub fn exit_code_words(&self) -> BTreeMap<String, &'static str> {
        let successes = self.success_exit_codes.iter().map(|code| (code.to_string(), "success"));
        let others = self.exit_codes.iter().map(|(code, weight)| (code.to_string(), weight.as_str()));
        successes.chain(others).collect()
    }

    /// What a wave of the plan needs before it opens.
    pub fn opening_of(&self, wave: u16) -> StartConditions {
        StartConditions {
            needs_approval: self.approval.before_waves.contains(&wave),
            ..StartConditions::default()
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
