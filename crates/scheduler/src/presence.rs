//! Workers and the desktops they hold.

use domain::{
    Timestamp,
    desktop::DesktopFacts,
    ids::{DesktopId, ProjectId, WorkerId},
    limits,
};
use store::{
    Connection, Error, batch, desktop,
    enrolment::{self, RevokedConnection},
    notify::{self, Wake},
    worker,
};

use telemetry::metric;

use crate::Scheduler;

/// A connection that a worker must let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Another agent, or a newer connection, is there as this desktop.
    Elsewhere(ProjectId, DesktopId),
    /// Its certificate is revoked.
    Revoked(ProjectId, DesktopId),
    /// It is out of service.
    Retired(ProjectId, DesktopId),
}

impl Scheduler {
    /// Stores a heartbeat; says what the worker must know.
    pub async fn heartbeat(
        &self,
        worker_id: &WorkerId,
        address: &str,
        capacity: u32,
        draining: bool,
        now: Timestamp,
    ) -> Result<worker::Heard, Error> {
        worker::record_heartbeat(
            &mut *self.store.acquire().await?,
            worker_id,
            address,
            capacity,
            draining,
            now,
        )
        .await
    }

    /// Stores which desktops a worker gained and lost; returns those that it must let go.
    /// `None` when the worker is not known: its presence would never be cleared, so it must send a heartbeat first.
    pub async fn presence(
        &self,
        worker_id: &WorkerId,
        connected: &[DesktopFacts],
        disconnected: &[(ProjectId, DesktopId)],
        now: Timestamp,
    ) -> Result<Option<Vec<Refused>>, Error> {
        let mut tx = self.store.begin().await?;
        if !worker::lock_known(&mut tx, worker_id).await? {
            return Ok(None);
        }
        let mut refused = Vec::new();
        if !disconnected.is_empty() {
            desktop::disconnected(&mut tx, worker_id, disconnected, now).await?;
        }
        if !connected.is_empty() {
            refused = take_in(&mut tx, worker_id, connected, now).await?;
            notify::send(&mut tx, Wake::Presence).await?;
        }
        self.store.commit(tx).await?;
        for refused in &refused {
            match refused {
                Refused::Elsewhere(project_id, desktop_id) => {
                    tracing::warn!(%worker_id, %project_id, %desktop_id, "an agent claims a desktop that another one is connected as");
                }
                Refused::Revoked(project_id, desktop_id) => {
                    tracing::warn!(%worker_id, %project_id, %desktop_id, "a desktop is refused: its certificate is revoked");
                }
                Refused::Retired(project_id, desktop_id) => {
                    tracing::warn!(%worker_id, %project_id, %desktop_id, "a desktop is refused: it is retired");
                }
            }
        }
        Ok(Some(refused))
    }

    /// Connections of revoked desktops that a worker must end.
    pub async fn to_end(&self, worker_id: &WorkerId) -> Result<Vec<RevokedConnection>, Error> {
        enrolment::to_end(&mut *self.store.acquire().await?, worker_id, limits::MAX_REVOKED_PER_ANSWER.into())
            .await
    }

    /// Forgets a worker with all it held; its leases end now. `last_heartbeat_before`: only if it stayed silent since.
    pub async fn forget_worker(
        &self,
        worker_id: &WorkerId,
        last_heartbeat_before: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut tx = self.store.begin().await?;
        if !worker::delete(&mut tx, worker_id, last_heartbeat_before).await? {
            return Ok(false);
        }
        let desktops = desktop::worker_gone(&mut tx, worker_id, now).await?;
        let leases = batch::end_leases_of(&mut tx, worker_id, last_heartbeat_before.is_some()).await?;
        notify::send(&mut tx, Wake::Presence).await?;
        self.store.commit(tx).await?;
        if last_heartbeat_before.is_some() {
            metric::WORKERS_LOST.increment(1, &[]);
        }
        tracing::info!(%worker_id, desktops, leases, "worker gone");
        Ok(true)
    }
}

/// Stores which desktops a worker gained; returns those that it must let go, each once.
async fn take_in(
    connection: &mut Connection,
    worker_id: &WorkerId,
    connected: &[DesktopFacts],
    now: Timestamp,
) -> Result<Vec<Refused>, Error> {
    let mut elsewhere = desktop::connected(connection, worker_id, connected, now).await?;
    let retired = if elsewhere.is_empty() {
        Vec::new()
    } else {
        desktop::retired_among(connection, &elsewhere).await?
    };
    elsewhere.retain(|key| !retired.contains(key));
    // After their rows are locked: a revocation that comes now waits, and takes their presence itself.
    let mut revoked = enrolment::revoked_among(connection, connected).await?;
    if !revoked.is_empty() {
        desktop::disconnect(connection, worker_id, &revoked, now).await?;
    }
    // Of these the certificates are revoked as well, which is not what their agents have to know first.
    revoked.retain(|key| !retired.contains(key));
    let told = |keys: Vec<(ProjectId, DesktopId)>, refused: fn(ProjectId, DesktopId) -> Refused| {
        keys.into_iter().map(move |(project_id, desktop_id)| refused(project_id, desktop_id))
    };
    Ok(told(elsewhere, Refused::Elsewhere)
        .chain(told(revoked, Refused::Revoked))
        .chain(told(retired, Refused::Retired))
        .collect())
}
