//! Guardrails of a project: requirements that every new task must meet.

use serde::{Serialize, Serializer};

use super::PlannedWave;
use crate::{
    BasisPoints, Error, Reason,
    outcome::Outcome,
    policy::{RolloutPolicy, Weight},
    threshold::Threshold,
};

/// The guardrails of a project. The default requires nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Guardrails {
    /// Maximum number of desktops in the first wave, so that larger tasks begin with a gray wave;
    /// `None` without a limit.
    pub require_canary_above: Option<u32>,
    /// Whether every wave of a task on several desktops needs a failure threshold that it can
    /// reach, of its own or of the task.
    pub require_threshold: bool,
    /// Maximum share of a task's desktops in one wave; `None` without a limit. A wave of one
    /// desktop is always allowed.
    #[serde(serialize_with = "percent")]
    pub max_wave_percent: Option<BasisPoints>,
    /// Whether every execution needs a reason.
    pub require_reason: bool,
    /// Maximum number of desktops that may start before the first wave with an approval; `None`
    /// without a limit.
    pub require_approval_above: Option<u32>,
}

fn percent<S: Serializer>(share: &Option<BasisPoints>, serializer: S) -> Result<S::Ok, S::Error> {
    share.map(BasisPoints::percent).serialize(serializer)
}

/// Returns whether a wave has a failure threshold that it can reach: its own, or that of the task,
/// which has `total` targets.
pub fn has_threshold(own: Option<Threshold>, size: u32, of_task: Option<Threshold>, total: u32) -> bool {
    own.is_some_and(|threshold| threshold.is_reachable_in(size))
        || of_task.is_some_and(|threshold| threshold.is_reachable_in(total))
}

impl Guardrails {
    /// Returns whether no guardrail is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks a planned task. `has_reason` tells whether the request has a reason.
    ///
    /// # Errors
    ///
    /// Each guardrail has its own [`Reason`], and the message names it. The field is the one that
    /// fixes the request.
    pub fn check(
        &self,
        waves: &[PlannedWave],
        policy: &RolloutPolicy,
        has_reason: bool,
    ) -> Result<(), Error> {
        self.check_retry(waves, policy, has_reason, 0)
    }

    /// Checks a retry of a task on `targets` desktops. Shares of waves are of that task, so that a
    /// retry of the few failures of a small wave is allowed.
    ///
    /// # Errors
    ///
    /// As for [`Self::check`].
    pub fn check_retry(
        &self,
        waves: &[PlannedWave],
        policy: &RolloutPolicy,
        has_reason: bool,
        targets: u32,
    ) -> Result<(), Error> {
        if self.require_reason && !has_reason {
            let message = "the guardrail require_reason of the project requires a reason: say why it runs";
            return Err(Error::field(Reason::ReasonRequired, "reason", message));
        }
        self.check_canary(waves)?;
        self.check_sizes(waves, targets.max(total(waves)))?;
        self.check_thresholds(waves, policy)?;
        self.check_approval(waves, policy)
    }

    fn check_canary(&self, waves: &[PlannedWave]) -> Result<(), Error> {
        let first = waves.first().map_or(0, |wave| wave.size);
        let Some(most) = self.require_canary_above.filter(|most| first > *most) else { return Ok(()) };
        let message = format!(
            "the first wave has {first} desktops; the guardrail require_canary_above of the project allows \
             {most}: begin with a gray wave of at most {most}"
        );
        Err(Error::field(Reason::CanaryRequired, "gray_count", message))
    }

    fn check_sizes(&self, waves: &[PlannedWave], total: u32) -> Result<(), Error> {
        let Some(share) = self.max_wave_percent else { return Ok(()) };
        let most = share.share_of(total).max(1);
        let Some(large) = waves.iter().find(|wave| wave.size > most) else { return Ok(()) };
        let message = format!(
            "wave {} has {} of {total} desktops; the guardrail max_wave_percent of the project allows {most} \
             ({share} %): define more and smaller waves",
            large.wave, large.size
        );
        Err(Error::field(Reason::WaveTooLarge, "rollout.waves", message))
    }

    /// A failure in a task on one desktop has nothing left to halt.
    fn check_thresholds(&self, waves: &[PlannedWave], policy: &RolloutPolicy) -> Result<(), Error> {
        let total = total(waves);
        if !self.require_threshold || total <= 1 {
            return Ok(());
        }
        let ignored = [Outcome::Failed, Outcome::Timeout, Outcome::Unknown]
            .into_iter()
            .find(|outcome| policy.weigh(*outcome, None) == Weight::Ignore);
        if let Some(outcome) = ignored {
            let message = format!(
                "{outcome} counts as no failure, so no threshold stops a rollout that ends so; the guardrail \
                 require_threshold of the project requires one: count {outcome} as a failure"
            );
            return Err(Error::field(Reason::ThresholdRequired, "rollout.outcomes", message));
        }
        let lacks = |wave: &&PlannedWave| {
            !has_threshold(wave.fail_threshold, wave.size, policy.fail_threshold, total)
        };
        let Some(wave) = waves.iter().find(lacks) else { return Ok(()) };
        let message = format!(
            "wave {} with {} of {total} desktops has no failure threshold that can be reached; the guardrail \
             require_threshold of the project requires one: set one for the wave or for the task",
            wave.wave, wave.size
        );
        Err(Error::field(Reason::ThresholdRequired, "rollout.fail_threshold", message))
    }

    fn check_approval(&self, waves: &[PlannedWave], policy: &RolloutPolicy) -> Result<(), Error> {
        let Some(most) = self.require_approval_above else { return Ok(()) };
        let mut started = 0_u32;
        for wave in waves.iter().take_while(|wave| !policy.approval.before_waves.contains(&wave.wave)) {
            started = started.saturating_add(wave.size);
            if started > most {
                let message = format!(
                    "{started} desktops start up to wave {} without an approval; the guardrail \
                     require_approval_above of the project allows {most}: require an approval before wave {} \
                     or earlier",
                    wave.wave, wave.wave
                );
                return Err(Error::field(Reason::ApprovalRequired, "rollout.approval.before_waves", message));
            }
        }
        Ok(())
    }
}

fn total(waves: &[PlannedWave]) -> u32 {
    waves.iter().map(|wave| wave.size).fold(0, u32::saturating_add)
}

#[cfg(test)]
#[path = "guardrails_tests.rs"]
mod tests;
