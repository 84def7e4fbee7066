//! The state of a worker, which its process loses.

use std::collections::BTreeMap;

use domain::ids::BatchId;

use crate::rollout::event::{Returned, Session, TargetReport};

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

/// One run of a worker's process.
#[derive(Debug, Default)]
pub(in crate::rollout) struct WorkerState {
    pub(in crate::rollout) alive: bool,
    pub(in crate::rollout) draining: bool,
    /// By ordinal.
    pub(in crate::rollout) sessions: BTreeMap<u32, Session>,
    pub(in crate::rollout) targets: BTreeMap<u32, Held>,
    /// Leases in hand, each with how many of its targets are.
    pub(in crate::rollout) batches: BTreeMap<BatchId, u32>,
    /// Who came and went, until a scheduler knows.
    pub(in crate::rollout) changes: BTreeMap<u32, bool>,
    /// What is just being told, by the call's number.
    pub(in crate::rollout) telling: Option<(u64, BTreeMap<u32, bool>)>,
    pub(in crate::rollout) told: u64,
    pub(in crate::rollout) results: Vec<TargetReport>,
    pub(in crate::rollout) returned: Vec<Returned>,
    pub(in crate::rollout) report: Option<Report>,
    pub(in crate::rollout) reports: u64,
    pub(in crate::rollout) flushes: bool,
    pub(in crate::rollout) tells: bool,
}

impl WorkerState {
    pub(in crate::rollout) fn let_go(&mut self, ordinal: u32) -> Option<Held> {
        let held = self.targets.remove(&ordinal)?;
        if let Some(number) = self.batches.get_mut(&held.batch) {
            *number = number.saturating_sub(1);
            if *number == 0 {
                self.batches.remove(&held.batch);
            }
        }
        Some(held)
    }

    /// Whether it has nothing in hand and nothing to tell.
    pub(in crate::rollout) fn is_done(&self) -> bool {
        self.targets.is_empty()
            && self.results.is_empty()
            && self.returned.is_empty()
            && self.report.is_none()
    }
}
