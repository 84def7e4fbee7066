//! Freeze and unfreeze of a project.

use domain::{
    Error,
    authz::{Action, Resource},
    ids::{ProjectId, TaskId},
};
use engine::{Freeze, Rows as _};
use store::{
    TaskRows,
    project_limit::{self, FreezeRow},
};

use crate::{
    Caller, Control,
    change::Begun,
    rollout::{self, ENGINE},
};

impl Control {
    /// Freezes the project, with the reason and the ticket of the caller. Once this returns, no
    /// further target of its tasks is admitted. Running scripts continue, and new tasks are
    /// accepted and wait.
    pub async fn freeze(&self, caller: &Caller) -> Result<(), Error> {
        caller.check(Action::Freeze, [Resource::Everything])?;
        let (project_id, actor, now) =
            (caller.project_id(), &caller.identity.principal, self.environment.now());
        let mut is_news = false;
        if let Begun::New(mut tx) = self.begin_change(caller).await? {
            let freeze = FreezeRow {
                frozen_at: now,
                frozen_by: actor.clone(),
                reason: caller.justification.reason().to_owned(),
                ticket: caller.justification.ticket().to_owned(),
            };
            is_news = project_limit::set_frozen(&mut tx, project_id, &freeze).await?;
            self.done(tx, caller, Action::Freeze, &format!("project:{project_id}"), "frozen").await?;
        }
        // Every admission after the commit sees the freeze. This call waits for admissions that
        // began earlier. If this process dies first, a scheduler completes the suspension.
        let reason = caller.justification.to_string();
        self.suspend_project(project_id, is_news.then_some(Freeze { actor, reason: &reason })).await?;
        tracing::warn!(%project_id, actor, reason, "project frozen");
        Ok(())
    }

    /// Suspends the ready batches and deferred targets of a frozen project's tasks, each task in
    /// its own transaction.
    pub(crate) async fn suspend_project(
        &self,
        project_id: &ProjectId,
        news: Option<Freeze<'_>>,
    ) -> Result<(), Error> {
        for task_id in self.open_tasks(project_id).await? {
            let mut tx = self.store.begin().await?;
            let (rows, now) = (&mut TaskRows::new(&mut tx), self.environment.now());
            let decision = ENGINE.suspend_task_of_project(rows, project_id, task_id, news, now).await?;
            rollout::apply(&mut tx, &decision).await?;
            self.store.commit(tx).await?;
            rollout::report(&decision);
        }
        Ok(())
    }

    /// Unfreezes the project: its tasks continue, except paused ones.
    pub async fn unfreeze(&self, caller: &Caller) -> Result<(), Error> {
        caller.check(Action::Unfreeze, [Resource::Everything])?;
        let (project_id, actor) = (caller.project_id(), &caller.identity.principal);
        let mut is_news = false;
        if let Begun::New(mut tx) = self.begin_change(caller).await? {
            is_news = TaskRows::new(&mut tx).unfreeze(project_id).await?;
            self.done(tx, caller, Action::Unfreeze, &format!("project:{project_id}"), "unfrozen").await?;
        }
        // If this process dies first, a scheduler releases the remaining tasks.
        let reason = caller.justification.to_string();
        self.release_project(project_id, is_news.then_some(Freeze { actor, reason: &reason })).await?;
        if is_news {
            tracing::warn!(%project_id, actor, "project unfrozen");
        }
        Ok(())
    }

    /// Releases the tasks of an unfrozen project, each task in its own transaction.
    async fn release_project(&self, project_id: &ProjectId, news: Option<Freeze<'_>>) -> Result<(), Error> {
        for task_id in self.open_tasks(project_id).await? {
            let mut tx = self.store.begin().await?;
            let (rows, now) = (&mut TaskRows::new(&mut tx), self.environment.now());
            let decision = ENGINE.release_task_of_project(rows, task_id, news, now).await?;
            rollout::apply(&mut tx, &decision).await?;
            self.store.commit(tx).await?;
            rollout::report(&decision);
        }
        Ok(())
    }

    async fn open_tasks(&self, project_id: &ProjectId) -> Result<Vec<TaskId>, Error> {
        let mut connection = self.store.acquire().await?;
        Ok(TaskRows::new(&mut connection).open_tasks(project_id).await?)
    }

    /// Returns the freeze that the caller just set. The right to freeze includes the right to see
    /// the result.
    pub async fn freeze_after(&self, caller: &Caller) -> Result<Option<FreezeRow>, Error> {
        Ok(project_limit::freeze(&mut *self.store.acquire().await?, caller.project_id()).await?)
    }

    /// Returns the project's freeze with its time, actor and reason; `None` if the project is not
    /// frozen.
    pub async fn show_freeze(&self, caller: &Caller) -> Result<Option<FreezeRow>, Error> {
        caller.check(Action::GetProject, [Resource::Everything])?;
        Ok(project_limit::freeze(&mut *self.store.acquire().await?, caller.project_id()).await?)
    }
}
