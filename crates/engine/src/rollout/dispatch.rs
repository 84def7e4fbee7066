//! Dispatches targets to workers in batches, or defers them.

use std::collections::HashSet;

use domain::{
    batching::{self, LocatedTarget, Member, StartGroup},
    deadline::{BUSY_WAIT, Deadlines, HAND_OUT},
    ids::DesktopId,
    outcome::Outcome,
    quarantine,
};

use super::{Rollout, Targets};
use crate::{
    Effect, Faults, Wake,
    row::{BatchTerms, NewBatch, NewDeferred, TargetRow, deferred::placed},
};

const REPLACED_REASON: &str =
    "delivered to the desktop's agent, but that agent was replaced before its result arrived";

/// Result of a dispatch.
#[derive(Debug, Default)]
#[must_use = "replaced targets end with end_replaced"]
pub(crate) struct DispatchedTargets {
    /// Number of targets that are in batches.
    pub(crate) targets: u32,
    /// Targets that a former agent of their desktop may have started.
    pub(crate) replaced: Vec<Member>,
}

impl<F: Faults> Rollout<F> {
    /// Returns terms with the deadlines of a target that is admitted now.
    pub(crate) fn fresh(&self, terms: &BatchTerms) -> BatchTerms {
        let deadlines = self.facts.deadlines(self.now);
        BatchTerms { deadlines, wait_until: self.now + BUSY_WAIT, ..*terms }
    }

    /// Returns terms with another delivery time, for targets that were never delivered although
    /// their desktops are connected. They wait for a worker at most until `wait_until`.
    pub(crate) fn renewed(&self, terms: &BatchTerms) -> BatchTerms {
        let delivery = self.facts.timeouts.delivery.max(HAND_OUT);
        let deliver_by = (self.now + delivery).min(terms.wait_until).max(terms.deadlines.deliver_by);
        let deadlines = terms.deadlines.later(deliver_by - terms.deadlines.deliver_by);
        BatchTerms { deadlines, ..*terms }
    }

    /// Creates batches for the workers that hold the desktops. Defers targets of disconnected or
    /// busy desktops and targets whose window is closed.
    pub(crate) fn dispatch_to_workers(
        &mut self,
        terms: &BatchTerms,
        placed: Vec<LocatedTarget>,
    ) -> DispatchedTargets {
        let mut handed = DispatchedTargets::default();
        let is_out = |target: &&LocatedTarget| target.is_out_of_service && !terms.maybe_delivered;
        let out: HashSet<u32> = placed.iter().filter(is_out).map(|target| target.ordinal).collect();
        for StartGroup { deadlines, not_before, targets } in self.by_window(placed, terms) {
            let wait_until = not_before.map_or(terms.wait_until, |opens_at| opens_at + BUSY_WAIT);
            let terms = BatchTerms { deadlines, wait_until, ..*terms };
            let mut cut = batching::batch_by_worker(targets, quarantine::batch_size(terms.worker_deaths));
            handed.replaced.append(&mut cut.replaced);
            if not_before.is_some() {
                let members = cut.batches.drain(..).flat_map(|(_, members)| members);
                cut.deferred.extend(members);
            }
            let (gone, waits) = cut.deferred.into_iter().partition(|member| out.contains(&member.ordinal));
            self.defer(&terms, not_before, waits);
            // Their desktops cannot connect any more: they are overdue at once.
            let deliver_by = self.now.min(terms.deadlines.deliver_by);
            let deadlines = Deadlines { deliver_by, ..terms.deadlines };
            self.defer(&BatchTerms { deadlines, ..terms }, None, gone);
            for (worker_id, members) in cut.batches {
                handed.targets += u32::try_from(members.len()).unwrap_or(u32::MAX);
                self.insert_batch(terms, worker_id, members);
            }
        }
        handed
    }

    fn insert_batch(&mut self, terms: BatchTerms, worker_id: domain::ids::WorkerId, members: Vec<Member>) {
        let stop = self.facts.killing || members.iter().any(|member| self.stopped.contains(&member.ordinal));
        let batch = NewBatch {
            worker_id,
            terms,
            members,
            query_only: self.facts.status.admits_no_more(),
            suspended: self.facts.is_suspended(),
            stop,
        };
        self.changes.batches.insert.push(batch);
        self.wake(Wake::Ready);
    }

    /// Defers targets. Targets that were never delivered occupy no slot while they wait.
    pub(crate) fn defer(
        &mut self,
        terms: &BatchTerms,
        not_before: Option<domain::Timestamp>,
        members: Vec<Member>,
    ) {
        if members.is_empty() {
            return;
        }
        self.note_deferred();
        let suspended = self.facts.is_suspended();
        let number = u32::try_from(members.len()).unwrap_or(u32::MAX);
        if let Some(row) = self.wave(terms.wave).filter(|_| !terms.maybe_delivered) {
            row.state.waiting += number;
        }
        let deferred =
            members.into_iter().map(|member| NewDeferred { terms: *terms, not_before, suspended, member });
        self.changes.deferred.insert.extend(deferred);
    }

    /// Records that a target is no longer deferred.
    pub(crate) fn undefer(&mut self, wave: u16, ordinal: u32, maybe_delivered: bool) {
        self.note_deferred();
        self.changes.deferred.delete.push(ordinal);
        if let Some(row) = self.wave(wave).filter(|_| !maybe_delivered) {
            row.state.waiting = row.state.waiting.saturating_sub(1);
        }
    }

    /// Reduces a batch to these members. An empty batch is deleted.
    pub(crate) fn take_from_batch(&mut self, batch_id: domain::ids::BatchId, left: Vec<Member>) {
        let batches = &mut self.changes.batches;
        if left.is_empty() {
            batches.delete.push(batch_id);
        } else {
            batches.keep.push((batch_id, left));
        }
    }

    /// Defers targets of a lost batch. Undelivered targets end as STOPPED if a person stopped them.
    /// They are withdrawn if the task admits no more targets.
    pub(crate) fn requeue(&mut self, terms: &BatchTerms, mut members: Vec<Member>, targets: &mut Targets) {
        let status = self.facts.status;
        self.requeue_as(status, terms, &mut members, targets);
    }

    /// Does the same as [`Self::requeue`], with the status that the caller saw.
    pub(crate) fn requeue_as(
        &mut self,
        status: domain::task::TaskStatus,
        terms: &BatchTerms,
        members: &mut Vec<Member>,
        targets: &mut Targets,
    ) {
        if members.is_empty() || status.is_ended() {
            return;
        }
        if !terms.maybe_delivered {
            let stopped = self.stopped_before_start(members, targets);
            self.count(targets, stopped);
        }
        if status.admits_no_more() && !terms.maybe_delivered {
            let number = u32::try_from(members.len()).unwrap_or(u32::MAX);
            if let Some(row) = self.wave(terms.wave) {
                row.state.admitted -= number;
            }
            self.has_withdrawn = true;
            return;
        }
        self.defer(terms, None, std::mem::take(members));
    }

    /// Dispatches targets that are admitted for the first time. Targets that a person stopped end
    /// immediately.
    pub(crate) fn hand_out_new(&mut self, terms: &BatchTerms, targets: &mut Targets) -> u32 {
        let mut members: Vec<Member> = targets.values().map(member).collect();
        let stopped = self.stopped_before_start(&mut members, targets);
        let placed = members.iter().filter_map(|member| {
            let target = targets.get(&member.ordinal)?;
            Some(placed(member, target.presence.as_ref(), None, self.now))
        });
        let placed = placed.collect();
        // The targets were never delivered, so no agent that received them can have been replaced.
        let handed = self.dispatch_to_workers(terms, placed);
        self.count(targets, stopped);
        handed.targets
    }

    /// Ends targets of replaced agents as UNKNOWN, which counts as a failure. Must run after all
    /// other dispatches: the failures may halt the task, and a halt withdraws the batches that are
    /// ready by then.
    pub(crate) fn end_replaced(&mut self, replaced: &[Member], targets: &mut Targets) {
        let mut records = Vec::new();
        for member in replaced {
            records.extend(self.without_result(member, Outcome::Unknown, REPLACED_REASON));
            let (ordinal, desktop_id): (u32, DesktopId) = (member.ordinal, member.desktop_id.clone());
            self.effect(Effect::Replaced { ordinal, desktop_id });
        }
        self.count(targets, records);
    }
}

/// Creates the member of a target that no agent has received yet.
fn member(target: &TargetRow) -> Member {
    Member {
        ordinal: target.ordinal,
        desktop_id: target.desktop_id.clone(),
        agent_id: String::new(),
        started: None,
    }
}
