//! The role `api`.

use std::time::Duration;

use control::Control;
use server::Listener;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    database::{bind, control, database_answers, watched},
    health, http,
};
use crate::config::Settings;

/// Interval between deletions of expired signatures and idempotency keys.
const FORGET_EVERY: Duration = Duration::from_secs(300);

/// Serves the REST API until `stop`.
pub(crate) async fn api(settings: &Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = bind(&settings.api.listen, "the REST API").await?;
    let store = settings.store()?;
    let control = control(settings, store.clone())?;
    health::serve(&settings.telemetry, database_answers(&store), stop.clone()).await?;
    watched(&store, serve_api(settings, control, listener, stop)).await
}

pub(crate) async fn serve_api(
    settings: &Settings,
    control: Control,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = api::router(control.clone(), &settings.api_options());
    tracing::info!(address = %listener.local_addr()?, "REST API ready");
    let listener = Listener::new(listener, settings.api.max_connections);
    tokio::join!(http::serve(listener, router, stop.clone()), forget_expired(&control, &stop));
    Ok(())
}

/// Deletes expired signatures and idempotency keys periodically, until `stop`.
async fn forget_expired(control: &Control, stop: &CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FORGET_EVERY) => {}
        }
        if let Err(error) = control.forget_expired().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot delete expired signatures and idempotency keys"
            );
        }
    }
}
