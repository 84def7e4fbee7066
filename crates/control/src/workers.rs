//! Workers: reading and draining.

use domain::{
    Error, Reason,
    authz::{Action, Resource},
    ids::WorkerId,
};
use store::{
    Connection, Tx,
    audit::NewEntry,
    worker::{self, WorkerRow},
};

use crate::{Caller, Control, Operator, change::Begun};

fn missing(worker_id: &WorkerId) -> Error {
    Error::new(Reason::WorkerNotFound, format!("worker {worker_id} does not exist: it may have stopped"))
}

impl Control {
    /// Lists all workers. They serve every project, so only an administrator of the cluster may.
    pub async fn list_workers(&self, caller: &Caller) -> Result<Vec<WorkerRow>, Error> {
        self.check_cluster(caller, Action::ListWorkers)?;
        Ok(worker::list(&mut *self.store.acquire().await?).await?)
    }

    /// Requests that a worker drains, or cancels the request. After this call no new batch is
    /// formed for a draining worker. The worker receives the request with its next heartbeat.
    /// Returns the updated worker. The cluster's audit has the entry.
    pub async fn want_drain(
        &self,
        caller: &Caller,
        worker_id: &WorkerId,
        wanted: bool,
    ) -> Result<WorkerRow, Error> {
        let action = if wanted { Action::DrainWorker } else { Action::UndrainWorker };
        self.check_cluster(caller, action)?;
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(_) => return find(&mut *self.store.acquire().await?, worker_id).await,
        };
        let principal = format!("{}/{}", caller.project_id(), caller.identity.principal);
        let found = self.wish(&mut tx, &principal, worker_id, wanted).await?;
        let entry = NewEntry {
            project_id: None,
            principal: &principal,
            resource: &format!("worker:{worker_id}"),
            ..self.entry(caller, action)
        };
        self.done_as(tx, caller, &entry, "").await?;
        Ok(found)
    }

    /// Lists all workers for an operator.
    pub async fn list_workers_by(&self, _: &Operator) -> Result<Vec<WorkerRow>, Error> {
        Ok(worker::list(&mut *self.store.acquire().await?).await?)
    }

    /// Checks that the caller administers the cluster: no policy of a project gives rights over the
    /// workers of all projects.
    fn check_cluster(&self, caller: &Caller, action: Action) -> Result<(), Error> {
        caller.check(action, [Resource::Everything])?;
        let name = (caller.project_id().clone(), caller.identity.principal.clone());
        if self.cluster_admins.contains(&name) {
            return Ok(());
        }
        let message = format!(
            "workers serve all projects: use a certificate of the role admin without a token, or add \"{}:{}\" to \
             access.cluster_admins",
            name.0, name.1
        );
        Err(Error::new(Reason::AdminCertificateRequired, message))
    }

    /// Does the same as [`Self::want_drain`] on behalf of an operator.
    pub async fn want_drain_by(
        &self,
        operator: &Operator,
        worker_id: &WorkerId,
        wanted: bool,
    ) -> Result<WorkerRow, Error> {
        let mut tx = self.store.begin().await?;
        let found = self.wish(&mut tx, &operator.certificate, worker_id, wanted).await?;
        let action = if wanted { Action::DrainWorker } else { Action::UndrainWorker };
        let resource = format!("worker:{worker_id}");
        self.done_in_cluster(tx, operator, action.as_str(), &resource).await?;
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
        tracing::warn!(%worker_id, wanted, actor, "worker drain requested or cancelled");
        find(tx, worker_id).await
    }
}

async fn find(connection: &mut Connection, worker_id: &WorkerId) -> Result<WorkerRow, Error> {
    let found = worker::list(connection).await?.into_iter().find(|row| row.worker_id == *worker_id);
    found.ok_or_else(|| missing(worker_id))
}
