//! The role `api`.

use std::time::Duration;

use control::Control;
use mtls::WebTls;
use server::Listener;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    certificates,
    database::{self, bind, control, database_seen, watched},
    health::{self, HealthRole},
    http,
};
use crate::{config::Settings, reload::reloading, service_manager};

/// Interval between deletions of expired signatures and idempotency keys.
const FORGET_EVERY: Duration = Duration::from_secs(300);

/// Serves the REST API until `stop`.
pub(crate) async fn api(settings: &Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = bind(settings.api.address(), "the REST API").await?;
    let tls = certificates::https(&settings.api, listener.local_addr()?)?;
    let (database, keys) = (settings.store()?, settings.access.master_keys()?);
    let store = database.store.clone();
    let control = control(settings, store.clone(), keys.keys.clone())?;
    database::warn_of_unverified(settings);
    health::serve(&settings.telemetry, HealthRole::Api, database_seen(&store), stop.clone()).await?;
    service_manager::ready(&stop);
    let serving = watched(&store, Box::pin(serve_api(settings, control, listener, tls, stop)));
    reloading([Some(&database), None], &keys, serving).await
}

pub(crate) async fn serve_api(
    settings: &Settings,
    control: Control,
    listener: TcpListener,
    tls: Option<WebTls>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let options = api::Options { stop: stop.clone(), ..settings.api_options()? };
    let router = api::router(control.clone(), &options);
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!(address = %listener.local_addr()?, scheme, "REST API ready");
    let listener = Listener::new(listener, settings.api.max_connections);
    let serving = http::serve(listener, router, tls.clone(), stop.clone());
    tokio::join!(WebTls::watched(tls, serving), forget_expired(&control, &stop));
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
