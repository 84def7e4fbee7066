//! What reported results are of: see `domain::claim`.

use std::collections::{BTreeMap, HashMap};

use domain::{
    claim::Claim,
    ids::{BatchId, TaskId, WorkerId},
};

use super::ReportedTarget;
use crate::{
    Rows,
    row::{BatchRow, Whereabouts},
};

/// A leased batch: its holder, and the agent of each of its targets.
#[derive(Debug)]
struct Held {
    is_reporter: bool,
    agents: HashMap<u32, String>,
}

/// What the results of a worker are of.
#[derive(Debug)]
pub(super) struct Claims {
    leased: HashMap<BatchId, Held>,
    /// Targets of results that name no leased batch with them.
    loose: HashMap<u32, Whereabouts>,
}

impl Claims {
    /// Reads where the targets of results are that name no leased batch with them.
    pub(super) async fn read<R: Rows>(
        rows: &mut R,
        task_id: TaskId,
        worker_id: &WorkerId,
        batches: &BTreeMap<BatchId, BatchRow>,
        results: &[ReportedTarget],
    ) -> Result<Self, R::Error> {
        let leased = batches.values().filter(|batch| batch.lease_until.is_some());
        let leased = leased.map(|batch| (batch.batch_id, Held::of(batch, worker_id))).collect();
        let mut claims = Self { leased, loose: HashMap::new() };
        let is_loose = |result: &&ReportedTarget| claims.in_batch(result).is_none();
        let loose: Vec<u32> = results.iter().filter(is_loose).map(|result| result.ordinal).collect();
        if !loose.is_empty() {
            let found = rows.whereabouts(task_id, &loose).await?;
            claims.loose = found.into_iter().map(|place| (place.ordinal, place)).collect();
        }
        Ok(claims)
    }

    /// What a result is of.
    pub(super) fn of(&self, result: &ReportedTarget) -> Claim {
        self.in_batch(result).unwrap_or_else(|| match self.loose.get(&result.ordinal) {
            Some(Whereabouts { maybe_handed: false, .. }) => Claim::NeverHanded,
            Some(place) if place.agent_id != result.agent_id => Claim::ForAnotherAgent,
            _ => Claim::MaybeHanded,
        })
    }

    /// For a target that is deferred, whether it may have been handed out.
    pub(super) fn deferred(&self, ordinal: u32) -> Option<bool> {
        let place = self.loose.get(&ordinal).filter(|place| place.batch_id.is_none())?;
        Some(place.maybe_handed)
    }

    fn in_batch(&self, result: &ReportedTarget) -> Option<Claim> {
        let held = self.leased.get(&result.batch_id?)?;
        if !held.is_reporter {
            return Some(Claim::HeldByAnother);
        }
        let agent_id = held.agents.get(&result.ordinal)?;
        Some(if *agent_id == result.agent_id { Claim::Held } else { Claim::ForAnotherAgent })
    }
}

impl Held {
    fn of(batch: &BatchRow, worker_id: &WorkerId) -> Self {
        let agents = batch.members.iter().map(|member| (member.ordinal, member.agent_id.clone()));
        Self { is_reporter: batch.worker_id == *worker_id, agents: agents.collect() }
    }
}
