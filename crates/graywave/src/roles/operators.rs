//! The admin listener of a scheduler: the operators' services, with a server certificate of its
//! own.

use std::time::Duration;

use admin::Gated;
use anyhow::Context as _;
use mtls::{OperatorTls, Tls, WebTls};
use server::{Listener, Security};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use super::{
    certificates,
    database::bind,
    grpc::{self, Served, bounded},
    health::Readiness,
};
use crate::admin_listener::AdminListener;

/// Maximum number of calls in progress on a connection.
const STREAMS_PER_CONNECTION: u32 = 100;
const HEADERS_MAX_BYTES: u32 = 64 << 10;

/// Bound admin listener with its certificate.
pub(crate) struct OperatorListener {
    listener: TcpListener,
    max_connections: usize,
    tls: Option<WebTls>,
    /// CAs and deny-list of the clients' certificates; `None` if no certificates are accepted.
    clients: Option<Tls>,
}

impl OperatorListener {
    /// Binds the listener; `None` if none is configured.
    pub(crate) async fn bind(settings: &AdminListener, clients: Option<Tls>) -> anyhow::Result<Option<Self>> {
        let Some(address) = &settings.listen else { return Ok(None) };
        let listener = bind(address, "the admin listener").await?;
        let tls = certificates::admin(settings, listener.local_addr()?)?;
        Ok(Some(Self { listener, max_connections: settings.max_connections, tls, clients }))
    }

    /// Serves the services of operators until `stop`, while reloading a changed certificate.
    pub(crate) async fn serve(
        self,
        services: Gated,
        ready: Readiness,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let Self { listener, max_connections, tls, clients } = self;
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!(address = %listener.local_addr()?, scheme, "admin listener ready");
        let health = grpc::Health::new(ready, Served::Operators).await;
        let security = Security::of_operators(tls.clone().map(|web| OperatorTls::new(web, clients)));
        let serving = Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .http2_max_header_list_size(HEADERS_MAX_BYTES)
            .add_routes(services.guarded(certificates::PRINCIPALS))
            .add_service(health.service())
            .add_service(grpc::reflection(Served::Operators).build_v1()?)
            .add_service(grpc::reflection(Served::Operators).build_v1alpha()?)
            .serve_with_incoming_shutdown(
                server::grpc(Listener::new(listener, max_connections), security),
                stop.clone().cancelled_owned(),
            );
        let (served, ()) =
            tokio::join!(WebTls::watched(tls, bounded(serving, &stop)), health.watch(stop.clone()));
        served.context("the admin listener failed")
    }
}

#[cfg(test)]
#[path = "operators_tests.rs"]
mod tests;
