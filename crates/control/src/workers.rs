//! Workers as they are read, and asked to drain.

use domain::{
    Error, Reason,
    authz::{Action, Resource},
    ids::WorkerId,
};
use store::{
    Tx,
    worker::{self, WorkerRow},
};

use crate::{Caller, Control, Operator};

fn missing(worker_id: &WorkerId) -> Error {
    Error::new(Reason::WorkerNotFound, format!("worker {worker_id} does not exist: it may have stopped"))
}

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
        let mut tx = self.store.begin().await?;
        let found = self.wish(&mut tx, &caller.identity.principal, worker_id, wanted).await?;
        self.done(tx, caller, action, &format!("worker:{worker_id}"), "").await?;
        Ok(found)
    }

    /// All workers, for an operator.
    pub async fn list_workers_by(&self, _: &Operator) -> Result<Vec<WorkerRow>, Error> {
        Ok(worker::list(&mut *self.store.acquire().await?).await?)
    }

    /// As [`Self::want_drain`], for an operator. A worker belongs to no project, in whose audit this could stand: the log has it.
    pub async fn want_drain_by(
        &self,
        operator: &Operator,
        worker_id: &WorkerId,
        wanted: bool,
    ) -> Result<WorkerRow, Error> {
        let mut tx = self.store.begin().await?;
        let found = self.wish(&mut tx, &operator.certificate, worker_id, wanted).await?;
        self.store.commit(tx).await?;
        Ok(found)
    }

    async fn wish(
        &self,
        tx: &mut Tx,
        actor: &str,
        worker_id: &WorkerId,
        wanted: bool,
    ) -> Result<WorkerRow, Error> {
        let wish = wanted.then_some((actor, self.environment.now()));
        if !worker::want_drain(tx, worker_id, wish).await? {
            return Err(missing(worker_id));
        }
        tracing::warn!(%worker_id, wanted, actor, "a worker is wanted to drain, or to work again");
        let found = worker::list(tx).await?.into_iter().find(|row| row.worker_id == *worker_id);
        found.ok_or_else(|| missing(worker_id))
    }
}
