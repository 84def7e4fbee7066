//! The role `worker`.

use mtls::Role;
use tokio_util::sync::CancellationToken;

use super::{
    certificates,
    database::bind,
    health::{self, HealthRole, Readiness},
};
use crate::config::Settings;

/// Runs the worker until `stop`.
pub(crate) async fn worker(settings: &Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = bind(&settings.worker.listen, "agents").await?;
    let tls = certificates::load(&settings.tls, Role::Worker, &listener)?;
    let ready = worker::Ready::default();
    health::serve(&settings.telemetry, HealthRole::Worker, hears_a_scheduler(ready.clone()), stop.clone())
        .await?;
    let serving = worker::run(settings.worker.clone(), listener, tls.clone(), ready, stop);
    Ok(Box::pin(certificates::watched(tls, None, serving)).await?)
}

fn hears_a_scheduler(ready: worker::Ready) -> Readiness {
    health::readiness(move || {
        let reason = "no scheduler answers the worker's heartbeats, or the worker is stopping";
        std::future::ready(ready.is_ready().then_some(()).ok_or_else(|| reason.to_owned()))
    })
}
