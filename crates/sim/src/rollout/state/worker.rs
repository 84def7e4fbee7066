//! The state of a worker. Its process loses it.

use std::collections::BTreeMap;

use domain::{Timestamp, ids::BatchId};

use crate::rollout::event::{Desktop, Returned, Session, Target, TargetReport, Task};

/// A target in a worker's hands, until its result is stored.
#[derive(Debug, Clone, Copy)]
pub(in crate::rollout) struct Held {
    pub(in crate::rollout) batch: BatchId,
    pub(in crate::rollout) session: Session,
}

/// A report on its way.
#[derive(Debug, Clone)]
pub(in crate::rollout) struct Report {
    pub(in crate::rollout) number: u64,
    pub(in crate::rollout) results: Vec<TargetReport>,
    pub(in crate::rollout) returned: Vec<Returned>,
}

/// A lease in a worker's hands.
#[derive(Debug, Clone, Copy)]
pub(in crate::rollout) struct Lease {
    pub(in crate::rollout) task: Task,
    /// Number of targets in the worker's hands.
    pub(in crate::rollout) targets: u32,
}

/// One run of a worker's process.
#[derive(Debug, Default)]
pub(in crate::rollout) struct WorkerState {
    pub(in crate::rollout) alive: bool,
    pub(in crate::rollout) draining: bool,
    pub(in crate::rollout) sessions: BTreeMap<Desktop, Session>,
    pub(in crate::rollout) targets: BTreeMap<Target, Held>,
    pub(in crate::rollout) leases: BTreeMap<BatchId, Lease>,
    /// Desktops that connected (`true`) or disconnected, until a scheduler knows.
    pub(in crate::rollout) changes: BTreeMap<Desktop, bool>,
    /// The presence update on its way, by the number of its call.
    pub(in crate::rollout) update: Option<(u64, BTreeMap<Desktop, bool>)>,
    pub(in crate::rollout) updates: u64,
    pub(in crate::rollout) results: Vec<TargetReport>,
    pub(in crate::rollout) returned: Vec<Returned>,
    pub(in crate::rollout) report: Option<Report>,
    pub(in crate::rollout) reports: u64,
    pub(in crate::rollout) flushes: bool,
    pub(in crate::rollout) announces: bool,
    /// Whether the last heartbeat has no answer yet.
    pub(in crate::rollout) awaits_heartbeat: bool,
    /// Whether an unanswered heartbeat may have stored the worker again, without its desktops.
    pub(in crate::rollout) may_be_new: bool,
    /// Time of the last heartbeat that a link lost or delayed.
    pub(in crate::rollout) heartbeat_disturbed_at: Option<Timestamp>,
}

impl WorkerState {
    pub(in crate::rollout) fn release(&mut self, target: Target) -> Option<Held> {
        let held = self.targets.remove(&target)?;
        if let Some(lease) = self.leases.get_mut(&held.batch) {
            lease.targets = lease.targets.saturating_sub(1);
            if lease.targets == 0 {
                self.leases.remove(&held.batch);
            }
        }
        Some(held)
    }

    /// Whether it holds nothing and has nothing to report.
    pub(in crate::rollout) fn is_done(&self) -> bool {
        self.targets.is_empty()
            && self.results.is_empty()
            && self.returned.is_empty()
            && self.report.is_none()
    }
}
