//! State that the worker's parts share.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use mtls::Tls;
use proto::{order::SignedDenyList, scheduler::RevokedConnection};
use time_sync::{Clock, SampleStart, TimeSample};
use tokio::sync::{Notify, SetOnce, watch};
use uuid::Uuid;

use crate::{
    Config, acks::Acks, admission::Admission, agent_version::AgentVersions, deny_list::DenyLists,
    in_flight::InFlight, outbox::OrderRoom, output_queue::OutputQueue, presence::Presence,
    registry::Registry, report_queue::Reports, started::Started,
};

/// Shared state of one run of the worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) worker_id: String,
    pub(crate) address: String,
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    /// Certificates that this worker and its agents refuse.
    pub(crate) deny_lists: DenyLists,
    pub(crate) in_flight: InFlight,
    /// Room for orders that wait for agents.
    pub(crate) order_room: OrderRoom,
    pub(crate) presence: Presence,
    pub(crate) reports: Reports,
    /// Acknowledgements that wait for an order to their agent.
    pub(crate) acks: Acks,
    pub(crate) started: Started,
    /// Output of running scripts.
    pub(crate) output_queue: OutputQueue,
    pub(crate) heartbeat_now: Notify,
    /// Whether the schedulers admit this worker.
    pub(crate) admission: Admission,
    /// Checks of the versions of agents.
    pub(crate) agent_versions: AgentVersions,
    /// Time of the schedulers.
    pub(crate) clock: Clock,
    time_known: SetOnce<()>,
    lease_ms: AtomicU32,
    pub(crate) lease_changed: Notify,
    stopping: AtomicBool,
    /// Whether an operator requested a drain.
    drain_requested: watch::Sender<bool>,
}

impl Worker {
    pub(crate) fn new(config: Config, address: String, tls: Option<&Tls>) -> Self {
        // One id for each run: leases of an earlier run do not belong to this one.
        let run = Uuid::now_v7().simple().to_string();
        Self {
            worker_id: tls
                .and_then(|tls| tls.identity().worker_id(&run))
                .unwrap_or_else(|| format!("worker-{run}")),
            address,
            config,
            registry: Registry::default(),
            deny_lists: DenyLists::new(tls.cloned()),
            in_flight: InFlight::default(),
            order_room: OrderRoom::default(),
            presence: Presence::default(),
            reports: Reports::default(),
            acks: Acks::default(),
            started: Started::default(),
            output_queue: OutputQueue::default(),
            heartbeat_now: Notify::new(),
            agent_versions: AgentVersions::default(),
            admission: Admission::default(),
            clock: Clock::new(),
            time_known: SetOnce::new(),
            lease_ms: AtomicU32::new(30_000),
            lease_changed: Notify::new(),
            stopping: AtomicBool::new(false),
            drain_requested: watch::Sender::new(false),
        }
    }

    /// Records a time sample from a scheduler.
    pub(crate) fn observe_time(&self, asked: SampleStart, sample: TimeSample) {
        self.clock.answered(asked, sample);
        if self.time_known.set(()).is_err() {
            tracing::trace!("time sample added");
        }
    }

    /// Waits until a scheduler has sent the time; `None` if that takes longer than `patience`.
    pub(crate) async fn knows_time_within(&self, patience: Duration) -> Option<()> {
        tokio::time::timeout(patience, self.time_known.wait()).await.ok().copied()
    }

    /// Closes connections of revoked or retired desktops, and reports their disconnect to the
    /// schedulers.
    pub(crate) fn end_revoked(&self, revoked: Vec<RevokedConnection>) {
        for RevokedConnection { desktop, serial } in revoked {
            let Some(key) = desktop else { continue };
            if self.registry.end_revoked(&key, &serial) {
                tracing::warn!(
                    project_id = key.project_id,
                    desktop_id = key.desktop_id,
                    serial,
                    "connection closed: certificate revoked or desktop retired"
                );
            }
            if !self.registry.is_connected(&key) {
                self.presence.disconnected(key);
            }
        }
    }

    /// Takes a deny-list from a scheduler, and sends a new one to all agents.
    pub(crate) fn take_deny_list(&self, list: Option<SignedDenyList>) {
        if let Some(list) = list.and_then(|list| self.deny_lists.take(list, Instant::now())) {
            self.registry.send_deny_list(&list);
        }
    }

    /// Lease duration that the schedulers sent last.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(u64::from(self.lease_ms.load(Ordering::Relaxed)))
    }

    pub(crate) fn set_lease_ms(&self, lease_ms: u32) {
        if self.lease_ms.swap(lease_ms.max(1), Ordering::Relaxed) != lease_ms {
            self.lease_changed.notify_one();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.stopping.load(Ordering::SeqCst) || *self.drain_requested.borrow()
    }

    /// Checks whether the worker is ready; the error is the reason.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        self.admission.check().map_err(|reason| reason.to_string())?;
        if self.is_draining() { Err("the worker drains".to_owned()) } else { Ok(()) }
    }

    /// Records whether an operator requests a drain.
    pub(crate) fn want_drain(&self, wanted: bool) {
        let is_news =
            self.drain_requested.send_if_modified(|before| std::mem::replace(before, wanted) != wanted);
        if is_news {
            tracing::warn!(wanted, "drain request changed");
            self.heartbeat_now.notify_one();
        }
    }

    /// Subscribes to changes of the drain request.
    pub(crate) fn drain_requested(&self) -> watch::Receiver<bool> {
        self.drain_requested.subscribe()
    }

    /// Stops accepting work and reports the drain at once.
    pub(crate) fn start_draining(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.heartbeat_now.notify_one();
    }

    /// Whether all results and returns have been reported.
    pub(crate) fn has_reported(&self) -> bool {
        self.reports.is_empty()
    }
}
