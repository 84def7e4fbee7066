//! Stores what workers report: as `scheduler::engine::report`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Timestamp, task::TaskStatus};

use crate::rollout::{
    database::{Database, Terms},
    event::{BatchId, Returned, TargetReport, Worker},
    sabotage::Sabotage,
};

impl Database {
    /// Stores results and takes returned targets back. The same again changes nothing.
    pub(in crate::rollout) fn report(
        &mut self,
        worker: Worker,
        results: Vec<TargetReport>,
        returned: Vec<Returned>,
        now: Timestamp,
    ) {
        let before = self.task.status;
        let mut seen = BTreeSet::new();
        let fitting: Vec<TargetReport> = results
            .into_iter()
            .filter(|result| self.waves.iter().any(|row| row.has_admitted(result.ordinal)))
            .filter(|result| seen.insert(result.ordinal))
            .collect();
        if !fitting.is_empty() {
            self.store_results(fitting, now);
        }
        // The results may just have halted the task.
        let seen = if self.sabotaged(Sabotage::StaleStatus) { before } else { self.task.status };
        self.take_back(seen, worker, returned, now);
    }

    fn store_results(&mut self, results: Vec<TargetReport>, now: Timestamp) {
        let ordinals: Vec<u32> = results.iter().map(|result| result.ordinal).collect();
        let batches: Vec<BatchId> = results.iter().filter_map(|result| result.batch).collect();
        // Every target of an ended task that was handed out has its record: what comes now was counted before.
        if !self.task.status.is_ended() {
            let outcomes = results.into_iter().map(|result| (result.ordinal, result.scripts)).collect();
            let stored = self.count_outcomes(outcomes);
            if stored.len() < ordinals.len() || batches.is_empty() {
                // Targets given back before their result came another way, or from a journal.
                self.take_stragglers(&ordinals);
            }
            self.settle_counted(&stored, now);
        }
        for batch in batches {
            self.note_result(batch);
        }
    }

    /// Returned targets become stragglers, unless they ended or the task was cut short before they were handed out.
    fn take_back(&mut self, seen: TaskStatus, worker: Worker, returned: Vec<Returned>, now: Timestamp) {
        let mut by_batch: BTreeMap<BatchId, Vec<Returned>> = BTreeMap::new();
        for target in returned {
            by_batch.entry(target.batch).or_default().push(target);
        }
        for (batch, targets) in by_batch {
            let ordinals: Vec<u32> = targets.iter().map(|target| target.ordinal).collect();
            let Some((terms, members)) = self.take_out(batch, worker, &ordinals) else { continue };
            let handed: BTreeSet<u32> =
                targets.iter().filter(|target| target.handed).map(|target| target.ordinal).collect();
            let (maybe, never): (Vec<u32>, Vec<u32>) = members
                .into_iter()
                .filter(|&ordinal| !self.has_ended(ordinal))
                .partition(|ordinal| terms.maybe_handed || handed.contains(ordinal));
            self.requeue(seen, Terms { maybe_handed: false, ..terms }, never, now);
            self.requeue(seen, Terms { maybe_handed: true, ..terms }, maybe, now);
            self.settle_waiting(now);
        }
    }
}
