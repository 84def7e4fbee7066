//! Approval of a wave by a person, bound to the plan and the scripts that the person has seen.

use domain::{
    Error, ErrorKind,
    access::{Action, Resource},
    event::EventKind,
    ids::TaskId,
    opening::{ApprovalRequest, check_approval},
    wave::WaveStatus,
};
use store::{
    event::{self, NewEvent},
    notify::{self, Wake},
    task, wave,
};

use crate::{Caller, Control, found};

/// What an approver has seen, as hex; what is named must be the task's.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The plan's hash.
    pub plan_hash: Option<String>,
    /// The hash of what runs.
    pub script_hash: Option<String>,
}

impl Control {
    /// Approves a wave that waits for it. To approve it again changes nothing.
    pub async fn approve(
        &self,
        caller: &Caller,
        task_id: TaskId,
        number: u16,
        seen: &Seen,
    ) -> Result<(), Error> {
        caller.check(Action::Approve, [Resource::Task(&task_id.to_string())])?;
        let mut tx = self.store.begin().await?;
        if self.answered_before(&mut tx, caller).await?.is_some() {
            return Ok(());
        }
        let task = found::task(&mut tx, caller, task_id).await?;
        if !wave::list(&mut tx, &[task_id]).await?.iter().any(|(_, row)| row.wave == number) {
            return Err(Error::not_found(format!("task {task_id} has no wave {number}")));
        }
        let mut live = wave::lock(&mut tx, task_id, &[]).await?;
        if task::facts(&mut tx, task_id).await?.is_none_or(|facts| facts.status.admits_no_more()) {
            return Err(Error::new(ErrorKind::Conflict, "the task admits nothing more"));
        }
        let next = live.current().filter(|row| row.wave == number);
        let opening = match &next {
            Some(row) => row.opening,
            None => task.policy.opening_of(number),
        };
        let approver = &caller.identity.principal;
        check_approval(&ApprovalRequest {
            wave: number,
            is_next: next.as_ref().is_some_and(|row| row.state.status == WaveStatus::Pending)
                || opening.is_approved,
            opening: &opening,
            author: &task.created_by,
            approver,
            distinct_approver: task.policy.approval.distinct_approver,
            fits_plan: fits(seen.plan_hash.as_deref(), Some(&task.plan_hash)),
            fits_scripts: fits(seen.script_hash.as_deref(), task.script_hash.as_deref()),
        })?;
        let now = self.clock.now();
        if !opening.is_approved {
            wave::approve(&mut tx, task_id, number, approver, now).await?;
            let approved =
                NewEvent { kind: EventKind::WaveApproved, wave: Some(number), actor: approver, detail: "" };
            event::insert(&mut tx, task_id, approved, now).await?;
            notify::send(&mut tx, Wake::Cut).await?;
        }
        self.done(tx, caller, Action::Approve, &format!("task:{task_id}/waves/{number}"), "approved").await
    }
}

/// Whether a hash that an approver names, if one is named, is the task's.
fn fits(named: Option<&str>, hash: Option<&[u8]>) -> bool {
    named.is_none_or(|named| hash.is_some_and(|hash| hex::encode(hash).eq_ignore_ascii_case(named)))
}
