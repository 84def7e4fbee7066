//! How many targets of a task may be in flight, changed while it runs.

use domain::{
    Error, ErrorKind,
    access::{Action, Resource},
    ids::TaskId,
    rollout,
};
use store::{
    notify::{self, Wake},
    task,
};

use crate::{Caller, Control};

impl Control {
    /// Sets it, or takes the limit away. What is in flight already stays so.
    pub async fn set_concurrency(
        &self,
        caller: &Caller,
        task_id: TaskId,
        max_concurrency: Option<i64>,
    ) -> Result<(), Error> {
        caller.check(Action::SetConcurrency, [Resource::Task(&task_id.to_string())])?;
        let most = max_concurrency.map(rollout::max_concurrency).transpose()?;
        let mut tx = self.store.begin().await?;
        if self.answered_before(&mut tx, caller).await?.is_some() {
            return Ok(());
        }
        if task::fetch(&mut tx, caller.project_id(), task_id).await?.is_none() {
            return Err(Error::not_found(format!("task {task_id} does not exist")));
        }
        if !task::set_max_concurrency(&mut tx, task_id, most).await? {
            return Err(Error::new(ErrorKind::Conflict, "the task has ended: there is nothing in flight"));
        }
        notify::send(&mut tx, Wake::Cut).await?;
        self.done(tx, caller, Action::SetConcurrency, &format!("task:{task_id}"), "changed").await
    }
}
