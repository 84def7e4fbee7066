//! The object `rollout` of an execution request, as callers send it.

use std::collections::BTreeMap;

use crate::{Error, threshold::Threshold};

/// A threshold as the request contains it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ThresholdRequest {
    /// Number of targets.
    pub count: Option<i64>,
    /// Percentage of the results so far.
    pub percent: Option<f64>,
    /// Minimum number of results before a percentage is judged.
    pub min_results: Option<i64>,
}

impl ThresholdRequest {
    /// Validates a threshold. Error fields are relative to its parent's field `fail_threshold`.
    pub(super) fn check(self) -> Result<Threshold, Error> {
        Threshold::new(self.count, self.percent, self.min_results)
            .map_err(|error| error.within("fail_threshold"))
    }
}

/// A wave as the request contains it: exactly one of `count`, `percent` and `rest`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WaveRequest {
    /// Number of targets.
    pub count: Option<i64>,
    /// Percentage of all targets, rounded up.
    pub percent: Option<f64>,
    /// Whether the wave takes all remaining targets.
    pub rest: Option<bool>,
    /// Failures at which the wave halts the rollout.
    pub fail_threshold: Option<ThresholdRequest>,
}

/// Sampling of the canaries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CanaryRequest {
    /// Attributes over which the sample is stratified: os, pool, zone.
    pub by: Option<Vec<String>>,
    /// Seed of the sample.
    pub seed: Option<u64>,
    /// Whether the sample takes connected desktops before others; `None` for yes.
    pub prefer_connected: Option<bool>,
    /// Ids of members of the first of several waves.
    pub desktop_ids: Option<Vec<String>>,
}

/// Waves that a person must approve, as the request contains them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalRequest {
    /// Numbers of the waves, from 1.
    pub before_waves: Option<Vec<i64>>,
    /// Whether the author of the task may not approve its waves.
    pub distinct_approver: Option<bool>,
}

/// The daily window in which targets may start, as the request contains it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WindowRequest {
    /// Start, as HH:MM.
    pub from: String,
    /// End, as HH:MM; earlier than `from` for a window over midnight.
    pub to: String,
    /// `desktop`, or the name of a time zone.
    pub time_zone: Option<String>,
}

/// The object `rollout` as the request contains it. Every key is optional.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RolloutRequest {
    /// Waves, in order.
    pub waves: Option<Vec<WaveRequest>>,
    /// Failures of all waves together at which the rollout halts.
    pub fail_threshold: Option<ThresholdRequest>,
    /// Whether targets are admitted only while failures and targets in flight stay below the
    /// threshold.
    pub strict: Option<bool>,
    /// Maximum number of targets in flight.
    pub max_concurrency: Option<i64>,
    /// Seconds between the close of a wave and the start of the next one.
    pub soak_seconds: Option<i64>,
    /// Waves that a person must approve.
    pub approval: Option<ApprovalRequest>,
    /// `drain` or `kill`.
    pub on_halt: Option<String>,
    /// Maximum time in seconds that a target waits for its desktop.
    pub delivery_timeout_seconds: Option<i64>,
    /// Percentage of finished targets at which a wave closes while the remaining desktops are
    /// offline.
    pub quorum_percent: Option<f64>,
    /// Percentage of a wave's targets that must succeed before the next wave opens.
    pub min_success_percent: Option<f64>,
    /// Time after which no target starts, in RFC 3339.
    pub expires_at: Option<String>,
    /// Daily window in which targets may start.
    pub window: Option<WindowRequest>,
    /// Weights by outcome: `count` or `ignore`.
    pub outcomes: Option<BTreeMap<String, String>>,
    /// Weights by exit code: `success`, `reboot`, `count`, `ignore` or `halt`.
    pub exit_codes: Option<BTreeMap<String, String>>,
    /// Sampling of the canaries.
    pub canary: Option<CanaryRequest>,
    /// Name of the user that runs the scripts.
    pub run_as_user: Option<String>,
    /// `keep` or `kill`.
    pub cleanup: Option<String>,
    /// `stop` or `reboot`, in lower or upper case.
    pub post_finish: Option<String>,
    /// `wait`, `ask` or `force`.
    pub if_user_active: Option<String>,
    /// Version with which the agent must be attached after the scripts.
    pub agent_version: Option<String>,
    /// Maximum time in seconds from the result to the return of the desktop.
    pub return_timeout_seconds: Option<i64>,
}
