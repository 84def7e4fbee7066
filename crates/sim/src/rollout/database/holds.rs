//! Holds: of a task that a person paused, and of a project that is frozen: as `store::hold`.

use chrono::TimeDelta;
use domain::{Timestamp, deadline::Timeouts};

use super::{Database, Terms};
use crate::rollout::{event::BatchId, sabotage::Sabotage};

impl Database {
    /// Pauses the task; false when it admits no more or is paused already.
    pub(in crate::rollout) fn pause(&mut self) -> bool {
        if self.task.status.admits_no_more() || self.task.is_paused {
            return false;
        }
        self.task.is_paused = true;
        self.hold_all();
        true
    }

    /// Lets a paused task go on.
    pub(in crate::rollout) fn resume(&mut self, now: Timestamp) {
        if self.task.status.admits_no_more() || !self.task.is_paused {
            return;
        }
        self.task.is_paused = false;
        if !self.task.is_frozen {
            self.release(now);
        }
    }

    /// The second half of a freeze, after it was committed.
    pub(in crate::rollout) fn hold_project(&mut self) {
        if !self.task.status.admits_no_more() {
            self.hold_all();
        }
    }

    /// Unfreezes the project.
    pub(in crate::rollout) fn unfreeze(&mut self, now: Timestamp) {
        self.task.is_frozen = false;
        if !self.task.status.admits_no_more() && !self.task.is_paused {
            self.release(now);
        }
    }

    fn hold_all(&mut self) {
        for batch in self.batches.values_mut().filter(|batch| batch.leased_until.is_none()) {
            batch.held = true;
        }
        self.stragglers.values_mut().for_each(|straggler| straggler.held = true);
    }

    /// Lets what was held be handed out again, with all of its delivery time. Where there is a window it may have closed
    /// meanwhile, so what was ready waits again.
    fn release(&mut self, now: Timestamp) {
        let timeouts = self.task.timeouts;
        let has_window = self.task.policy.window.is_some();
        let waits_again = has_window && !self.sabotaged(Sabotage::ReleaseIgnoresWindow);
        let held: Vec<BatchId> =
            self.batches.iter().filter(|(_, batch)| batch.held).map(|(&id, _)| id).collect();
        for id in held {
            let Some(batch) = self.batches.get_mut(&id) else { continue };
            batch.held = false;
            renew(&mut batch.terms, now, &timeouts, has_window);
            if waits_again && !batch.terms.maybe_handed {
                let (terms, ordinals) = (batch.terms, std::mem::take(&mut batch.ordinals));
                self.batches.remove(&id);
                self.insert_stragglers(terms, None, &ordinals);
            }
        }
        for straggler in self.stragglers.values_mut().filter(|straggler| straggler.held) {
            straggler.held = false;
            renew(&mut straggler.terms, now, &timeouts, has_window);
        }
        self.settle_waiting(now);
        self.wakes.cut = true;
        self.wakes.ready = true;
        self.wakes.presence = true;
    }
}

/// All of its delivery time again. What may have been handed out in its window is only asked for, and not started later.
fn renew(terms: &mut Terms, now: Timestamp, timeouts: &Timeouts, has_window: bool) {
    let deliver_by = terms.deadlines.deliver_by;
    let by = (now + timeouts.delivery - deliver_by).max(TimeDelta::zero());
    terms.deadlines = terms.deadlines.later(by);
    if terms.maybe_handed && has_window {
        terms.deadlines.deliver_by = deliver_by;
    }
}
