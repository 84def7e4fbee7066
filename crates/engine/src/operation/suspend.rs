//! Pause of one task and freeze of a project. Suspended batches and deferred targets are not
//! dispatched, and their deadlines do not advance.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    deadline::Deadlines,
    event::EventKind,
    ids::{ProjectId, TaskId},
    task::TaskStatus,
};

use super::Engine;
use crate::{
    Decision, Faults, NewEvent, Rows, Rule, Wake,
    rollout::Rollout,
    row::{BatchRow, BatchTerms, DeferredRow},
};

/// Result of a pause or resume request.
#[derive(Debug)]
pub enum Suspension {
    /// The request is applied. `None` means that it was applied before and no row changes.
    Done(Option<Box<Decision>>),
    /// The task admits no more targets, so there is nothing to suspend.
    TooLate(TaskStatus),
}

/// Actor and reason of a freeze or an unfreeze of a project.
#[derive(Debug, Clone, Copy)]
pub struct Freeze<'a> {
    /// Principal that froze or unfroze the project.
    pub actor: &'a str,
    /// Reason that the principal gave; empty without one.
    pub reason: &'a str,
}

impl<F: Faults> Engine<F> {
    /// Pauses or resumes a task. `reason` is the actor's reason; empty without one.
    ///
    /// After the commit of a pause no target is admitted or dispatched. Targets that workers hold
    /// continue. After a resume, waiting targets get their full delivery time again.
    pub async fn set_paused<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        is_paused: bool,
        actor: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Suspension, R::Error> {
        let Some(mut rollout) = self.load(rows, task_id, &[], now).await? else {
            return Ok(Suspension::Done(None));
        };
        if rollout.facts.status.admits_no_more() {
            return Ok(Suspension::TooLate(rollout.facts.status));
        }
        if rollout.facts.is_paused == is_paused {
            return Ok(Suspension::Done(None));
        }
        if is_paused {
            rollout.changes().task.pause = Some(Some(actor.to_owned()));
            suspend(&mut rollout);
            rollout.event(NewEvent::of_task(EventKind::Paused, actor, reason));
        } else {
            rollout.facts.is_paused = false;
            rollout.changes().task.pause = Some(None);
            rollout.event(NewEvent::of_task(EventKind::Resumed, actor, reason));
            if !rollout.facts.is_frozen {
                self.release(rows, &mut rollout).await?;
            }
        }
        Ok(Suspension::Done(Some(Box::new(rollout.decide()))))
    }

    /// Suspends one task of a frozen project. The freeze must be committed before, so that every
    /// later admission sees it. Returns `None` if the project was unfrozen in the meantime; an
    /// unfreeze waits for this operation.
    ///
    /// A freeze takes a transaction for each task: one for all of them would lock the waves of the
    /// whole project until the last task is suspended.
    pub async fn suspend_task_of_project<R: Rows>(
        &self,
        rows: &mut R,
        project_id: &ProjectId,
        task_id: TaskId,
        news: Option<Freeze<'_>>,
        now: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        if !rows.lock_freeze(project_id).await? {
            return Ok(None);
        }
        let Some(mut rollout) = self.suspend_frozen(rows, task_id, now).await? else { return Ok(None) };
        if let Some(Freeze { actor, reason }) = news {
            rollout.event(NewEvent::of_task(EventKind::Frozen, actor, reason));
        }
        Ok(Some(rollout.decide()))
    }

    /// Suspends the rest of a task whose project is frozen. Returns `None` when the project is not
    /// frozen or the task admits no more targets. In the second case agents are only queried, and a
    /// query must not wait.
    pub async fn suspend_task_of_frozen_project<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        now: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        Ok(self.suspend_frozen(rows, task_id, now).await?.map(Rollout::decide))
    }

    async fn suspend_frozen<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        now: Timestamp,
    ) -> Result<Option<Rollout<F>>, R::Error> {
        let Some(mut rollout) = self.load(rows, task_id, &[], now).await? else { return Ok(None) };
        if !rollout.facts.is_frozen || rollout.facts.status.admits_no_more() {
            return Ok(None);
        }
        suspend(&mut rollout);
        Ok(Some(rollout))
    }

    /// Releases one task of an unfrozen project, unless it is paused. The unfreeze must be
    /// committed before. `news` is the principal that unfroze the project, with its reason.
    /// Returns `None` if the project was frozen again in the meantime, or nothing changes.
    ///
    /// An unfreeze takes a transaction for each task, as a freeze does.
    pub async fn release_task_of_project<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        news: Option<Freeze<'_>>,
        now: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        let Some(mut rollout) = self.load(rows, task_id, &[], now).await? else { return Ok(None) };
        let stays = rollout.facts.is_paused || rollout.facts.status.admits_no_more();
        if rollout.facts.is_frozen || stays && news.is_none() {
            return Ok(None);
        }
        if let Some(Freeze { actor, reason }) = news {
            rollout.event(NewEvent::of_task(EventKind::Unfrozen, actor, reason));
        }
        if !stays {
            self.release(rows, &mut rollout).await?;
        }
        Ok(Some(rollout.decide()))
    }

    /// Ends the suspension of a task: its suspended targets may be dispatched again, with their
    /// full delivery time.
    async fn release<R: Rows>(&self, rows: &mut R, rollout: &mut Rollout<F>) -> Result<(), R::Error> {
        let task_id = rollout.task_id();
        let batches = rows.lock_suspended(task_id).await?;
        let deferred = rows.suspended_deferred(task_id).await?;
        release_batches(rollout, batches);
        release_deferred(rollout, &deferred);
        self.settle(rows, rollout).await?;
        for wake in [Wake::Admit, Wake::Ready, Wake::Presence] {
            rollout.wake(wake);
        }
        Ok(())
    }
}

fn suspend<F: Faults>(rollout: &mut Rollout<F>) {
    rollout.changes().batches.suspend_ready = true;
    rollout.changes().deferred.suspend = true;
}

/// Releases batches. An undelivered batch with a window is deferred, because the window may have
/// closed. Targets that may have been delivered within their window are only queried, and not
/// started later.
fn release_batches<F: Faults>(rollout: &mut Rollout<F>, batches: Vec<BatchRow>) {
    let has_window = rollout.facts.policy.window.is_some();
    let waits_again = has_window && !rollout.breaks(Rule::ReleaseIgnoresWindow);
    for batch in batches {
        if waits_again && !batch.terms.maybe_delivered {
            let terms = rollout.fresh(&batch.terms);
            rollout.changes().batches.delete.push(batch.batch_id);
            rollout.defer(&terms, None, batch.members);
        } else {
            let deadlines = after_suspension(rollout, &batch.terms, has_window);
            rollout.changes().batches.release.push((batch.batch_id, deadlines));
        }
    }
}

fn release_deferred<F: Faults>(rollout: &mut Rollout<F>, deferred: &[DeferredRow]) {
    let has_window = rollout.facts.policy.window.is_some();
    let released: Vec<(u32, Deadlines)> = deferred
        .iter()
        .map(|row| {
            let deadlines = after_suspension(rollout, &row.terms, has_window);
            let deliver_by = match row.ends_early() {
                Some(_) => rollout.now.min(deadlines.deliver_by),
                None => deadlines.deliver_by,
            };
            (row.member.ordinal, Deadlines { deliver_by, ..deadlines })
        })
        .collect();
    rollout.changes().deferred.release.extend(released);
}

/// Returns the deadlines after a suspension. Targets that may have been delivered within their
/// window keep their `deliver_by`: they are only queried, and not started later. Their `finish_by`
/// is at most that of a target that is admitted now, however often the task is resumed.
fn after_suspension<F: Faults>(rollout: &Rollout<F>, terms: &BatchTerms, has_window: bool) -> Deadlines {
    let deadlines = terms.deadlines;
    if terms.maybe_delivered && has_window {
        let fresh = rollout.facts.deadlines(rollout.now);
        return Deadlines { finish_by: deadlines.finish_by.max(fresh.finish_by), ..deadlines };
    }
    let by = rollout.now + rollout.facts.timeouts.delivery - deadlines.deliver_by;
    deadlines.later(by.max(TimeDelta::zero()))
}
