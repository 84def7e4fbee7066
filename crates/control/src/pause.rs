//! Pause and resume of a task.

use domain::{
    Error, Reason,
    authz::{Action, Resource},
    ids::TaskId,
};
use engine::Suspension;
use store::TaskRows;

use crate::{
    Caller, Control,
    rollout::{self, ENGINE},
};

impl Control {
    /// Pauses a task. Once this returns, no further target of the task is admitted. Running scripts
    /// continue.
    pub async fn pause(&self, caller: &Caller, task_id: TaskId) -> Result<(), Error> {
        self.set_paused(caller, task_id, true).await
    }

    /// Resumes a paused task.
    pub async fn resume(&self, caller: &Caller, task_id: TaskId) -> Result<(), Error> {
        self.set_paused(caller, task_id, false).await
    }

    async fn set_paused(&self, caller: &Caller, task_id: TaskId, paused: bool) -> Result<(), Error> {
        let action = if paused { Action::Pause } else { Action::Resume };
        caller.check(action, [Resource::Task(&task_id.to_string())])?;
        let Some(mut tx) = self.begin_task_change(caller, task_id).await? else { return Ok(()) };
        let (actor, now) = (&caller.identity.principal, self.environment.now());
        let reason = caller.justification.to_string();
        let mut rows = TaskRows::new(&mut tx);
        let decision = match ENGINE.set_paused(&mut rows, task_id, paused, actor, &reason, now).await? {
            Suspension::Done(decision) => decision,
            Suspension::TooLate(status) => {
                let message = format!("the task is {status} and admits no more targets");
                return Err(Error::new(Reason::TaskEnded, message));
            }
        };
        rollout::apply(&mut tx, decision.as_deref()).await?;
        let answer = if paused { "paused" } else { "resumed" };
        self.done(tx, caller, action, &format!("task:{task_id}"), answer).await?;
        rollout::report(decision.as_deref());
        Ok(())
    }
}
