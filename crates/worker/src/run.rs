//! The worker as a whole: its parts, its start and its orderly end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::scheduler::DeregisterRequest;
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use uuid::Uuid;

use crate::{
    Config, gateway, heartbeat,
    ledger::Ledger,
    presence::{self, Presence},
    pull,
    registry::Registry,
    renew,
    report::{self, Reports},
    scheduler::{self, Client, with_deadline},
};

/// Reports on their way at once. The wave's lock takes them one by one; a second one is prepared meanwhile.
const REPORTERS: usize = 2;
/// How long the schedulers are asked to forget us at the end.
const GOODBYE: Duration = Duration::from_secs(3);

/// The worker could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A scheduler's URL is none.
    #[error("worker.scheduler_urls holds something that is no URL")]
    SchedulerUrl(#[source] tonic::transport::Error),
    /// The gateway broke.
    #[error("the agents' gateway failed")]
    Gateway(#[source] tonic::transport::Error),
}

/// Everything that the parts share.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) worker_id: String,
    pub(crate) address: String,
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) ledger: Ledger,
    pub(crate) presence: Presence,
    pub(crate) reports: Reports,
    pub(crate) heartbeat_now: Notify,
    lease_ms: AtomicU32,
    pub(crate) lease_changed: Notify,
    draining: AtomicBool,
    reports_in_flight: Arc<AtomicUsize>,
}

/// Counts a report for as long as it lives.
#[derive(Debug)]
pub(crate) struct ReportInFlight(Arc<AtomicUsize>);

impl Drop for ReportInFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Worker {
    fn new(config: Config, address: String) -> Self {
        Self {
            // One id for each run: what an earlier run held is not ours.
            worker_id: format!("worker-{}", Uuid::now_v7().simple()),
            address,
            config,
            registry: Registry::default(),
            ledger: Ledger::default(),
            presence: Presence::default(),
            reports: Reports::default(),
            heartbeat_now: Notify::new(),
            lease_ms: AtomicU32::new(30_000),
            lease_changed: Notify::new(),
            draining: AtomicBool::new(false),
            reports_in_flight: Arc::default(),
        }
    }

    /// How long leases last, as the schedulers said last.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(u64::from(self.lease_ms.load(Ordering::Relaxed)))
    }

    pub(crate) fn set_lease_ms(&self, lease_ms: u32) {
        if self.lease_ms.swap(lease_ms.max(1), Ordering::Relaxed) != lease_ms {
            self.lease_changed.notify_one();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    pub(crate) fn report_in_flight(&self) -> ReportInFlight {
        self.reports_in_flight.fetch_add(1, Ordering::SeqCst);
        ReportInFlight(Arc::clone(&self.reports_in_flight))
    }

    fn has_reported(&self) -> bool {
        self.reports.is_empty() && self.reports_in_flight.load(Ordering::SeqCst) == 0
    }
}

/// Serves agents on the listener and works for the schedulers until `stop`; then lets running scripts end for as
/// long as the configuration says, reports, and says goodbye.
pub async fn run(config: Config, listener: TcpListener, stop: CancellationToken) -> Result<(), Error> {
    let client = scheduler::connect(&config.scheduler_urls).map_err(Error::SchedulerUrl)?;
    let address = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
    let worker = Arc::new(Worker::new(config, address));
    tracing::info!(worker_id = worker.worker_id, address = worker.address, "worker starts");

    let mut parts = JoinSet::new();
    parts.spawn({
        let (worker, client) = both(&worker, &client);
        async move { heartbeat::run(&worker, client).await }
    });
    parts.spawn({
        let (worker, client) = both(&worker, &client);
        async move { presence::run(&worker, client).await }
    });
    parts.spawn({
        let (worker, client) = both(&worker, &client);
        async move { renew::run(&worker, client).await }
    });
    for _ in 0..REPORTERS {
        parts.spawn({
            let (worker, client) = both(&worker, &client);
            async move { report::run(&worker, client).await }
        });
    }
    let mut pulling = JoinSet::new();
    pulling.spawn({
        let (worker, client) = both(&worker, &client);
        async move { pull::run(&worker, client).await }
    });

    let gateway_stop = CancellationToken::new();
    let gateway = tokio::spawn(serve(Arc::clone(&worker), listener, gateway_stop.clone()));
    let mut gateway = std::pin::pin!(gateway);
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        ended = &mut gateway => Some(ended),
    };
    if let Some(ended) = failed {
        return ended.unwrap_or(Ok(()));
    }
    drain(&worker, &mut pulling).await;
    gateway_stop.cancel();
    worker.registry.close_unless(|_| false);
    say_goodbye(&worker, client).await;
    parts.shutdown().await;
    if tokio::time::timeout(GOODBYE, gateway).await.is_err() {
        tracing::debug!("agents' connections were cut");
    }
    tracing::info!(worker_id = worker.worker_id, "worker stopped");
    Ok(())
}

/// A part's own handles.
fn both(worker: &Arc<Worker>, client: &Client) -> (Arc<Worker>, Client) {
    (Arc::clone(worker), client.clone())
}

async fn serve(worker: Arc<Worker>, listener: TcpListener, stop: CancellationToken) -> Result<(), Error> {
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(gateway::service(worker))
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop.cancelled_owned(),
        )
        .await
        .map_err(Error::Gateway)
}

/// Takes nothing new, sends idle agents elsewhere, and waits for what runs.
async fn drain(worker: &Worker, pulling: &mut JoinSet<()>) {
    worker.draining.store(true, Ordering::SeqCst);
    worker.heartbeat_now.notify_one();
    pulling.shutdown().await;
    let patience = Duration::from_millis(worker.config.drain_timeout_ms);
    let emptied = async {
        loop {
            let changed = worker.ledger.changed.notified();
            let busy = worker.ledger.busy_sessions();
            worker.registry.close_unless(|session| busy.contains(&session));
            if busy.is_empty() && worker.has_reported() {
                return;
            }
            // A report that ends rings no bell of its own.
            drop(tokio::time::timeout(Duration::from_millis(50), changed).await);
        }
    };
    if tokio::time::timeout(patience, emptied).await.is_err() {
        let reported = worker.has_reported();
        tracing::warn!(
            targets = worker.ledger.len(),
            reported,
            "stopping although something is in hand: others take it over"
        );
    }
}

async fn say_goodbye(worker: &Worker, mut client: Client) {
    let request = with_deadline(DeregisterRequest { worker_id: worker.worker_id.clone() }, GOODBYE);
    if let Err(status) = client.deregister(request).await {
        tracing::warn!(%status, "no scheduler heard the goodbye: the leases run out by themselves");
    }
}
