//! Returns of desktops, against their real boots.

use domain::{outcome::Outcome, return_policy::PostFinish};

use super::{Context, Invariants};
use crate::rollout::{
    coverage::{Coverage, Feature},
    event::{ScriptOutcome, of_target},
};

impl Invariants {
    /// A target that lets its desktop reboot succeeds only after the reboot, and fails by it only
    /// after the deadline. Its stored results are never lost again.
    pub(super) fn returned(&mut self, ordinal: u32, scripts: &[ScriptOutcome], context: &Context<'_>) {
        let outcome = of_target(scripts).0;
        let target = self.target(ordinal).clone();
        let has_rebooted = target.announced.is_none_or(|boot| boot < (context.boot_of)(ordinal));
        let must_reboot = self.policy.returns.post_finish == Some(PostFinish::Reboot);
        if outcome == Outcome::Success && (must_reboot || target.awaited.is_some()) {
            let is_back = has_rebooted && (target.announced.is_some() || !must_reboot);
            self.must(is_back, "a target whose desktop reboots succeeds only after its return", || {
                format!("target {ordinal} is recorded as {scripts:?} in boot {:?}", target.announced)
            });
        }
        let Some((until, stored)) = &target.awaited else { return };
        if outcome == Outcome::NotReturned {
            let is_over = context.now + context.skew * 2 + context.longest_lag >= *until;
            self.must(is_over, "a desktop has its whole time to return", || {
                format!("target {ordinal} is NOT_RETURNED before {until}")
            });
        }
        let is_kept = stored.iter().zip(scripts).all(|(before, now)| {
            before == now || now.0 == Outcome::NotReturned && stored.len() == scripts.len()
        });
        self.must(is_kept, "stored results are in the records", || {
            format!("target {ordinal} is recorded as {scripts:?}, and {stored:?} was stored")
        });
    }

    /// Remaining scripts may start only after the reboot.
    pub(super) fn resumed(&mut self, ordinal: u32, context: &Context<'_>, coverage: &mut Coverage) {
        coverage.add(Feature::Resumed);
        let target = self.target(ordinal);
        // A worker reported its results and lived, so that the deaths before are not its fault.
        target.worker_deaths = 0;
        let announced = target.announced;
        let has_rebooted = announced.is_some_and(|boot| boot < (context.boot_of)(ordinal));
        self.must(has_rebooted, "remaining scripts wait for the reboot", || {
            format!("target {ordinal} continues in boot {announced:?}")
        });
    }
}
