//! Ends targets past their deadline as UNDELIVERED or UNKNOWN, and those whose desktop cannot
//! connect any more. Targets that only wait for a slot get more time.

use domain::{
    Timestamp,
    batching::{LocatedTarget, Member},
    outcome::Outcome,
    quarantine,
};

use super::{
    Engine,
    reclaim::{TakenBatch, place_again},
};
use crate::{
    Decision, DueTimes, Duty, Effect, Faults, Rows, Rule, TargetDetail, TargetSelection,
    rollout::{Rollout, Targets},
    row::{BatchTerms, DeferredRow, NewRecord, OutOfService},
};

impl<F: Faults> Engine<F> {
    /// Ends the targets of a batch that passed a deadline. Returns `None` when the batch is no
    /// longer overdue.
    pub(super) async fn expire_batch<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        times: DueTimes,
    ) -> Result<Option<Decision>, R::Error> {
        let taken = self.take_away(rows, duty, times.now, |batch| batch.is_overdue(times)).await?;
        let Some(TakenBatch { mut rollout, terms, members, mut targets, .. }) = taken else {
            return Ok(None);
        };
        // The deadline of a ready batch may be the end of its window.
        let overdue = wait_for_next_window(&mut rollout, &terms, members, &targets);
        let overdue = wait_for_worker(&mut rollout, &terms, overdue, &targets);
        let because = |member: &Member| {
            let target = targets.get(&member.ordinal)?;
            target.out_of_service().filter(|_| !terms.maybe_delivered)
        };
        let overdue = overdue.into_iter().map(|member| Overdue { terms, because: because(&member), member });
        let overdue = overdue.collect();
        self.end_overdue(rows, &mut rollout, overdue, &mut targets).await?;
        Ok(Some(rollout.decide()))
    }

    /// Ends the overdue targets among the deferred targets of a duty.
    pub(super) async fn expire_deferred<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        times: DueTimes,
    ) -> Result<Option<Decision>, R::Error> {
        let Some((mut rollout, others)) = self.load_deferred(rows, duty, times.now).await? else {
            return Ok(None);
        };
        let mut overdue = Vec::new();
        let waits = rollout.breaks(Rule::OutOfServiceWaits);
        for row in others {
            let because = row.ends_early().filter(|_| !row.suspended && !waits);
            if because.is_some() || row.is_overdue(times) {
                rollout.undefer(row.terms.wave, row.member.ordinal, row.terms.maybe_delivered);
                overdue.push(Overdue { terms: row.terms, member: row.member, because });
            }
        }
        let ordinals: Vec<u32> = overdue.iter().map(|target| target.member.ordinal).collect();
        let selection = TargetSelection::Ordinals(&ordinals);
        let mut targets = self.targets(rows, &mut rollout, selection, TargetDetail::Plain).await?;
        self.end_overdue(rows, &mut rollout, overdue, &mut targets).await?;
        Ok(Some(rollout.decide()))
    }

    /// Extends the deadlines of deferred targets that only wait for a slot.
    pub(super) async fn put_off<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        now: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        Ok(self.load_deferred(rows, duty, now).await?.map(|(rollout, _)| rollout.decide()))
    }

    /// Reads the deferred targets of a duty. Extends those that only wait for a slot, and returns
    /// the rest.
    async fn load_deferred<R: Rows>(
        &self,
        rows: &mut R,
        duty: &Duty,
        now: Timestamp,
    ) -> Result<Option<(Rollout<F>, Vec<DeferredRow>)>, R::Error> {
        let Duty { task_id, ordinals, .. } = duty;
        let Some(mut rollout) = self.load(rows, *task_id, ordinals, now).await? else { return Ok(None) };
        let deferred = rows.deferred(*task_id, ordinals).await?;
        let (waits, others): (Vec<_>, Vec<_>) =
            deferred.into_iter().partition(|row| row.waits_for_place(now));
        put_off(&mut rollout, &waits);
        Ok(Some((rollout, others)))
    }

    async fn end_overdue<R: Rows>(
        &self,
        rows: &mut R,
        rollout: &mut Rollout<F>,
        overdue: Vec<Overdue>,
        targets: &mut Targets,
    ) -> Result<(), R::Error> {
        self.load_kept_results(rows, rollout, targets).await?;
        let records = records(rollout, &overdue);
        if !records.is_empty() && !rollout.facts.status.is_ended() {
            self.prepare_failures(rows, rollout).await?;
            rollout.effect(Effect::Overdue { targets: u32::try_from(overdue.len()).unwrap_or(u32::MAX) });
            rollout.count(targets, records);
        }
        self.settle(rows, rollout).await
    }
}

fn put_off<F: Faults>(rollout: &mut Rollout<F>, deferred: &[DeferredRow]) {
    let (now, delivery) = (rollout.now, rollout.facts.timeouts.delivery);
    let later = deferred.iter().map(|row| {
        let deadlines = row.terms.deadlines;
        (row.member.ordinal, deadlines.later(row.put_off(now, delivery) - deadlines.deliver_by))
    });
    rollout.changes().deferred.set_deadlines.extend(later);
}

/// Defers undelivered targets to the next window if their window closed. Returns the targets that
/// are overdue.
fn wait_for_next_window<F: Faults>(
    rollout: &mut Rollout<F>,
    terms: &BatchTerms,
    members: Vec<Member>,
    targets: &Targets,
) -> Vec<Member> {
    if terms.maybe_delivered || rollout.facts.status.admits_no_more() || rollout.facts.policy.window.is_none()
    {
        return members;
    }
    let placed = place_again(rollout, &members, targets, false);
    let (waits, overdue): (Vec<LocatedTarget>, Vec<LocatedTarget>) =
        placed.into_iter().partition(|target| rollout.missed_window(target, &terms.deadlines));
    let fresh = rollout.fresh(terms);
    // The targets were never delivered, so no agent that received them can have been replaced.
    let _never_replaced = rollout.dispatch_to_workers(&fresh, waits);
    members
        .into_iter()
        .filter(|member| overdue.iter().any(|target| target.ordinal == member.ordinal))
        .collect()
}

/// Gives undelivered targets more time if their desktops are connected: their worker is full, or
/// has not pulled them yet. Returns the targets that are overdue. After [`BUSY_WAIT`] all of them
/// are.
///
/// [`BUSY_WAIT`]: domain::deadline::BUSY_WAIT
fn wait_for_worker<F: Faults>(
    rollout: &mut Rollout<F>,
    terms: &BatchTerms,
    members: Vec<Member>,
    targets: &Targets,
) -> Vec<Member> {
    let is_over = terms.maybe_delivered || terms.wait_until <= rollout.now;
    if is_over || rollout.facts.status.admits_no_more() || rollout.breaks(Rule::FullWorkerLosesTargets) {
        return members;
    }
    let now = rollout.now;
    let is_connected = |target: &LocatedTarget| {
        let presence = targets.get(&target.ordinal).and_then(|row| row.presence.as_ref());
        presence.is_some_and(|presence| presence.was_connected(now))
    };
    let placed = place_again(rollout, &members, targets, false);
    let (waits, overdue): (Vec<LocatedTarget>, Vec<LocatedTarget>) =
        placed.into_iter().partition(is_connected);
    let renewed = rollout.renewed(terms);
    // The targets were never delivered, so no agent that received them can have been replaced.
    let _never_replaced = rollout.dispatch_to_workers(&renewed, waits);
    members
        .into_iter()
        .filter(|member| overdue.iter().any(|target| target.ordinal == member.ordinal))
        .collect()
}

/// A target that ends without a result.
struct Overdue {
    terms: BatchTerms,
    member: Member,
    /// Why it ends before its deadline; `None` if the deadline has passed.
    because: Option<OutOfService>,
}

fn records<F: Faults>(rollout: &Rollout<F>, overdue: &[Overdue]) -> Vec<NewRecord> {
    let of_target = |Overdue { terms, member, because }: &Overdue| {
        if let Some(because) = because {
            return Some(rollout.without_result(member, Outcome::Undelivered, because.reason()));
        }
        let outcome = rollout.expired(terms)?;
        Some(rollout.without_result(member, outcome, reason(outcome, terms, rollout.now)))
    };
    overdue.iter().filter_map(of_target).flatten().collect()
}

fn reason(outcome: Outcome, terms: &BatchTerms, now: Timestamp) -> &'static str {
    let BatchTerms { worker_deaths, wait_until, .. } = *terms;
    match outcome {
        Outcome::Undelivered if wait_until <= now => {
            "the desktop was busy, its worker was full, or it was not reached for 24 hours"
        }
        Outcome::Undelivered => "the desktop was not reached before the delivery deadline",
        _ if quarantine::is_quarantined(worker_deaths) => {
            "quarantined after every worker that held it died; no result arrived before the deadline"
        }
        _ => "delivered to the desktop's agent, but no result arrived before the deadline",
    }
}
