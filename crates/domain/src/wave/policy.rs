//! The rollout policy of a task. It defines failures, thresholds, the reaction to a halt, the
//! conditions of closing and opening waves, and how desktops run the scripts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    BasisPoints, outcome::Outcome, return_policy::ReturnPolicy, string_enum::string_enum,
    threshold::Threshold, wave_start::StartConditions, window::Window,
};

/// Treatment of running scripts when the gate halts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnHalt {
    /// Running scripts run to their end.
    #[default]
    Drain,
    /// Running scripts are killed.
    Kill,
}

impl OnHalt {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Drain, Self::Kill];

    /// Returns the word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Kill => "kill",
        }
    }
}

string_enum!(OnHalt, "on_halt");

/// Treatment of processes that a script leaves behind at its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleanup {
    /// They live on, as daemons do.
    #[default]
    Keep,
    /// They are killed.
    Kill,
}

impl Cleanup {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Keep, Self::Kill];

    /// Returns the word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Kill => "kill",
        }
    }
}

string_enum!(Cleanup, "cleanup");

/// Weight of a target's result for the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// The result counts as a failure.
    Count,
    /// The result does not count.
    Ignore,
    /// The result halts the rollout immediately, regardless of the thresholds.
    Halt,
}

impl Weight {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Count, Self::Ignore, Self::Halt];

    /// Returns the word in JSON.
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
    /// Failures of all waves together at which the rollout halts; `None` without a threshold.
    pub fail_threshold: Option<Threshold>,
    /// Whether targets are admitted only while failures plus targets in flight stay below the
    /// threshold.
    pub strict: bool,
    /// Treatment of running scripts when the gate halts.
    pub on_halt: OnHalt,
    /// Outcomes whose weight differs from the default.
    pub outcomes: BTreeMap<Outcome, Weight>,
    /// Exit codes whose weight differs from that of FAILED.
    pub exit_codes: BTreeMap<i32, Weight>,
    /// Exit codes besides 0 that are a success.
    pub success_exit_codes: Vec<i32>,
    /// Seconds between the close of a wave and the start of the next one.
    pub soak_seconds: u32,
    /// Waves that a person must approve before they open.
    pub approval: Approval,
    /// Share of finished targets at which a wave closes while the remaining desktops are offline;
    /// `None` without a quorum.
    pub quorum: Option<BasisPoints>,
    /// Share of a wave's targets that must succeed before the next wave opens; `None` for one
    /// target.
    pub min_success: Option<BasisPoints>,
    /// Daily window in which targets may start; `None` for any time.
    pub window: Option<Window>,
    /// User that runs the scripts; `None` for the user that the agent's configuration names.
    pub run_as_user: Option<String>,
    /// Treatment of processes that a script leaves behind.
    pub cleanup: Cleanup,
    /// Reboots, and the condition under which a target ends.
    pub returns: ReturnPolicy,
}

/// Waves that need an approval, and restrictions on the approver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approval {
    /// Numbers of the waves, from 1.
    pub before_waves: BTreeSet<u16>,
    /// Whether the author of the task may not approve its waves.
    pub distinct_approver: bool,
}

impl RolloutPolicy {
    /// Returns the weight of a target's result. The exit code of the deciding script takes
    /// precedence over the outcome.
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

    /// Returns whether a target whose desktop stays offline may count as a failure, either at its
    /// deadline or by a person's stop.
    pub fn counts_away(&self) -> bool {
        [Outcome::Undelivered, Outcome::Stopped].iter().any(|&end| self.weigh(end, None) != Weight::Ignore)
    }

    /// Returns the exit codes with a special weight, as words: success, reboot, count, ignore
    /// or halt.
    pub fn exit_code_words(&self) -> BTreeMap<String, &'static str> {
        let successes = self.success_exit_codes.iter().map(|code| (code.to_string(), "success"));
        let others = self.exit_codes.iter().map(|(code, weight)| (code.to_string(), weight.as_str()));
        let reboots = self.returns.reboot_exit_codes.iter().map(|code| (code.to_string(), "reboot"));
        successes.chain(others).chain(reboots).collect()
    }

    /// Returns the exit codes besides 0 with which a script succeeds.
    pub fn all_success_exit_codes(&self) -> Vec<i32> {
        [&self.success_exit_codes[..], &self.returns.reboot_exit_codes].concat()
    }

    /// Returns the start conditions of a planned wave.
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
