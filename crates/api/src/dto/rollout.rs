//! The object `rollout` in the body of every request that runs something. It carries settings that
//! the published fields cannot express.

use std::{collections::BTreeMap, fmt};

use domain::rollout::{
    ApprovalRequest, CanaryRequest, RolloutRequest, ThresholdRequest, WaveRequest, WindowRequest,
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use utoipa::ToSchema;

/// Number or percentage of failures at which the rollout halts. Exactly one of `count` and
/// `percent` is required.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Threshold {
    /// Number of failed targets.
    #[schema(minimum = 1, maximum = 1_000_000)]
    count: Option<i64>,
    /// Percentage of failed targets among the results so far; at most two decimals.
    #[schema(exclusive_minimum = 0, maximum = 100)]
    percent: Option<f64>,
    /// Number of results before `percent` applies; default 1.
    #[schema(minimum = 1, maximum = 1_000_000)]
    min_results: Option<i64>,
}

impl From<Threshold> for ThresholdRequest {
    fn from(given: Threshold) -> Self {
        Self { count: given.count, percent: given.percent, min_results: given.min_results }
    }
}

/// Size of a wave. Exactly one of `count`, `percent` and `rest` is required.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wave {
    /// Number of targets.
    #[schema(minimum = 1, maximum = 1_000_000)]
    count: Option<i64>,
    /// Percentage of all targets, rounded up; at most two decimals.
    #[schema(exclusive_minimum = 0, maximum = 100)]
    percent: Option<f64>,
    /// All remaining targets. Allowed only in the last wave.
    rest: Option<bool>,
    /// Failure threshold of this wave.
    fail_threshold: Option<Threshold>,
}

/// Selection of the canaries, the first of several waves.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Canary {
    /// Attributes that stratify the sample: `os`, `pool`, `zone`; default all three.
    #[schema(max_items = 3)]
    by: Option<Vec<String>>,
    /// Seed of the selection. The same seed and the same desktops, connected as before, produce the
    /// same plan.
    seed: Option<u64>,
    /// Take connected desktops of each stratum first; default true.
    prefer_connected: Option<bool>,
    /// Members of the first of several waves, in order; a sample fills the rest of the wave.
    /// Excludes the gray fields, which name members of their own.
    #[schema(max_items = 1_000_000)]
    desktop_ids: Option<Vec<String>>,
}

/// Waves that require an approval before they open.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalRule {
    /// Numbers of the waves, from 1.
    #[schema(required = true, min_items = 1, max_items = 100)]
    before_waves: Option<Vec<i64>>,
    /// The principal that submitted the task may not approve its waves.
    distinct_approver: Option<bool>,
}

/// Time window in which targets may start.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Window {
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    from: String,
    /// End of the window. If earlier than `from`, the window spans midnight.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    to: String,
    /// IANA time zone of the window, such as `Europe/Berlin`. The default `desktop` uses each
    /// desktop's own time zone.
    time_zone: Option<String>,
}

/// Weights by key. A key that occurs twice is refused: JSON parsers would silently take the last
/// one.
#[derive(Debug, Clone)]
struct Weights(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Weights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WeightsVisitor)
    }
}

struct WeightsVisitor;

impl<'de> Visitor<'de> for WeightsVisitor {
    type Value = Weights;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Weights, A::Error> {
        let mut weights = BTreeMap::new();
        while let Some((key, weight)) = entries.next_entry::<String, String>()? {
            if weights.contains_key(&key) {
                let key = domain::error::cut(&key, 64);
                return Err(A::Error::custom(format_args!("the key {key:?} occurs twice")));
            }
            weights.insert(key, weight);
        }
        Ok(Weights(weights))
    }
}

/// Rollout settings that the published fields cannot express. With `waves`, the gray fields must be
/// absent. Without `waves`, the gray fields define the first wave. Unknown keys are refused.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollout {
    /// Waves, filled in order until no target is left.
    #[schema(min_items = 1, max_items = 100)]
    waves: Option<Vec<Wave>>,
    /// Failure threshold over all waves together.
    fail_threshold: Option<Threshold>,
    /// Admit targets only while failures plus targets in flight stay below the thresholds. The
    /// number of failures can then never exceed a threshold.
    strict: Option<bool>,
    /// Maximum number of targets in flight.
    #[schema(minimum = 1, maximum = 1_000_000)]
    max_concurrency: Option<i64>,
    /// Seconds between the end of a wave and the start of the next wave.
    #[schema(minimum = 0, maximum = 2_592_000)]
    soak_seconds: Option<i64>,
    approval: Option<ApprovalRule>,
    /// Treatment of running targets when the gate halts: `drain` (default) or `kill`.
    #[schema(pattern = "^(drain|kill)$")]
    on_halt: Option<String>,
    /// Seconds that a target waits for its desktop to connect.
    #[schema(minimum = 1, maximum = 2_592_000)]
    delivery_timeout_seconds: Option<i64>,
    /// Percentage of finished targets at which a wave closes while the remaining desktops are
    /// offline. Does not apply to the last wave.
    #[schema(exclusive_minimum = 0, maximum = 100)]
    quorum_percent: Option<f64>,
    /// Percentage of a wave's targets that must succeed before the next wave opens. Without it, one
    /// success is enough.
    #[schema(exclusive_minimum = 0, maximum = 100)]
    min_success_percent: Option<f64>,
    /// Time after which no target starts.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    window: Option<Window>,
    /// Weight of each outcome: `count` or `ignore`.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    outcomes: Option<Weights>,
    /// Weight of each exit code: `success`, `reboot`, `count`, `ignore` or `halt`. The keys are
    /// numbers of 32 bits other than 0, without leading zeros.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    exit_codes: Option<Weights>,
    canary: Option<Canary>,
    /// User that runs the scripts on the desktops; default the one that the agent's configuration
    /// names. Requires the action `graywave:users:runAs` on `user:NAME`.
    #[schema(max_length = 32, pattern = "^[a-z_][a-z0-9_.-]*\\$?$")]
    run_as_user: Option<String>,
    /// Treatment of processes that a script leaves behind: `keep` (default) or `kill`.
    #[schema(pattern = "^(keep|kill)$")]
    cleanup: Option<String>,
    /// Action on each desktop after its last script: `stop` or `reboot`. A desktop that reboots has
    /// to return: its target ends when its agent is attached with another boot id.
    #[schema(pattern = "^(stop|reboot|STOP|REBOOT)$")]
    post_finish: Option<String>,
    /// Treatment of a person who uses the desktop when it is to reboot or to be powered off: `wait`
    /// (default), `ask` or `force`.
    #[schema(pattern = "^(wait|ask|force)$")]
    if_user_active: Option<String>,
    /// Version with which the agent must be attached after the scripts; otherwise the target ends
    /// as NOT_RETURNED.
    #[schema(min_length = 1, max_length = 64)]
    agent_version: Option<String>,
    /// Seconds from the result in which the desktop has to return; default 900.
    #[schema(minimum = 1, maximum = 86_400)]
    return_timeout_seconds: Option<i64>,
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
            min_success_percent: given.min_success_percent,
            expires_at: given.expires_at,
            window: given.window.map(|window| WindowRequest {
                from: window.from,
                to: window.to,
                time_zone: window.time_zone,
            }),
            on_halt: given.on_halt,
            delivery_timeout_seconds: given.delivery_timeout_seconds,
            outcomes: given.outcomes.map(|weights| weights.0),
            exit_codes: given.exit_codes.map(|weights| weights.0),
            canary: given.canary.map(|canary| CanaryRequest {
                by: canary.by,
                seed: canary.seed,
                prefer_connected: canary.prefer_connected,
                desktop_ids: canary.desktop_ids,
            }),
            run_as_user: given.run_as_user,
            cleanup: given.cleanup,
            post_finish: given.post_finish,
            if_user_active: given.if_user_active,
            agent_version: given.agent_version,
            return_timeout_seconds: given.return_timeout_seconds,
        }
    }
}
