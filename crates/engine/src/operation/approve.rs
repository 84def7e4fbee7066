//! Approval of a wave by a person.

use domain::{
    Error, Timestamp,
    event::EventKind,
    ids::TaskId,
    wave::WaveStatus,
    wave_start::{ApprovalRequest, WaveHold, check_approval},
};

use super::Engine;
use crate::{Decision, Faults, NewEvent, Rows, Wake, row::TaskFacts};

/// An approval request.
#[derive(Debug, Clone, Copy)]
pub struct Approval<'a> {
    /// Wave to approve, from 1.
    pub wave: u16,
    /// Principal that submitted the task.
    pub author: &'a str,
    /// Principal that approves.
    pub approver: &'a str,
    /// Reason that the approver gave; empty without one.
    pub reason: &'a str,
    /// Whether the plan hash in the request, if present, matches the task's plan.
    pub fits_plan: bool,
    /// Whether the script hash in the request, if present, matches the task's scripts.
    pub fits_scripts: bool,
    /// Reason of the wait that the approver has seen; `None` if the request names none.
    pub seen_hold: Option<WaveHold>,
}

/// Result of an approval.
#[derive(Debug)]
pub enum Approved {
    /// The wave is approved. `None` means that it was approved before and no row changes.
    Done(Option<Box<Decision>>),
    /// The task admits no more targets, or does not exist.
    TooLate,
    /// The approval rules refuse the request.
    Refused(Error),
}

impl<F: Faults> Engine<F> {
    /// Approves the next wave if it waits for approval. A repeated approval changes nothing.
    pub async fn approve<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        approval: &Approval<'_>,
        now: Timestamp,
    ) -> Result<Approved, R::Error> {
        let Some(mut rollout) = self.load(rows, task_id, &[], now).await? else {
            return Ok(Approved::TooLate);
        };
        if rollout.facts.status.admits_no_more() {
            return Ok(Approved::TooLate);
        }
        let Approval { wave, author, approver, reason, fits_plan, fits_scripts, seen_hold } = *approval;
        let TaskFacts { policy, .. } = &rollout.facts;
        let (distinct_approver, unopened) = (policy.approval.distinct_approver, policy.opening_of(wave));
        let next = rollout.current().filter(|row| row.wave == wave);
        let opening = next.as_ref().map_or(unopened, |row| row.opening);
        let is_pending = next.as_ref().is_some_and(|row| row.state.status == WaveStatus::Pending);
        let request = ApprovalRequest {
            wave,
            is_next: is_pending || opening.is_approved,
            opening: &opening,
            author,
            approver,
            distinct_approver,
            seen_hold,
            fits_plan,
            fits_scripts,
        };
        let hold = opening.hold();
        if let Err(error) = check_approval(&request) {
            return Ok(Approved::Refused(error));
        }
        if opening.is_approved {
            return Ok(Approved::Done(None));
        }
        if let Some(row) = next {
            row.opening.is_approved = true;
            row.approved = Some((approver.to_owned(), now));
        }
        let detail = match (hold, reason) {
            (Some(WaveHold::NoEvidence), "") => "opens without evidence".to_owned(),
            (Some(WaveHold::NoEvidence), reason) => format!("opens without evidence: {reason}"),
            (_, reason) => reason.to_owned(),
        };
        let event = NewEvent::of_wave(EventKind::WaveApproved, wave, detail);
        rollout.event(NewEvent { actor: approver.to_owned(), ..event });
        rollout.wake(Wake::Admit);
        Ok(Approved::Done(Some(Box::new(rollout.decide()))))
    }
}
