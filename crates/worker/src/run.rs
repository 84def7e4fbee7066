//! Life cycle of the worker: start, parts and shutdown.

use std::{sync::Arc, time::Duration};

use mtls::{Identity, Tls};
use proto::scheduler::DeregisterRequest;
use server::{Guard, Listener, Security};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;

use crate::{
    Config, Ready, acknowledge, address, drain, enrolment, gateway, heartbeat, live_output, metrics,
    presence_sync, pull, renew, reporter, room_watch,
    scheduler::{self, Client, with_deadline},
    started_report,
    state::Worker,
    stops,
};

/// Number of concurrent reports. The wave's lock serialises them; the second report is prepared
/// meanwhile.
const REPORTERS: usize = 2;
/// Connections beyond `max_agents`, so that surplus agents get an explicit refusal.
const MORE_CONNECTIONS: usize = 100;
const UNREAD_BYTES: u32 = 64 << 10;
/// Maximum number of streams per connection: one for the agent, and health checks.
const STREAMS_PER_AGENT: u32 = 4;
const HEADERS_MAX_BYTES: u32 = 16 << 10;
/// Guard of the attach service.
const AGENTS: Guard = Guard { who: "agents", allows: Identity::is_desktop, allow_anonymous: false };
/// Guard of the enrolment service.
const ENROLLING: Guard =
    Guard { who: "agents, and who has a token", allows: Identity::is_desktop, allow_anonymous: true };
/// Time limit for agents' connections to close at a shutdown.
const GOODBYE: Duration = Duration::from_secs(3);
/// Deadlines of the attempts to deregister: a short one for a hung scheduler, then a longer one for
/// a slow one.
const GOODBYE_TIMEOUTS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// Cause of a failed worker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A scheduler URL is malformed.
    #[error("worker.scheduler_urls contains an invalid URL")]
    SchedulerUrl(#[source] tonic::transport::Error),
    /// A scheduler URL has the wrong scheme for the TLS settings.
    #[error("worker.scheduler_urls: {0}")]
    SchedulerScheme(String),
    /// The agent gateway failed.
    #[error("the agent gateway failed")]
    Gateway(#[source] tonic::transport::Error),
}

/// Serves agents on the listener and works for the schedulers until `stop`. Then it waits for
/// running scripts for the configured time, reports their results and deregisters. With
/// certificates, both sides use mutual TLS; the caller watches the certificate files.
pub async fn run(
    config: Config,
    listener: TcpListener,
    tls: Option<Tls>,
    ready: Ready,
    stop: CancellationToken,
) -> Result<(), Error> {
    for url in &config.scheduler_urls {
        mtls::check_url(url, tls.is_some()).map_err(Error::SchedulerScheme)?;
    }
    let client = scheduler::connect(&config.scheduler_urls, tls.as_ref()).map_err(Error::SchedulerUrl)?;
    let address = listener.local_addr().map(address::for_people).unwrap_or_default();
    let worker = Arc::new(Worker::new(config, address, tls.as_ref()));
    tracing::info!(
        worker_id = worker.worker_id,
        address = worker.address,
        max_agents = worker.config.max_agents(),
        "worker starts"
    );

    let mut parts = spawn_parts(&worker, &client, ready.clone());
    let mut pulling = JoinSet::new();
    pulling.spawn({
        let (worker, client) = both(&worker, &client);
        async move { pull::run(&worker, client).await }
    });

    let gateway_stop = CancellationToken::new();
    let gateway =
        tokio::spawn(serve(Arc::clone(&worker), client.clone(), listener, tls, gateway_stop.clone()));
    let mut gateway = std::pin::pin!(gateway);
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        ended = &mut gateway => Some(ended),
    };
    if let Some(ended) = failed {
        return ended.unwrap_or(Ok(()));
    }
    finish_in_flight(&worker, &ready, &mut pulling).await;
    gateway_stop.cancel();
    drop(worker.registry.close_unless(|_| false));
    say_goodbye(&worker, client).await;
    parts.shutdown().await;
    if tokio::time::timeout(GOODBYE, gateway).await.is_err() {
        tracing::debug!("agent connections closed by force");
    }
    tracing::info!(worker_id = worker.worker_id, "worker stopped");
    Ok(())
}

/// Starts everything but the pull and the gateway.
fn spawn_parts(worker: &Arc<Worker>, client: &Client, ready: Ready) -> JoinSet<()> {
    let mut parts = JoinSet::new();
    parts.spawn({
        let (worker, client) = both(worker, client);
        async move { heartbeat::run(&worker, client, &ready).await }
    });
    parts.spawn({
        let worker = Arc::clone(worker);
        async move { metrics::run(&worker).await }
    });
    parts.spawn({
        let worker = Arc::clone(worker);
        async move { acknowledge::run(&worker).await }
    });
    parts.spawn({
        let (worker, client) = both(worker, client);
        async move { presence_sync::run(&worker, client).await }
    });
    parts.spawn({
        let (worker, client) = both(worker, client);
        async move { renew::run(&worker, client).await }
    });
    parts.spawn({
        let worker = Arc::clone(worker);
        async move { drain::run(&worker).await }
    });
    parts.spawn({
        let worker = Arc::clone(worker);
        async move { room_watch::run(&worker).await }
    });
    parts.spawn({
        let (worker, client) = both(worker, client);
        async move { started_report::run(&worker, client).await }
    });
    parts.spawn({
        let (worker, client) = both(worker, client);
        async move { live_output::run(&worker, client).await }
    });
    // Not part of pulling, which ends when the drain begins: targets that still run can be stopped.
    parts.spawn({
        let (worker, client) = both(worker, client);
        async move { stops::run(&worker, client).await }
    });
    for _ in 0..REPORTERS {
        parts.spawn({
            let (worker, client) = both(worker, client);
            async move { reporter::run(&worker, client).await }
        });
    }
    parts
}

/// Clones of the worker and the client for one part.
fn both(worker: &Arc<Worker>, client: &Client) -> (Arc<Worker>, Client) {
    (Arc::clone(worker), client.clone())
}

async fn serve(
    worker: Arc<Worker>,
    client: Client,
    listener: TcpListener,
    tls: Option<Tls>,
    stop: CancellationToken,
) -> Result<(), Error> {
    // Surplus connections get an explicit refusal.
    let max_connections = worker.config.max_agents().saturating_add(MORE_CONNECTIONS);
    let security = Security::new(tls);
    let security = if worker.config.enrolment { security.with_strangers() } else { security };
    let enrolment = enrolment::service(Arc::clone(&worker), client);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        // Limits the unread bytes of an agent: its results wait on the desktop, not in this
        // process's memory.
        .initial_stream_window_size(UNREAD_BYTES)
        .initial_connection_window_size(UNREAD_BYTES)
        .max_concurrent_streams(STREAMS_PER_AGENT)
        .http2_max_header_list_size(HEADERS_MAX_BYTES)
        .add_service(InterceptedService::new(gateway::service(worker), AGENTS))
        .add_service(InterceptedService::new(enrolment, ENROLLING))
        .serve_with_incoming_shutdown(
            server::grpc(Listener::new(listener, max_connections), security),
            stop.cancelled_owned(),
        )
        .await
        .map_err(Error::Gateway)
}

/// Stops accepting work, redirects idle agents, and waits for running targets.
async fn finish_in_flight(worker: &Worker, ready: &Ready, pulling: &mut JoinSet<()>) {
    worker.start_draining();
    // The heartbeat in flight may take seconds.
    ready.set(worker.readiness());
    pulling.shutdown().await;
    let patience = Duration::from_millis(worker.config.drain_timeout_ms);
    let emptied = async {
        loop {
            let changed = worker.in_flight.changed.notified();
            let (_, is_idle) = drain::send_idle_away(worker);
            if is_idle && worker.has_reported() {
                return;
            }
            // The end of a report does not notify.
            drop(tokio::time::timeout(Duration::from_millis(50), changed).await);
        }
    };
    if tokio::time::timeout(patience, emptied).await.is_err() {
        let reported = worker.has_reported();
        tracing::warn!(
            targets = worker.in_flight.len(),
            reported,
            "stopping with targets in flight: other workers take them over"
        );
    }
}

async fn say_goodbye(worker: &Worker, mut client: Client) {
    for timeout in GOODBYE_TIMEOUTS {
        let request = DeregisterRequest { worker_id: worker.worker_id.clone() };
        match client.deregister(with_deadline(request, timeout)).await {
            Ok(_) => return,
            Err(status) => {
                tracing::warn!(?timeout, %status, "deregistration failed; the leases will expire");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::schema::SCHEMA_VERSION;

    use super::*;

    #[tokio::test]
    async fn stopping_worker_is_not_ready_before_its_next_heartbeat() {
        let (worker, ready) = (Worker::new(Config::default(), String::new(), None), Ready::default());
        worker.admission.report(Some(SCHEMA_VERSION));
        ready.set(worker.readiness());
        assert_eq!(ready.check(), Ok(()));
        finish_in_flight(&worker, &ready, &mut JoinSet::new()).await;
        assert_eq!(ready.check(), Err("the worker drains".to_owned()));
    }
}
