//! Records, against what really happened on the desktops.

use chrono::TimeDelta;
use domain::outcome::Outcome;
use engine::row::TaskFacts;

use super::{Context, Invariants, Target};
use crate::{
    memory::TaskTable,
    rollout::{
        coverage::{Coverage, Feature},
        event::{ScriptOutcome, of_target},
    },
};

/// Time in which a connected desktop certainly gets its orders, besides the delivery timeout.
const SLACK: TimeDelta = TimeDelta::minutes(2);

impl Invariants {
    /// A full worker, or one that has not pulled yet, makes no target of a connected desktop
    /// UNDELIVERED.
    pub(super) fn undelivered(
        &mut self,
        ordinal: u32,
        scripts: &[ScriptOutcome],
        table: &TaskTable,
        context: &Context<'_>,
    ) {
        let TaskFacts { timeouts, expires_at, policy, .. } = &table.facts;
        let is_limited = policy.window.is_some() || expires_at.is_some();
        if of_target(scripts).0 != Outcome::Undelivered || is_limited {
            return;
        }
        let Some(since) = (context.connected_since)(ordinal) else { return };
        let connected = context.now - since;
        let most = timeouts.delivery + context.longest_lag + context.skew * 2 + SLACK;
        self.must(connected < most, "UNDELIVERED is only what was not connected", || {
            format!("target {ordinal} is UNDELIVERED, and its desktop was connected for {connected}")
        });
    }

    pub(super) fn recorded(
        &mut self,
        ordinal: u32,
        scripts: &[ScriptOutcome],
        table: &TaskTable,
        is_explained: bool,
        coverage: &mut Coverage,
    ) {
        let end = of_target(scripts);
        let before = self.target(ordinal).outcome;
        self.must(before.is_none(), "a target ends in exactly one outcome", || {
            format!("target {ordinal} was {before:?} and is {end:?}")
        });
        let is_admitted = self.target(ordinal).admitted;
        self.must(is_admitted, "only what was admitted has a record", || {
            format!("target {ordinal}: {end:?}")
        });
        self.target(ordinal).outcome = Some(end);
        let weight = self.weight(end.0, end.1);
        let count = &mut self.counts[Self::wave_of(table, ordinal)];
        count.ended += 1;
        count.succeeded += u32::from(end.0 == Outcome::Success);
        count.failed += u32::from(weight.is_some());
        count.halting += u32::from(weight == Some(true));
        let target = self.targets[ordinal as usize].clone();
        let (holds, invariant) =
            agrees(&target, scripts, is_explained, table.facts.killing || target.stopped);
        self.must(holds && (end.0 != Outcome::Skipped || self.is_cut_short), invariant, || {
            format!("target {ordinal} is recorded as {scripts:?}, and really it was {:?}", target.scripts)
        });
        let is_unknown = end.0 == Outcome::Unknown;
        self.must(!target.is_poisoned || is_unknown, "a poisoned result ends its target as UNKNOWN", || {
            format!("target {ordinal} is recorded as {scripts:?}")
        });
        match end.0 {
            Outcome::Undelivered => coverage.add(Feature::Undelivered),
            Outcome::Unknown => coverage.add(Feature::Unknown),
            Outcome::Timeout => coverage.add(Feature::Timeout),
            Outcome::Rejected => coverage.add(Feature::Rejected),
            Outcome::Stopped => coverage.add(Feature::StoppedTarget),
            Outcome::Skipped => coverage.add(Feature::Skipped),
            Outcome::Success => coverage.add(Feature::Success),
            Outcome::Failed => coverage.add(Feature::Failed),
            Outcome::NotReturned => coverage.add(Feature::NotReturned),
        }
    }
}

/// Whether a record can be true of a target, and the invariant that it breaks where it cannot.
fn agrees(
    target: &Target,
    scripts: &[ScriptOutcome],
    is_explained: bool,
    may_be_stopped: bool,
) -> (bool, &'static str) {
    let outcome = of_target(scripts).0;
    if outcome == Outcome::Undelivered {
        return (!target.has_started(), "UNDELIVERED is only what certainly never started");
    }
    if outcome == Outcome::Unknown && !is_explained && !target.is_poisoned {
        return (false, "UNKNOWN is only what a fault explains");
    }
    let is_true = |(place, (written, real)): (usize, (&ScriptOutcome, &(u32, Option<ScriptOutcome>)))| {
        match written.0 {
            // An earlier attempt ran it.
            Outcome::Success if place < target.first_script => real.0 == 0,
            _ if place < target.first_script => false,
            Outcome::Success | Outcome::Failed | Outcome::Timeout => real.1 == Some(*written),
            Outcome::Rejected | Outcome::Skipped => real.0 == 0,
            Outcome::Stopped => may_be_stopped && (real.0 == 0 || real.1 == Some(*written)),
            Outcome::Unknown => true,
            // The last script succeeded, or a script was to start after the reboot.
            Outcome::NotReturned => {
                target.awaited.is_some()
                    && (real.0 == 0 || real.1.is_some_and(|end| end.0 == Outcome::Success))
            }
            Outcome::Undelivered => false,
        }
    };
    (scripts.iter().zip(&target.scripts).enumerate().all(is_true), "a record says what really happened")
}
