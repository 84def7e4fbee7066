//! Changes the maximum number of targets in flight while a task runs.

use domain::{
    Error, Reason,
    authz::{Action, Resource},
    ids::TaskId,
    rollout as rules,
};
use store::TaskRows;

use crate::{
    Caller, Control,
    rollout::{self, ENGINE},
};

impl Control {
    /// Sets or removes the limit. Targets that are already in flight are not affected.
    pub async fn set_concurrency(
        &self,
        caller: &Caller,
        task_id: TaskId,
        max_concurrency: Option<i64>,
    ) -> Result<(), Error> {
        caller.check(Action::SetConcurrency, [Resource::Task(&task_id.to_string())])?;
        let most = max_concurrency.map(rules::max_concurrency).transpose()?;
        let Some(mut tx) = self.begin_task_change(caller, task_id).await? else { return Ok(()) };
        let (actor, now) = (&caller.identity.principal, self.environment.now());
        let mut rows = TaskRows::new(&mut tx);
        let Some(decision) = ENGINE.set_max_concurrency(&mut rows, task_id, most, actor, now).await? else {
            return Err(Error::new(Reason::TaskEnded, "the task has ended: there is nothing in flight"));
        };
        rollout::apply(&mut tx, [&decision]).await?;
        self.done(tx, caller, Action::SetConcurrency, &format!("task:{task_id}"), "changed").await?;
        rollout::report([&decision]);
        Ok(())
    }
}
