//! Workers as they are read, and asked to drain.

use domain::{
    Error,
    access::{Action, Resource},
    ids::WorkerId,
};
use store::worker::{self, WorkerRow};

use crate::{Caller, Control};

impl Control {
    /// All workers: they serve every project.
    pub async fn list_workers(&self, caller: &Caller) -> Result<Vec<WorkerRow>, Error> {
        caller.check(Action::ListWorkers, [Resource::Everything])?;
        Ok(worker::list(&mut *self.store.acquire().await?).await?)
    }

    /// Wants a worker to take no more work and to send its desktops elsewhere, or to work again. From the answer on nothing
    /// new is cut for it; it learns the rest with its next heartbeat. Returns it as it now stands.
    pub async fn want_drain(
        &self,
        caller: &Caller,
        worker_id: &WorkerId,
        wanted: bool,
    ) -> Result<WorkerRow, Error> {
        let action = if wanted { Action::DrainWorker } else { Action::UndrainWorker };
        caller.check(action, [Resource::Everything])?;
        let missing = || Error::not_found(format!("worker {worker_id} does not exist: it may have stopped"));
        let wish = wanted.then_some((caller.identity.principal.as_str(), self.clock.now()));
        let mut tx = self.store.begin().await?;
        if !worker::want_drain(&mut tx, worker_id, wish).await? {
            return Err(missing());
        }
        let found = worker::list(&mut tx).await?.into_iter().find(|row| row.worker_id == *worker_id);
        self.done(tx, caller, action, &format!("worker:{worker_id}"), "").await?;
        tracing::warn!(%worker_id, wanted, actor = caller.identity.principal, "a worker is wanted to drain, or to work again");
        found.ok_or_else(missing)
    }
}
