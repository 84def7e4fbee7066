//! Leases: the batches that a worker may pull.

use std::{collections::BTreeMap, convert::Infallible};

use domain::{
    Timestamp,
    ids::{BatchId, ProjectId, TaskId, WorkerId},
    quarantine,
};
use engine::{
    LeaseRows,
    row::{BatchRow, LeaseChoice, ReadyBatch},
};

use super::{Always, Batch, MemoryStore};
use crate::row_values;

impl LeaseRows for MemoryStore {
    type Error = Infallible;

    async fn lock_leasable(
        &mut self,
        worker_id: &WorkerId,
        survived: Timestamp,
        with_suspended: bool,
        limit: u32,
    ) -> Always<(Vec<ReadyBatch>, bool)> {
        let capacity = self.workers.get(worker_id).map_or(0, |worker| worker.capacity);
        let mut ready = Vec::new();
        let mut has_suspect = false;
        let mut held: BTreeMap<(ProjectId, TaskId), u32> = BTreeMap::new();
        for table in self.tasks.values() {
            let limits = self.limits.get(&table.facts.project_id);
            let max_running = limits.and_then(|limits| limits.max_running_per_desktop);
            let batches = table.batches.values().filter(|batch| batch.row.worker_id == *worker_id);
            for Batch { row, leased_at, reported } in batches {
                if row.lease_until.is_some() {
                    let key = (table.facts.project_id.clone(), row.terms.task_id);
                    let members = u32::try_from(row.members.len()).unwrap_or(u32::MAX);
                    *held.entry(key).or_default() += members.saturating_sub(*reported);
                    has_suspect |= quarantine::is_suspect(row.terms.worker_deaths)
                        && leased_at.is_some_and(|at| at > survived);
                } else if with_suspended || !row.suspended {
                    let first = row.members.first().map_or(0, |member| member.ordinal);
                    ready.push((first, row_values::ready(row, &table.facts, capacity, max_running)));
                }
            }
        }
        ready.sort_by_key(|(first, batch)| (*first, batch.batch_id));
        let mut ready: Vec<ReadyBatch> = ready.into_iter().map(|(_, batch)| batch).collect();
        in_turns(&mut ready, &held);
        ready.truncate(limit as usize);
        Ok((ready, has_suspect))
    }

    async fn lease(
        &mut self,
        choices: &[LeaseChoice],
        now: Timestamp,
        until: Timestamp,
    ) -> Always<Vec<BatchRow>> {
        let mut leased = Vec::new();
        for &LeaseChoice { task_id, batch_id, part, later } in choices {
            let batch_id = part.map_or(batch_id, |part| self.split(task_id, batch_id, part));
            let Some(batch) = self.batch_mut(task_id, batch_id) else { continue };
            batch.row.epoch += 1;
            batch.row.terms.deadlines = batch.row.terms.deadlines.later(later);
            (batch.row.lease_until, batch.leased_at) = (Some(until), Some(now));
            leased.push(batch.row.clone());
        }
        Ok(leased)
    }
}

impl MemoryStore {
    fn batch_mut(&mut self, task_id: TaskId, batch_id: BatchId) -> Option<&mut Batch> {
        self.tasks.get_mut(&task_id)?.batches.get_mut(&batch_id)
    }

    /// Moves the first `keep` members of a ready batch into a new batch. The rest keeps the row.
    fn split(&mut self, task_id: TaskId, batch_id: BatchId, keep: u32) -> BatchId {
        let head_id = self.next_batch_id();
        let Some(batch) = self.batch_mut(task_id, batch_id) else { return batch_id };
        let rest = batch.row.members.split_off(keep as usize);
        let members = std::mem::replace(&mut batch.row.members, rest);
        let row = BatchRow { batch_id: head_id, members, suspended: false, ..batch.row.clone() };
        let head = Batch { row, leased_at: None, reported: 0 };
        if let Some(table) = self.tasks.get_mut(&task_id) {
            table.batches.insert(head_id, head);
        }
        head_id
    }
}

/// Sorts ready batches, which are in the order of the plan, as they are offered: first one of each
/// project, then the second ones.
fn in_turns(ready: &mut [ReadyBatch], held: &BTreeMap<(ProjectId, TaskId), u32>) {
    for batch in &mut *ready {
        let of_project = held.iter().filter(|((project_id, _), _)| *project_id == batch.project_id);
        batch.held_by_project = of_project.map(|(_, number)| number).sum();
        let key = (batch.project_id.clone(), batch.task_id);
        batch.held_by_task = held.get(&key).copied().unwrap_or_default();
    }
    let mut places: BTreeMap<TaskId, u32> = BTreeMap::new();
    let place_of = |batch: &ReadyBatch, places: &mut BTreeMap<TaskId, u32>| {
        let place = places.entry(batch.task_id).or_default();
        *place += 1;
        (batch.batch_id, *place)
    };
    let place: BTreeMap<BatchId, u32> = ready.iter().map(|batch| place_of(batch, &mut places)).collect();
    ready.sort_by_key(|batch| (place.get(&batch.batch_id).copied(), batch.held_by_task, batch.task_id));
    let mut turns: BTreeMap<ProjectId, u32> = BTreeMap::new();
    let turn: BTreeMap<BatchId, u32> = ready
        .iter()
        .map(|batch| {
            let turn = turns.entry(batch.project_id.clone()).or_default();
            *turn += 1;
            (batch.batch_id, *turn)
        })
        .collect();
    ready.sort_by_key(|batch| (turn.get(&batch.batch_id).copied(), batch.held_by_project, batch.task_id));
}
