//! Workers and the desktops that are connected to them.

use domain::{
    Timestamp,
    desktop::DesktopFacts,
    identity::{self, Refusal},
    ids::{DesktopId, ProjectId, WorkerId},
    limits,
};
use store::{
    Connection, Error, batch,
    desktop::{self, LastAttach},
    enrolment::{self, RevokedConnection},
    notify::{self, Wake},
    worker,
};

use telemetry::metric;

use crate::Scheduler;

/// Connection that a worker must close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Another process is connected as this desktop, its identity is outdated, or another desktop
    /// has the same id but for case or Unicode form.
    Claim(ProjectId, DesktopId, Refusal),
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
            &mut *self.store.for_liveness().acquire().await?,
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
    ///
    /// A desktop whose description the database refuses is refused alone.
    pub async fn presence(
        &self,
        worker_id: &WorkerId,
        connected: &[DesktopFacts],
        disconnected: &[(ProjectId, DesktopId)],
        now: Timestamp,
    ) -> Result<Option<Vec<Refused>>, Error> {
        let mut refused = Vec::new();
        let mut parts = vec![(connected, disconnected)];
        while let Some((connected, disconnected)) = parts.pop() {
            match self.store_presence(worker_id, connected, disconnected, now).await {
                Ok(None) => return Ok(None),
                Ok(Some(mut more)) => refused.append(&mut more),
                Err(error) if error.is_of_values() && !connected.is_empty() => match connected {
                    [desktop] if disconnected.is_empty() => refused.push(unstorable(desktop, &error)),
                    _ => {
                        let (first, last) = connected.split_at(connected.len() / 2);
                        parts.extend([(last, &[][..]), (first, disconnected)]);
                    }
                },
                Err(error) => return Err(error),
            }
        }
        Ok(Some(refused))
    }

    async fn store_presence(
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
                Refused::Claim(project_id, desktop_id, refusal) => {
                    tracing::error!(
                        %worker_id, %project_id, %desktop_id, reason = refusal.reason,
                        "desktop refused"
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

    /// Last signed attaches of desktops; those that never attached with a certificate are missing.
    pub(crate) async fn last_attaches(
        &self,
        desktops: &[(ProjectId, DesktopId)],
    ) -> Result<Vec<LastAttach>, Error> {
        desktop::last_attaches(&mut *self.store.acquire().await?, desktops).await
    }

    /// Connections that a worker must close because their desktops were revoked.
    pub async fn to_end(&self, worker_id: &WorkerId) -> Result<Vec<RevokedConnection>, Error> {
        let mut connection = self.store.for_liveness().acquire().await?;
        enrolment::to_end(&mut connection, worker_id, limits::MAX_REVOKED_PER_ANSWER.into()).await
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

/// Refuses a desktop whose description the database refuses.
fn unstorable(desktop: &DesktopFacts, error: &Error) -> Refused {
    let (project_id, desktop_id) = (desktop.project_id.clone(), desktop.desktop_id.clone());
    tracing::error!(
        %project_id, %desktop_id, error = error as &dyn std::error::Error,
        "the database refused the description of a desktop"
    );
    let reason = "the database refused the description of this desktop".to_owned();
    Refused::Claim(project_id, desktop_id, Refusal { reason, identity_is_outdated: false })
}

/// Stores newly connected desktops; returns each connection that the worker must close once.
async fn take_in(
    connection: &mut Connection,
    worker_id: &WorkerId,
    connected: &[DesktopFacts],
    now: Timestamp,
) -> Result<Vec<Refused>, Error> {
    let mut refused = desktop::connected(connection, worker_id, connected, now).await?;
    let retired =
        if refused.is_empty() { Vec::new() } else { desktop::retired_among(connection, &refused).await? };
    refused.retain(|key| !retired.contains(key));
    let claims = refused_claims(connection, connected, &refused).await?;
    // Read after the rows are locked: a later revocation waits for the lock and then clears the
    // presence.
    let mut revoked = enrolment::revoked_among(connection, connected).await?;
    if !revoked.is_empty() {
        desktop::disconnect(connection, worker_id, &revoked, now).await?;
    }
    // Retired desktops are also revoked; their agents must see the retirement as the reason.
    revoked.retain(|key| !retired.contains(key));
    let refusals = |keys: Vec<(ProjectId, DesktopId)>, refused: fn(ProjectId, DesktopId) -> Refused| {
        keys.into_iter().map(move |(project_id, desktop_id)| refused(project_id, desktop_id))
    };
    Ok(claims
        .into_iter()
        .chain(refusals(revoked, Refused::Revoked))
        .chain(refusals(retired, Refused::Retired))
        .collect())
}

/// Returns the refused claims with their reasons.
async fn refused_claims(
    connection: &mut Connection,
    connected: &[DesktopFacts],
    refused: &[(ProjectId, DesktopId)],
) -> Result<Vec<Refused>, Error> {
    let is_refused = |claim: &&DesktopFacts| {
        refused.iter().any(|(project_id, desktop_id)| {
            *project_id == claim.project_id && *desktop_id == claim.desktop_id
        })
    };
    let claims: Vec<&DesktopFacts> = connected.iter().filter(is_refused).collect();
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let holdings = desktop::holdings(connection, &claims).await?;
    let refusal = |claim: &DesktopFacts| {
        let holding = holdings
            .iter()
            .find(|holding| holding.project_id == claim.project_id && holding.claimed_id == claim.desktop_id);
        match holding {
            Some(holding) if holding.is_certified && claim.attach.is_none() => Refusal {
                reason: "the desktop has attached with a certificate before, and always needs one".to_owned(),
                identity_is_outdated: false,
            },
            Some(holding) if holding.desktop_id == claim.desktop_id => {
                identity::refusal(&claim.identity(), &holding.holder)
            }
            Some(holding) => identity::similar_id(&claim.desktop_id, &holding.desktop_id),
            // Only a desktop of the same call has the same id.
            None => identity::similar_id(&claim.desktop_id, &claim.desktop_id),
        }
    };
    let refusal = |claim: &DesktopFacts| {
        Refused::Claim(claim.project_id.clone(), claim.desktop_id.clone(), refusal(claim))
    };
    Ok(claims.into_iter().map(refusal).collect())
}
