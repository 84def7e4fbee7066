//! The role `worker`.

use mtls::Role;
use tokio_util::sync::CancellationToken;

use super::{
    certificates,
    database::bind,
    health::{self, HealthRole, Readiness},
    memory,
};
use crate::{config::Settings, service_manager};

/// Runs the worker until `stop`.
pub(crate) async fn worker(settings: &Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let config = settings.worker.clone().with_memory(memory::limit())?;
    let listener = bind(&settings.worker.listen, "agents").await?;
    let tls = certificates::load(&settings.tls, Role::Worker, &listener)?;
    let ready = worker::Ready::default();
    health::serve(&settings.telemetry, HealthRole::Worker, admitted(ready.clone()), stop.clone()).await?;
    service_manager::ready(&stop);
    let serving = worker::run(config, listener, tls.clone(), ready, stop);
    Ok(Box::pin(certificates::watched(tls, None, serving)).await?)
}

fn admitted(ready: worker::Ready) -> Readiness {
    health::readiness(move || std::future::ready(ready.check()))
}
