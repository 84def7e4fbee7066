//! Applies the changes of a decision, in the order of their fields.

use domain::{gate::Results, wave::OtherWaves};
use engine::{
    BatchChanges, Changes, DeferredChanges, FailureCount, StopMark, TaskChange,
    row::{BatchRow, DeferredRow, NewBatch, NewDeferred, NewRecord, WaveRow},
};

use super::{Batch, MemoryStore, TaskTable};

impl MemoryStore {
    pub(super) fn apply_changes(&mut self, changes: &Changes) {
        let Some(mut table) = self.tasks.remove(&changes.task_id) else { return };
        table.change_task(&changes.task);
        for row in &changes.waves {
            table.put_wave(row);
        }
        for record in &changes.records {
            table.put_record(record);
        }
        for count in &changes.failures {
            table.count_failures(count);
        }
        table.change_batches(&changes.batches);
        for batch in &changes.batches.insert {
            let batch = self.new_batch(batch);
            table.batches.insert(batch.row.batch_id, batch);
        }
        table.change_deferred(&changes.deferred);
        for deferred in &changes.deferred.insert {
            let row = self.new_deferred(&table, deferred);
            // A target that is deferred stays as it is.
            table.deferred.entry(row.member.ordinal).or_insert(row);
        }
        for &(ordinal, script) in &changes.stops {
            table.stop(ordinal, script);
        }
        if changes.clears_task {
            table.batches.clear();
            table.deferred.clear();
            table.stops.clear();
        }
        table.events.extend_from_slice(&changes.events);
        self.tasks.insert(changes.task_id, table);
        self.wakes.extend(&changes.wakes);
    }

    fn new_batch(&mut self, batch: &NewBatch) -> Batch {
        let NewBatch { worker_id, terms, members, query_only, suspended, stop } = batch.clone();
        let row = BatchRow {
            batch_id: self.next_batch_id(),
            terms,
            has_holder: self.takes_work(&worker_id),
            worker_id,
            epoch: 0,
            lease_until: None,
            query_only,
            suspended,
            stop,
            members,
        };
        Batch { row, leased_at: None, reported: 0 }
    }

    fn new_deferred(&self, table: &TaskTable, deferred: &NewDeferred) -> DeferredRow {
        let NewDeferred { terms, not_before, suspended, member } = deferred.clone();
        let stop = table.stops.get(&member.ordinal).copied();
        let presence = self.presence(&table.facts.project_id, &member.desktop_id).cloned();
        DeferredRow { member, terms, suspended, not_before, stop, presence }
    }
}

impl TaskTable {
    fn change_task(&mut self, change: &TaskChange) {
        let facts = &mut self.facts;
        if let Some((status, _)) = &change.status {
            facts.status = *status;
        }
        facts.killing |= change.is_killed;
        if let Some(pause) = &change.pause {
            facts.is_paused = pause.is_some();
        }
        if let Some(most) = change.max_concurrency {
            facts.max_concurrency = most;
            self.waves.iter_mut().for_each(|row| row.state.terms.max_concurrency = most);
        }
    }

    /// Stores a wave, without what its state says of other waves.
    fn put_wave(&mut self, changed: &WaveRow) {
        if let Some(row) = self.waves.iter_mut().find(|row| row.wave == changed.wave) {
            *row = changed.clone();
            row.state.others = OtherWaves { results: Results::default(), ..OtherWaves::default() };
        }
    }

    fn put_record(&mut self, record: &NewRecord) {
        let Some(records) = self.records.get_mut(record.ordinal as usize) else { return };
        match records.iter_mut().find(|known| known.script == record.script) {
            Some(known) => *known = record.clone(),
            None => records.push(record.clone()),
        }
    }

    fn count_failures(&mut self, count: &FailureCount) {
        self.fingerprint_ids.insert(count.fingerprint.id);
        let key = (count.wave, count.fingerprint.id);
        let known = self.failures.entry(key);
        known.and_modify(|known| known.records += count.records).or_insert_with(|| count.clone());
    }

    fn change_batches(&mut self, changes: &BatchChanges) {
        for batch_id in &changes.delete {
            self.batches.remove(batch_id);
        }
        for (batch_id, members) in &changes.keep {
            if let Some(batch) = self.batches.get_mut(batch_id) {
                batch.row.members.clone_from(members);
            }
        }
        for (batch_id, number) in &changes.results {
            let Some(batch) = self.batches.get_mut(batch_id) else { continue };
            batch.reported += number;
            let members = &batch.row.members;
            let is_full = batch.reported as usize >= members.len();
            let has_record = |ordinal: u32| !self.records[ordinal as usize].is_empty();
            if is_full && members.iter().all(|member| has_record(member.ordinal)) {
                self.batches.remove(batch_id);
            }
        }
        for batch_id in &changes.query_only {
            if let Some(batch) = self.batches.get_mut(batch_id) {
                (batch.row.query_only, batch.row.suspended) = (true, false);
            }
        }
        let rows = self.batches.values_mut().map(|batch| &mut batch.row);
        if changes.suspend_ready {
            rows.filter(|row| row.lease_until.is_none()).for_each(|row| row.suspended = true);
        }
        for (batch_id, deadlines) in &changes.release {
            if let Some(batch) = self.batches.get_mut(batch_id) {
                (batch.row.suspended, batch.row.terms.deadlines) = (false, *deadlines);
            }
        }
        for batch in self.batches.values_mut() {
            batch.row.stop |= is_marked(changes.stop, &batch.row);
        }
    }

    fn change_deferred(&mut self, changes: &DeferredChanges) {
        for ordinal in &changes.delete {
            self.deferred.remove(ordinal);
        }
        for &wave in &changes.withdraw {
            self.deferred.retain(|_, row| row.terms.wave != wave || row.terms.maybe_delivered);
            let others = self.deferred.values_mut().filter(|row| row.terms.wave == wave);
            others.for_each(|row| row.suspended = false);
        }
        if changes.suspend {
            self.deferred.values_mut().for_each(|row| row.suspended = true);
        }
        for (ordinal, deadlines) in &changes.release {
            if let Some(row) = self.deferred.get_mut(ordinal) {
                (row.suspended, row.terms.deadlines) = (false, *deadlines);
            }
        }
        for (ordinal, deadlines) in &changes.set_deadlines {
            if let Some(row) = self.deferred.get_mut(ordinal) {
                row.terms.deadlines = *deadlines;
            }
        }
    }

    fn stop(&mut self, ordinal: u32, script: u16) {
        let stop = self.stops.entry(ordinal).or_insert(script);
        *stop = script.min(*stop);
        if let Some(row) = self.deferred.get_mut(&ordinal) {
            row.stop = Some(*stop);
        }
    }
}

fn is_marked(mark: StopMark, row: &BatchRow) -> bool {
    match mark {
        StopMark::Nothing => false,
        StopMark::Target(ordinal) => row.members.iter().any(|member| member.ordinal == ordinal),
        StopMark::All => true,
    }
}
