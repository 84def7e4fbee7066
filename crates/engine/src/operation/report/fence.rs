//! Matches reported results with leases: see `domain::report_fence`.

use std::collections::HashMap;

use domain::{
    ids::{BatchId, TaskId, WorkerId},
    report_fence::ReportFence,
};

use super::ReportedTarget;
use crate::{
    Rows,
    rollout::Targets,
    row::{TargetLease, Whereabouts},
};

/// Leases and places of the targets in a worker's report.
#[derive(Debug)]
pub(super) struct Claims {
    worker_id: WorkerId,
    leases: HashMap<u32, TargetLease>,
    /// Targets whose results name no current lease.
    loose: HashMap<u32, Whereabouts>,
}

impl Claims {
    /// Reads the whereabouts of targets whose results name no current lease.
    pub(super) async fn read<R: Rows>(
        rows: &mut R,
        task_id: TaskId,
        worker_id: &WorkerId,
        targets: &Targets,
        results: &[ReportedTarget],
    ) -> Result<Self, R::Error> {
        let leases = targets.values().filter_map(|target| Some((target.ordinal, target.lease.clone()?)));
        let leases = leases.collect();
        let mut claims = Self { worker_id: worker_id.clone(), leases, loose: HashMap::new() };
        let is_loose = |result: &&ReportedTarget| claims.by_lease(result).is_none();
        let loose: Vec<u32> = results.iter().filter(is_loose).map(|result| result.ordinal).collect();
        if !loose.is_empty() {
            let found = rows.whereabouts(task_id, &loose).await?;
            claims.loose = found.into_iter().map(|place| (place.ordinal, place)).collect();
        }
        Ok(claims)
    }

    /// Returns the fence of a result.
    pub(super) fn of(&self, result: &ReportedTarget) -> ReportFence {
        self.by_lease(result).unwrap_or_else(|| match self.loose.get(&result.ordinal) {
            Some(place) if !place.agent_id.is_empty() && place.agent_id != result.agent_id => {
                ReportFence::ForAnotherAgent
            }
            Some(Whereabouts { maybe_delivered: false, .. }) => ReportFence::NeverDelivered,
            _ => ReportFence::MaybeDelivered,
        })
    }

    /// Returns for a deferred target whether it may have been delivered; `None` if the target is
    /// not deferred.
    pub(super) fn deferred(&self, ordinal: u32) -> Option<bool> {
        let place = self.loose.get(&ordinal).filter(|place| place.batch_id.is_none())?;
        Some(place.maybe_delivered)
    }

    /// Returns the batch that a result completes: the one that holds the target now, also if the
    /// result came from a journal and names none.
    pub(super) fn batch_of(&self, result: &ReportedTarget) -> Option<BatchId> {
        let holder = self.loose.get(&result.ordinal).and_then(|place| place.batch_id);
        holder.or(result.batch_id)
    }

    fn by_lease(&self, result: &ReportedTarget) -> Option<ReportFence> {
        let lease =
            self.leases.get(&result.ordinal).filter(|lease| Some(lease.batch_id) == result.batch_id)?;
        Some(if lease.agent_id != result.agent_id {
            ReportFence::ForAnotherAgent
        } else if lease.worker_id != self.worker_id {
            ReportFence::HeldByAnother
        } else {
            ReportFence::Held
        })
    }
}
