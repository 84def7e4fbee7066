//! Presence updates: desktops that connected to a worker or disconnected from it.

use domain::{
    desktop::DesktopFacts,
    identity::Refusal,
    ids::{DesktopId, ProjectId},
    limits,
};
use proto::{
    scheduler::{DesktopKey, RefusedDesktop, UpdatePresenceRequest, UpdatePresenceResponse},
    types::Desktop,
};
use tonic::{Request, Response, Status};

use super::{
    context::{Service, desktop_key},
    error::{invalid, too_many},
    peer::called,
};
use crate::presence;

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
    let connected = well_formed(connected, &mut answer);
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
    Ok(Response::new(answer))
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
