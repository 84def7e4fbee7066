//! Leases: which batches a worker may pull, which it holds, and what of them is to be stopped.

use std::convert::Infallible;

use domain::{
    Timestamp,
    ids::{BatchId, TaskId, WorkerId},
    quarantine,
};
use engine::{
    LeaseRows,
    row::{BatchRow, LeaseChoice, ReadyBatch},
};

use super::{Always, Batch, MemoryStore, TaskTable};

impl LeaseRows for MemoryStore {
    type Error = Infallible;

    async fn lock_leasable(
        &mut self,
        worker_id: &WorkerId,
        survived: Timestamp,
        with_suspended: bool,
        limit: u32,
    ) -> Always<(Vec<ReadyBatch>, bool)> {
        let mut ready = Vec::new();
        let mut has_suspect = false;
        for Batch { row, leased_at, .. } in self.batches_of(worker_id) {
            if row.lease_until.is_some() {
                has_suspect |= quarantine::is_suspect(row.terms.worker_deaths)
                    && leased_at.is_some_and(|at| at > survived);
            } else if with_suspended || !row.suspended {
                ready.push(ready_batch(row));
            }
        }
        ready.sort_by_key(|batch| batch.batch_id);
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
        for &LeaseChoice { task_id, batch_id, part } in choices {
            let batch_id = part.map_or(batch_id, |part| self.split(task_id, batch_id, part));
            let Some(batch) = self.batch_mut(task_id, batch_id) else { continue };
            batch.row.epoch += 1;
            (batch.row.lease_until, batch.leased_at) = (Some(until), Some(now));
            leased.push(batch.row.clone());
        }
        Ok(leased)
    }
}

impl MemoryStore {
    /// Whether a worker has a ready batch, suspended or not.
    pub fn has_ready(&self, worker_id: &WorkerId) -> bool {
        self.batches_of(worker_id).any(|batch| batch.row.lease_until.is_none())
    }

    /// Extends leases that the worker still holds. Returns the others.
    pub fn renew(
        &mut self,
        worker_id: &WorkerId,
        leases: Vec<(TaskId, BatchId)>,
        until: Timestamp,
    ) -> Vec<(TaskId, BatchId)> {
        let mut lost = leases;
        lost.retain(|&(task_id, batch_id)| {
            let suspended = self.batch_mut(task_id, batch_id);
            let suspended = suspended.filter(|batch| batch.row.worker_id == *worker_id);
            suspended.and_then(|batch| batch.row.lease_until.as_mut()).map(|end| *end = until).is_none()
        });
        lost
    }

    /// Targets without a result that a worker holds and that are to be stopped.
    pub fn stops_of(&self, worker_id: &WorkerId) -> Vec<(TaskId, u32)> {
        let mut stops = Vec::new();
        for (&task_id, table) in &self.tasks {
            if !table.has_stops() {
                continue;
            }
            let marked = table.batches.values().map(|batch| &batch.row);
            let marked =
                marked.filter(|row| row.worker_id == *worker_id && row.stop && row.lease_until.is_some());
            let ordinals = marked.flat_map(|row| &row.members).map(|member| member.ordinal);
            let is_stopped = |ordinal: &u32| table.facts.killing || table.stops.contains_key(ordinal);
            let stopped = ordinals.filter(is_stopped).filter(|&ordinal| !table.has_ended(ordinal));
            stops.extend(stopped.map(|ordinal| (task_id, ordinal)));
        }
        stops
    }

    /// Whether anything of any task is to be stopped.
    pub fn has_stops(&self) -> bool {
        self.tasks.values().any(TaskTable::has_stops)
    }

    fn batches_of(&self, worker_id: &WorkerId) -> impl Iterator<Item = &Batch> {
        let batches = self.tasks.values().flat_map(|table| table.batches.values());
        batches.filter(move |batch| batch.row.worker_id == *worker_id)
    }

    fn batch_mut(&mut self, task_id: TaskId, batch_id: BatchId) -> Option<&mut Batch> {
        self.tasks.get_mut(&task_id)?.batches.get_mut(&batch_id)
    }

    /// Moves the first `keep` members of a ready batch into a batch of their own. The rest keeps the row.
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

impl TaskTable {
    fn has_stops(&self) -> bool {
        self.facts.killing || !self.stops.is_empty()
    }
}

fn ready_batch(row: &BatchRow) -> ReadyBatch {
    let bytes = row.members.iter().map(|member| member.desktop_id.as_str().len() + member.agent_id.len());
    ReadyBatch {
        task_id: row.terms.task_id,
        batch_id: row.batch_id,
        size: u32::try_from(row.members.len()).unwrap_or(u32::MAX),
        ids_bytes: u32::try_from(bytes.sum::<usize>()).unwrap_or(u32::MAX),
        worker_deaths: row.terms.worker_deaths,
        max_running: None,
    }
}
