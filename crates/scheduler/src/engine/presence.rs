//! Workers and the desktops they hold.

use domain::{
    Timestamp,
    desktop::DesktopFacts,
    ids::{DesktopId, ProjectId, WorkerId},
};
use store::{
    Error, batch, desktop,
    notify::{self, Wake},
    worker,
};

use telemetry::metric;

use super::Engine;

impl Engine {
    /// Stores a heartbeat; says what the worker must know.
    pub async fn heartbeat(
        &self,
        worker_id: &WorkerId,
        address: &str,
        capacity: u32,
        draining: bool,
        now: Timestamp,
    ) -> Result<worker::Heard, Error> {
        worker::heard(&mut *self.store.acquire().await?, worker_id, address, capacity, draining, now).await
    }

    /// Stores which desktops a worker gained and lost; returns those that it must let go, because they are another agent's.
    /// `None` when the worker is not known: its presence would never be cleared, so it must send a heartbeat first.
    pub async fn presence(
        &self,
        worker_id: &WorkerId,
        connected: &[DesktopFacts],
        disconnected: &[(ProjectId, DesktopId)],
        now: Timestamp,
    ) -> Result<Option<Vec<(ProjectId, DesktopId)>>, Error> {
        let mut tx = self.store.begin().await?;
        if !worker::lock_known(&mut tx, worker_id).await? {
            return Ok(None);
        }
        let mut refused = Vec::new();
        if !disconnected.is_empty() {
            desktop::disconnected(&mut tx, worker_id, disconnected, now).await?;
        }
        if !connected.is_empty() {
            refused = desktop::connected(&mut tx, worker_id, connected, now).await?;
            notify::send(&mut tx, Wake::Presence).await?;
        }
        self.store.commit(tx).await?;
        for (project_id, desktop_id) in &refused {
            tracing::warn!(%worker_id, %project_id, %desktop_id, "an agent claims a desktop that another one is connected as");
        }
        Ok(Some(refused))
    }

    /// Forgets a worker with all it held; its leases end now. `heard_before`: only if it stayed silent since.
    pub async fn forget_worker(
        &self,
        worker_id: &WorkerId,
        heard_before: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut tx = self.store.begin().await?;
        if !worker::delete(&mut tx, worker_id, heard_before).await? {
            return Ok(false);
        }
        let desktops = desktop::worker_gone(&mut tx, worker_id, now).await?;
        let leases = batch::end_leases_of(&mut tx, worker_id, heard_before.is_some()).await?;
        notify::send(&mut tx, Wake::Presence).await?;
        self.store.commit(tx).await?;
        if heard_before.is_some() {
            metric::WORKERS_LOST.count(1, &[]);
        }
        tracing::info!(%worker_id, desktops, leases, "worker gone");
        Ok(true)
    }
}
