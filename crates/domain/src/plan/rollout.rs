//! Validation of the object `rollout` in an execution request, which extends the published fields.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, TimeDelta};

use crate::{
    BasisPoints, Error, FieldPath, Timestamp, limits,
    outcome::Outcome,
    policy::{Approval, Cleanup, OnHalt, RolloutPolicy, Weight},
    stratum::StratumKey,
    threshold::Threshold,
    window::Window,
};

pub use super::request::{
    ApprovalRequest, CanaryRequest, RolloutRequest, ThresholdRequest, WaveRequest, WindowRequest,
};
use super::{
    canary::Canaries,
    distinct::distinct,
    exit_codes::{ExitCodes, check_exit_codes},
    returns::{ReturnRequest, check_returns},
    user_name::check_run_as_user,
};

/// The size of a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaveSize {
    /// Number of targets.
    Count(u32),
    /// Share of all targets, rounded up.
    Share(BasisPoints),
    /// All remaining targets.
    Rest,
}

/// A validated wave of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaveSpec {
    /// Size of the wave.
    pub size: WaveSize,
    /// Failures at which the wave halts the rollout; `None` without a threshold.
    pub fail_threshold: Option<Threshold>,
}

/// A validated rollout object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Waves; `None` if the request defines none.
    pub waves: Option<Vec<WaveSpec>>,
    /// Rules that decide what counts as a failure, when to halt, and what follows.
    pub policy: RolloutPolicy,
    /// Maximum number of targets in flight; `None` without a limit.
    pub max_concurrency: Option<u32>,
    /// Maximum time that a target waits for its desktop; `None` for the default.
    pub delivery_timeout: Option<TimeDelta>,
    /// Time after which no target starts; `None` without an expiry.
    pub expires_at: Option<Timestamp>,
    /// Selection of the canaries.
    pub canaries: Canaries,
    /// Seed of the sample; `None` for a random one.
    pub seed: Option<u64>,
}

impl RolloutRequest {
    /// Validates the object on its own. Error fields are relative to the object.
    pub fn check(self) -> Result<Rollout, Error> {
        let fail_threshold = self.fail_threshold.map(ThresholdRequest::check).transpose()?;
        let waves = self.waves.map(check_waves).transpose()?;
        let canary = self.canary.unwrap_or_default();
        let ExitCodes { weights, successes, reboots } =
            check_exit_codes(self.exit_codes.unwrap_or_default())?;
        let returns = ReturnRequest {
            post_finish: self.post_finish,
            if_user_active: self.if_user_active,
            agent_version: self.agent_version,
            timeout_seconds: self.return_timeout_seconds,
            reboot_exit_codes: reboots,
        };
        let policy = RolloutPolicy {
            fail_threshold,
            strict: self.strict.unwrap_or(false),
            on_halt: self.on_halt.as_deref().map_or(Ok(OnHalt::Drain), |word| {
                word.parse().map_err(|error: Error| error.within("on_halt"))
            })?,
            outcomes: check_outcomes(self.outcomes.unwrap_or_default())?,
            exit_codes: weights,
            success_exit_codes: successes,
            soak_seconds: self.soak_seconds.map_or(Ok(0), check_soak)?,
            approval: self.approval.map_or_else(|| Ok(Approval::default()), check_approval)?,
            quorum: check_percent("quorum_percent", self.quorum_percent)?,
            min_success: check_percent("min_success_percent", self.min_success_percent)?,
            window: self.window.map(check_window).transpose()?,
            run_as_user: self.run_as_user.map(check_run_as_user).transpose()?,
            cleanup: self.cleanup.as_deref().map_or(Ok(Cleanup::Keep), |word| {
                word.parse().map_err(|error: Error| error.within("cleanup"))
            })?,
            returns: check_returns(returns)?,
        };
        Ok(Rollout {
            waves,
            policy,
            expires_at: self.expires_at.map(|text| check_expiry(&text)).transpose()?,
            max_concurrency: self.max_concurrency.map(max_concurrency).transpose()?,
            delivery_timeout: self.delivery_timeout_seconds.map(check_delivery).transpose()?,
            seed: canary.seed,
            canaries: check_canaries(canary).map_err(|error| error.within("canary"))?,
        })
    }
}

fn check_percent(field: &'static str, percent: Option<f64>) -> Result<Option<BasisPoints>, Error> {
    percent.map(|percent| BasisPoints::from_percent(percent).map_err(|error| error.within(field))).transpose()
}

fn check_waves(waves: Vec<WaveRequest>) -> Result<Vec<WaveSpec>, Error> {
    if waves.is_empty() || waves.len() > limits::MAX_WAVES {
        let message = format!("{} waves are given: 1 to {} are allowed", waves.len(), limits::MAX_WAVES);
        return Err(Error::out_of_range("waves", message));
    }
    let last = waves.len() - 1;
    let waves = waves.into_iter().enumerate().map(|(place, wave)| {
        check_wave(wave, place == last).map_err(|error| error.within(FieldPath::from("waves").index(place)))
    });
    waves.collect()
}

/// Validates one wave. Error fields are relative to the wave.
fn check_wave(wave: WaveRequest, is_last: bool) -> Result<WaveSpec, Error> {
    let size = match (wave.count, wave.percent, wave.rest) {
        (Some(count), None, None) => {
            let size = u32::try_from(count).ok().filter(|count| *count > 0).map(WaveSize::Count);
            size.ok_or_else(|| Error::out_of_range("count", format!("{count} is out of range: at least 1")))?
        }
        (None, Some(percent), None) => {
            WaveSize::Share(BasisPoints::from_percent(percent).map_err(|error| error.within("percent"))?)
        }
        (None, None, Some(true)) if is_last => WaveSize::Rest,
        (None, None, Some(true)) => {
            return Err(Error::invalid("rest", "only the last wave can take the rest"));
        }
        _ => {
            return Err(Error::unreadable("exactly one of a count, a percentage and the rest is required"));
        }
    };
    let fail_threshold = wave.fail_threshold.map(ThresholdRequest::check).transpose()?;
    Ok(WaveSpec { size, fail_threshold })
}

fn check_outcomes(outcomes: BTreeMap<String, String>) -> Result<BTreeMap<Outcome, Weight>, Error> {
    outcomes
        .into_iter()
        .map(|(outcome, weight)| {
            let field = || FieldPath::from("outcomes").key(&outcome);
            let outcome: Outcome = outcome.parse().map_err(|error: Error| error.within("outcomes"))?;
            match (outcome, weight.as_str()) {
                (Outcome::Success, _) => Err(Error::invalid(field(), "a success never counts as a failure")),
                (_, "count") => Ok((outcome, Weight::Count)),
                (_, "ignore") => Ok((outcome, Weight::Ignore)),
                _ => Err(Error::invalid(field(), "must be count or ignore")),
            }
        })
        .collect()
}

/// Validates `max_concurrency` of a request or of a running task.
pub fn max_concurrency(most: i64) -> Result<u32, Error> {
    u32::try_from(most)
        .ok()
        .filter(|most| (1..=limits::MAX_TARGETS_PER_TASK).contains(&(*most as usize)))
        .ok_or_else(|| {
            let message = format!("{most} is out of range: 1 to {}", limits::MAX_TARGETS_PER_TASK);
            Error::out_of_range("max_concurrency", message)
        })
}

fn check_delivery(seconds: i64) -> Result<TimeDelta, Error> {
    if (1..=limits::MAX_DELIVERY_TIMEOUT_SECONDS).contains(&seconds) {
        return Ok(TimeDelta::seconds(seconds));
    }
    let message =
        format!("{seconds} seconds are out of range: 1 to {}", limits::MAX_DELIVERY_TIMEOUT_SECONDS);
    Err(Error::out_of_range("delivery_timeout_seconds", message))
}

fn check_soak(seconds: i64) -> Result<u32, Error> {
    u32::try_from(seconds).ok().filter(|seconds| *seconds <= limits::MAX_SOAK_SECONDS).ok_or_else(|| {
        let message = format!("{seconds} seconds are out of range: 0 to {}", limits::MAX_SOAK_SECONDS);
        Error::out_of_range("soak_seconds", message)
    })
}

/// Field of the waves that need an approval.
const BEFORE_WAVES: &str = "approval.before_waves";

/// Validates the approval. [`check_approval_waves`] checks later that the waves exist.
fn check_approval(approval: ApprovalRequest) -> Result<Approval, Error> {
    let before_waves = approval.before_waves.unwrap_or_default().into_iter().map(|wave| {
        let number =
            u16::try_from(wave).ok().filter(|&wave| (1..=limits::MAX_WAVES).contains(&usize::from(wave)));
        number.ok_or_else(|| {
            let message = format!("wave {wave} is out of range: 1 to {}", limits::MAX_WAVES);
            Error::out_of_range(BEFORE_WAVES, message)
        })
    });
    let before_waves: BTreeSet<u16> = before_waves.collect::<Result<_, _>>()?;
    if before_waves.is_empty() {
        return Err(Error::required(BEFORE_WAVES, "name at least one wave, like 2"));
    }
    Ok(Approval { before_waves, distinct_approver: approval.distinct_approver.unwrap_or(false) })
}

fn check_window(window: WindowRequest) -> Result<Window, Error> {
    Window::new(&window.from, &window.to, window.time_zone.as_deref().unwrap_or("desktop"))
        .map_err(|error| error.within("window"))
}

fn check_expiry(text: &str) -> Result<Timestamp, Error> {
    DateTime::parse_from_rfc3339(text).map(|moment| moment.to_utc()).map_err(|_| {
        let message = format!("{:?} is not a time like 2026-12-01T00:00:00Z", crate::error::shorten(text));
        Error::invalid("expires_at", message)
    })
}

/// Checks the expiry of a new task. A task that has already expired would start nothing.
pub fn check_not_expired(expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), Error> {
    match expires_at {
        Some(expires_at) if expires_at <= now => {
            let moment = |at: Timestamp| at.to_rfc3339_opts(SecondsFormat::Secs, true);
            let message = format!("{} is not in the future: it is {}", moment(expires_at), moment(now));
            Err(Error::invalid("expires_at", message))
        }
        Some(_) | None => Ok(()),
    }
}

/// Checks that the waves to approve exist among the requested or planned waves.
pub fn check_approval_waves(approval: &Approval, waves: usize) -> Result<(), Error> {
    match approval.before_waves.last() {
        Some(&last) if usize::from(last) > waves => {
            let message = format!("wave {last} does not exist: the rollout has {waves} waves");
            Err(Error::out_of_range(BEFORE_WAVES, message))
        }
        Some(_) | None => Ok(()),
    }
}

/// Validates the selection of the canaries. Error fields are relative to the object.
fn check_canaries(canary: CanaryRequest) -> Result<Canaries, Error> {
    Ok(Canaries {
        by: canary.by.map_or(Ok(StratumKey::ALL.to_vec()), check_by)?,
        prefer_connected: canary.prefer_connected.unwrap_or(true),
        ids: distinct("desktop_ids", canary.desktop_ids.unwrap_or_default())?,
    })
}

fn check_by(words: Vec<String>) -> Result<Vec<StratumKey>, Error> {
    let mut by = Vec::new();
    for word in words {
        let key: StratumKey = word.parse().map_err(|error: Error| error.within("by"))?;
        if !by.contains(&key) {
            by.push(key);
        }
    }
    Ok(by)
}

/// Returns the sizes of waves over `total` targets, filled in order. Waves without targets are
/// omitted. Targets that fit in no wave are an error of the client.
pub fn sizes(waves: &[WaveSpec], total: u32) -> Result<Vec<(u32, Option<Threshold>)>, Error> {
    let mut left = total;
    let mut sizes = Vec::new();
    for wave in waves {
        let wanted = match wave.size {
            WaveSize::Count(count) => count,
            WaveSize::Share(share) => share.share_of(total),
            WaveSize::Rest => left,
        };
        let size = wanted.min(left);
        if size > 0 {
            sizes.push((size, wave.fail_threshold));
            left -= size;
        }
    }
    if left > 0 {
        let message = format!("the waves leave {left} of {total} targets over: end with a wave of the rest");
        return Err(Error::invalid("waves", message));
    }
    Ok(sizes)
}

/// Checks that every percentage can be judged. `min_results` must not exceed the size of its wave,
/// or of the task for the task's threshold.
///
/// `waves` are the planned sizes, in order.
pub fn check_min_results(policy: &RolloutPolicy, waves: &[(u32, Option<Threshold>)]) -> Result<(), Error> {
    let total = waves.iter().map(|(size, _)| size).sum();
    check_min_results_within(policy.fail_threshold, "the task", total)?;
    for (place, &(size, threshold)) in waves.iter().enumerate() {
        check_min_results_within(threshold, &format!("wave {}", place + 1), size)
            .map_err(|error| error.within(FieldPath::from("waves").index(place)))?;
    }
    Ok(())
}

fn check_min_results_within(threshold: Option<Threshold>, what: &str, size: u32) -> Result<(), Error> {
    match threshold.and_then(Threshold::min_results) {
        Some(min_results) if min_results > size => {
            let desktops = if size == 1 { "desktop" } else { "desktops" };
            let message = format!(
                "{min_results} is larger than {what}, which has {size} {desktops}: use at most {size}"
            );
            Err(Error::out_of_range("fail_threshold.min_results", message))
        }
        _ => Ok(()),
    }
}

/// Checks that strict mode has a count to enforce in every wave.
pub fn check_strict(policy: &RolloutPolicy, waves: &[Option<Threshold>]) -> Result<(), Error> {
    let has_count = |threshold: &Option<Threshold>| threshold.and_then(Threshold::count).is_some();
    if !policy.strict || has_count(&policy.fail_threshold) || waves.iter().all(has_count) {
        return Ok(());
    }
    let message = "strict mode needs a failure threshold with a count, for the task or for every wave: \
                   a percentage gives no fixed number";
    Err(Error::invalid("strict", message))
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
