//! The object `rollout` in the body of every call that runs something: all that the published fields cannot say.

use std::collections::BTreeMap;

use domain::rollout::{
    ApprovalRequest, CanaryRequest, RolloutRequest, ThresholdRequest, WaveRequest, WindowRequest,
};
use serde::Deserialize;
use utoipa::ToSchema;

/// Failures at which the rollout halts: exactly one of `count` and `percent`.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Threshold {
    /// So many targets.
    #[schema(minimum = 1, maximum = 1_000_000)]
    count: Option<i64>,
    /// A share of the results so far; at most two decimals.
    #[schema(exclusive_minimum = 0, maximum = 100)]
    percent: Option<f64>,
    /// Results that the share waits for; 1 when it is left out.
    #[schema(minimum = 1, maximum = 1_000_000)]
    min_results: Option<i64>,
}

impl From<Threshold> for ThresholdRequest {
    fn from(given: Threshold) -> Self {
        Self { count: given.count, percent: given.percent, min_results: given.min_results }
    }
}

/// A wave: exactly one of `count`, `percent` and `rest`.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wave {
    /// So many targets.
    #[schema(minimum = 1, maximum = 1_000_000)]
    count: Option<i64>,
    /// A share of all targets, rounded up; at most two decimals.
    #[schema(exclusive_minimum = 0, maximum = 100)]
    percent: Option<f64>,
    /// All that are left; the last wave only.
    rest: Option<bool>,
    /// Over this wave.
    fail_threshold: Option<Threshold>,
}

/// How the canaries, which are the first of several waves, are drawn.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Canary {
    /// What the sample is stratified over: os, pool, zone; all three when it is left out.
    #[schema(max_items = 3)]
    by: Option<Vec<String>>,
    /// What it is drawn with; the same seed over the same desktops is the same plan.
    seed: Option<u64>,
}

/// Waves that a person must approve before they open.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalRule {
    /// By number, from 1.
    #[schema(required = true, min_items = 1, max_items = 100)]
    before_waves: Option<Vec<i64>>,
    /// Whoever asks for the task may not approve them.
    distinct_approver: Option<bool>,
}

/// When targets may start.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    from: String,
    /// Earlier than `from` for a window that goes over midnight.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    to: String,
    /// `desktop` (when it is left out): each desktop's own; or one for all, like `Europe/Berlin`.
    time_zone: Option<String>,
}

/// What the published fields cannot say. With `waves`, the gray fields must be absent; without them, they make the first
/// wave. A key that is not known is refused.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollout {
    /// Filled in order until no target is left.
    #[schema(min_items = 1, max_items = 100)]
    waves: Option<Vec<Wave>>,
    /// Over all waves together.
    fail_threshold: Option<Threshold>,
    /// Admit targets only while failures and targets in flight together stay under the thresholds: no more than those
    /// can ever fail.
    strict: Option<bool>,
    /// Targets in flight at most.
    #[schema(minimum = 1, maximum = 1_000_000)]
    max_concurrency: Option<i64>,
    /// Seconds after a wave before the next one opens.
    #[schema(minimum = 0, maximum = 2_592_000)]
    soak_seconds: Option<i64>,
    approval: Option<ApprovalRule>,
    /// What becomes of what runs when the gate halts: drain (the default) or kill.
    #[schema(pattern = "^(drain|kill)$")]
    on_halt: Option<String>,
    /// How long a target waits for its desktop.
    #[schema(minimum = 1, maximum = 2_592_000)]
    delivery_timeout_seconds: Option<i64>,
    /// A share of a wave's targets with which it is over although the missing ones are away; not of the last wave.
    #[schema(exclusive_minimum = 0, maximum = 100)]
    quorum_percent: Option<f64>,
    /// Nothing is started after it.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    window: Option<Window>,
    /// What outcomes count as: count or ignore.
    outcomes: Option<BTreeMap<String, String>>,
    /// What exit codes count as: success, count, ignore or halt.
    exit_codes: Option<BTreeMap<String, String>>,
    canary: Option<Canary>,
}

impl From<Rollout> for RolloutRequest {
    fn from(given: Rollout) -> Self {
        let wave = |wave: Wave| WaveRequest {
            count: wave.count,
            percent: wave.percent,
            rest: wave.rest,
            fail_threshold: wave.fail_threshold.map(ThresholdRequest::from),
        };
        Self {
            waves: given.waves.map(|waves| waves.into_iter().map(wave).collect()),
            fail_threshold: given.fail_threshold.map(ThresholdRequest::from),
            strict: given.strict,
            max_concurrency: given.max_concurrency,
            soak_seconds: given.soak_seconds,
            approval: given.approval.map(|rule| ApprovalRequest {
                before_waves: rule.before_waves,
                distinct_approver: rule.distinct_approver,
            }),
            quorum_percent: given.quorum_percent,
            expires_at: given.expires_at,
            window: given.window.map(|window| WindowRequest {
                from: window.from,
                to: window.to,
                time_zone: window.time_zone,
            }),
            on_halt: given.on_halt,
            delivery_timeout_seconds: given.delivery_timeout_seconds,
            outcomes: given.outcomes,
            exit_codes: given.exit_codes,
            canary: given.canary.map(|canary| CanaryRequest { by: canary.by, seed: canary.seed }),
        }
    }
}
