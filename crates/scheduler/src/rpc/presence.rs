//! Presence updates: desktops that connected to a worker or disconnected from it.

use std::collections::HashMap;

use domain::{
    desktop::DesktopFacts,
    identity::Refusal,
    ids::{DesktopId, ProjectId},
    limits,
};
use mtls::{Identity, Signer};
use proto::{
    scheduler::{DesktopKey, DesktopSession, RefusedDesktop, UpdatePresenceRequest, UpdatePresenceResponse},
    types::Desktop,
};
use store::desktop::LastAttach;
use tonic::{Request, Response, Status};

use super::{
    context::{Service, desktop_key},
    error::{invalid, too_many},
    peer::called,
};
use crate::{
    attach::{NotVerified, Verified, Verifier},
    presence,
};

/// Stores a presence update. The response lists the connections that the worker must close.
pub(super) async fn handle(
    service: &Service,
    request: Request<UpdatePresenceRequest>,
) -> Result<Response<UpdatePresenceResponse>, Status> {
    let (caller, UpdatePresenceRequest { worker_id, connected, disconnected }) = called(request);
    if connected.len() + disconnected.len() > limits::MAX_DESKTOPS_PER_PRESENCE_UPDATE {
        return Err(too_many("desktops", limits::MAX_DESKTOPS_PER_PRESENCE_UPDATE));
    }
    let worker_id = caller.is(&worker_id)?;
    let mut answer = UpdatePresenceResponse::default();
    let (connected, sessions) = match (&service.signer, caller.identity()) {
        (Some(signer), Some(worker)) => {
            verified(service, signer.clone(), worker.clone(), connected, &mut answer).await?
        }
        (Some(_), None) => return Err(Status::permission_denied("a worker needs a certificate")),
        (None, _) => (well_formed(connected, &mut answer), Vec::new()),
    };
    let disconnected = disconnected
        .into_iter()
        .map(|key| {
            Ok((
                key.project_id.parse::<ProjectId>().map_err(invalid)?,
                key.desktop_id.parse::<DesktopId>().map_err(invalid)?,
            ))
        })
        .collect::<Result<Vec<_>, Status>>()?;
    let stored = service.scheduler.presence(&worker_id, &connected, &disconnected, service.scheduler.now());
    let refused = service
        .done(stored)
        .await?
        .ok_or_else(|| Status::failed_precondition("unknown worker: send a heartbeat first"))?;
    for one in refused {
        match one {
            presence::Refused::Claim(project_id, desktop_id, refusal) => {
                let desktop = Some(desktop_key(&project_id, &desktop_id));
                let Refusal { reason, identity_is_outdated } = refusal;
                answer.refused.push(RefusedDesktop { desktop, reason, identity_is_outdated });
            }
            presence::Refused::Revoked(project_id, desktop_id) => {
                answer.revoked.push(desktop_key(&project_id, &desktop_id));
            }
            presence::Refused::Retired(project_id, desktop_id) => {
                let key = desktop_key(&project_id, &desktop_id);
                answer.retired.push(key.clone());
                // Older workers know only `revoked`.
                answer.revoked.push(key);
            }
        }
    }
    let is_accepted = |session: &DesktopSession| {
        session.desktop.as_ref().is_some_and(|key| {
            !answer.revoked.contains(key)
                && !answer.refused.iter().any(|refused| refused.desktop.as_ref() == Some(key))
        })
    };
    let sessions = sessions.into_iter().filter(is_accepted).collect();
    Ok(Response::new(UpdatePresenceResponse { sessions, ..answer }))
}

/// Verifies the signed attaches; returns the facts of the desktops and the answers for their
/// agents. Refused ones are added to `answer.refused`.
async fn verified(
    service: &Service,
    signer: Signer,
    worker: Identity,
    connected: Vec<Desktop>,
    answer: &mut UpdatePresenceResponse,
) -> Result<(Vec<DesktopFacts>, Vec<DesktopSession>), Status> {
    if connected.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let keys: Vec<(ProjectId, DesktopId)> = connected.iter().filter_map(ids).collect();
    let last = service.done(service.scheduler.last_attaches(&keys)).await?;
    let last: HashMap<(ProjectId, DesktopId), LastAttach> =
        last.into_iter().map(|last| ((last.project_id.clone(), last.desktop_id.clone()), last)).collect();
    let session_keys = service.scheduler.session_keys.clone();
    let now_unix = service.scheduler.now().timestamp();
    let verifier = Verifier { signer, session_keys, worker, now_unix };
    let verify = move || {
        let verify = |desktop: Desktop| {
            let last = ids(&desktop).and_then(|key| last.get(&key));
            (verifier.verify(&desktop, last), desktop)
        };
        connected.into_iter().map(verify).collect::<Vec<_>>()
    };
    // A storm of attaches must leave threads for other work. A call that is given up while it waits
    // costs nothing.
    let _place = service.scheduler.verifications.acquire().await;
    let all = tokio::task::spawn_blocking(verify).await;
    let all = all.map_err(|error| Status::internal(error.to_string()))?;
    let (mut facts, mut sessions) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
    for (verified, Desktop { project_id, desktop_id, .. }) in all {
        let key = Some(DesktopKey { project_id, desktop_id });
        match verified {
            Ok(Verified { facts: of_desktop, session }) => {
                facts.push(of_desktop);
                sessions.push(DesktopSession { desktop: key, session: Some(session) });
            }
            Err(NotVerified::Unavailable(reason)) => return Err(Status::unavailable(reason)),
            Err(NotVerified::Refused(reason)) => {
                let DesktopKey { project_id, desktop_id } = key.clone().unwrap_or_default();
                tracing::warn!(project_id, desktop_id, reason, "desktop refused: attach not valid");
                answer.refused.push(RefusedDesktop { desktop: key, reason, identity_is_outdated: false });
            }
        }
    }
    Ok((facts, sessions))
}

fn ids(desktop: &Desktop) -> Option<(ProjectId, DesktopId)> {
    Some((desktop.project_id.parse().ok()?, desktop.desktop_id.parse().ok()?))
}

/// Facts of the well-formed desktops; malformed ones are added to `answer.refused`.
fn well_formed(connected: Vec<Desktop>, answer: &mut UpdatePresenceResponse) -> Vec<DesktopFacts> {
    let mut facts = Vec::with_capacity(connected.len());
    for desktop in connected {
        let key =
            DesktopKey { project_id: desktop.project_id.clone(), desktop_id: desktop.desktop_id.clone() };
        match desktop.facts() {
            Ok(desktop) => facts.push(desktop),
            Err(error) => {
                let DesktopKey { project_id, desktop_id } = &key;
                tracing::warn!(
                    project_id, desktop_id, reason = %error,
                    "desktop refused: malformed description"
                );
                let (desktop, reason) = (Some(key), error.to_string());
                answer.refused.push(RefusedDesktop { desktop, reason, identity_is_outdated: false });
            }
        }
    }
    facts
}
