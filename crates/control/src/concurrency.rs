//! How many targets of a task may be in flight, changed while it runs.

use domain::{
    Error, ErrorKind,
    access::{Action, Resource},
    event::EventKind,
    ids::TaskId,
    rollout,
};
use store::{
    event::{self, NewEvent},
    notify::{self, Wake},
    task, wave,
};

use crate::{Caller, Control, found};

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
        found::task(&mut tx, caller, task_id).await?;
        wave::lock(&mut tx, task_id, &[]).await?;
        if !task::set_max_concurrency(&mut tx, task_id, most).await? {
            return Err(Error::new(ErrorKind::Conflict, "the task has ended: there is nothing in flight"));
        }
        let detail = most.map_or_else(|| "no limit".to_owned(), |most| format!("{most} in flight at most"));
        let changed = NewEvent::by(EventKind::ConcurrencyChanged, &caller.identity.principal, &detail);
        event::insert(&mut tx, task_id, changed, self.clock.now()).await?;
        notify::send(&mut tx, Wake::Cut).await?;
        notify::send(&mut tx, Wake::Presence).await?;
        self.done(tx, caller, Action::SetConcurrency, &format!("task:{task_id}"), "changed").await
    }
}
