//! Workers and the desktops that are connected to them.

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

/// Connection that a worker must close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Another agent, or a newer connection, is connected as this desktop.
    Elsewhere(ProjectId, DesktopId),
    /// The certificate of the desktop is revoked.
    Revoked(ProjectId, DesktopId),
    /// The desktop is retired.
    Retired(ProjectId, DesktopId),
}

impl Scheduler {
    /// Stores a heartbeat; returns the worker's instructions.
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

    /// Stores which desktops connected and disconnected; returns the connections that the worker
    /// must close. `None` if the worker is unknown: it must send a heartbeat first, because nothing
    /// would clear its presence.
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
                    tracing::warn!(
                        %worker_id, %project_id, %desktop_id,
                        "desktop refused: another agent is connected as this desktop"
                    );
                }
                Refused::Revoked(project_id, desktop_id) => {
                    tracing::warn!(
                        %worker_id, %project_id, %desktop_id,
                        "desktop refused: its certificate is revoked"
                    );
                }
                Refused::Retired(project_id, desktop_id) => {
                    tracing::warn!(%worker_id, %project_id, %desktop_id, "desktop refused: it is retired");
                }
            }
        }
        Ok(Some(refused))
    }

    /// Connections that a worker must close because their desktops were revoked.
    pub async fn to_end(&self, worker_id: &WorkerId) -> Result<Vec<RevokedConnection>, Error> {
        enrolment::to_end(&mut *self.store.acquire().await?, worker_id, limits::MAX_REVOKED_PER_ANSWER.into())
            .await
    }

    /// Deletes a worker with its presence and ends its leases. With `last_heartbeat_before`,
    /// deletes it only if its last heartbeat is older. Returns false if no worker was deleted.
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
        tracing::info!(%worker_id, desktops, leases, "worker deleted");
        Ok(true)
    }
}

/// Stores newly connected desktops; returns each connection that the worker must close once.
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
    // Read after the rows are locked: a later revocation waits for the lock and then clears the
    // presence.
    let mut revoked = enrolment::revoked_among(connection, connected).await?;
    if !revoked.is_empty() {
        desktop::disconnect(connection, worker_id, &revoked, now).await?;
    }
    // Retired desktops are also revoked; their agents must see the retirement as the reason.
    revoked.retain(|key| !retired.contains(key));
    let told = |keys: Vec<(ProjectId, DesktopId)>, refused: fn(ProjectId, DesktopId) -> Refused| {
        keys.into_iter().map(move |(project_id, desktop_id)| refused(project_id, desktop_id))
    };
    Ok(told(elsewhere, Refused::Elsewhere)
        .chain(told(revoked, Refused::Revoked))
        .chain(told(retired, Refused::Retired))
        .collect())
}
