//! Approval of a wave by a person, bound to the plan and the scripts that the person reviewed.

use domain::{
    Error, Reason,
    authz::{Action, Resource},
    ids::TaskId,
    wave_start::WaveHold,
};
use engine::{Approval, Approved};
use store::{TaskRows, wave};

use crate::{
    Caller, Control,
    change::Begun,
    lookup,
    rollout::{self, ENGINE},
};

/// What the approver reviewed, with hashes in hex. Everything that is present must match the task.
#[derive(Debug, Clone, Default)]
pub struct ApprovedVersion {
    /// Hash of the plan.
    pub plan_hash: Option<String>,
    /// Hash of the scripts or the command.
    pub script_hash: Option<String>,
    /// Reason why the wave waits.
    pub hold: Option<WaveHold>,
}

impl Control {
    /// Approves a wave that waits for approval. A repeated approval changes nothing.
    pub async fn approve(
        &self,
        caller: &Caller,
        task_id: TaskId,
        number: u16,
        seen: &ApprovedVersion,
    ) -> Result<(), Error> {
        caller.check(Action::Approve, [Resource::Task(&task_id.to_string())])?;
        let Begun::New(mut tx) = self.begin_change(caller).await? else { return Ok(()) };
        let task = lookup::task(&mut tx, caller, task_id).await?;
        if !wave::list(&mut tx, &[task_id]).await?.iter().any(|(_, row)| row.wave == number) {
            return Err(Error::new(Reason::WaveNotFound, format!("task {task_id} has no wave {number}")));
        }
        let (approver, now) = (&caller.identity.principal, self.environment.now());
        let reason = caller.justification.to_string();
        let approval = Approval {
            wave: number,
            author: &task.created_by,
            approver,
            reason: &reason,
            fits_plan: fits(seen.plan_hash.as_deref(), Some(&task.plan_hash)),
            fits_scripts: fits(seen.script_hash.as_deref(), task.script_hash.as_deref()),
            seen_hold: seen.hold,
        };
        let decision = match ENGINE.approve(&mut TaskRows::new(&mut tx), task_id, &approval, now).await? {
            Approved::Done(decision) => decision,
            Approved::TooLate => {
                return Err(Error::new(Reason::TaskEnded, "the task has ended or is stopping"));
            }
            Approved::Refused(error) => return Err(error),
        };
        rollout::apply(&mut tx, decision.as_deref()).await?;
        let resource = format!("task:{task_id}/waves/{number}");
        self.done(tx, caller, Action::Approve, &resource, "approved").await?;
        rollout::report(decision.as_deref());
        Ok(())
    }
}

/// Returns whether the approver's hash matches the task's hash. A missing hash always matches.
fn fits(named: Option<&str>, hash: Option<&[u8]>) -> bool {
    named.is_none_or(|named| hash.is_some_and(|hash| hex::encode(hash).eq_ignore_ascii_case(named)))
}
