//! Applies the changes of a decision, in the order of their fields.

use domain::{batching::Member, deadline::BUSY_WAIT, gate::Results, ids::BatchId, wave::OtherWaves};
use engine::{
    BatchChanges, Changes, DeferredChanges,
    row::{AwaitedRow, NewRecord, WaveRow},
};

use super::{Batch, MemoryStore, TaskTable};
use crate::row_values;

impl MemoryStore {
    pub(super) fn apply_changes(&mut self, changes: &Changes) {
        let Some(mut table) = self.tasks.remove(&changes.task_id) else { return };
        row_values::change_task(&mut table.facts, &changes.task);
        if let Some(most) = changes.task.max_concurrency {
            table.waves.iter_mut().for_each(|row| row.state.terms.max_concurrency = most);
        }
        changes.waves.iter().for_each(|row| table.put_wave(row));
        changes.records.iter().for_each(|record| table.put_record(record));
        for count in &changes.failures {
            let known = table.failures.entry((count.wave, count.fingerprint.id));
            known.and_modify(|known| known.records += count.records).or_insert_with(|| count.clone());
        }
        // Before the batches: a target that awaits its return no longer keeps its batch.
        for ordinal in &changes.awaited.delete {
            table.awaited.remove(ordinal);
        }
        for ordinal in &changes.awaited.resume {
            table.awaited.get_mut(ordinal).into_iter().for_each(|row| row.is_resumed = true);
        }
        for new in &changes.awaited.insert {
            let presence = self.presence(&changes.project_id, &new.desktop_id).cloned();
            table
                .awaited
                .insert(new.ordinal, AwaitedRow { awaited: new.clone(), is_resumed: false, presence });
        }
        table.change_batches(&changes.batches);
        for new in &changes.batches.insert {
            let worker = self.workers.get(&new.worker_id);
            let has_holder = worker.is_some_and(|worker| !worker.is_draining);
            let row = row_values::new_batch(new, self.next_batch_id(), has_holder);
            table.batches.insert(row.batch_id, Batch { row, leased_at: None, reported: 0 });
        }
        table.change_deferred(&changes.deferred);
        for new in &changes.deferred.insert {
            let stop = table.stops.get(&new.member.ordinal).copied();
            let presence = self.presence(&changes.project_id, &new.member.desktop_id).cloned();
            // A target that is deferred stays as it is.
            let row = || row_values::new_deferred(new, stop, presence);
            table.deferred.entry(new.member.ordinal).or_insert_with(row);
        }
        for &(ordinal, script) in &changes.stops {
            let stop = table.stops.entry(ordinal).or_insert(script);
            *stop = script.min(*stop);
            table.deferred.get_mut(&ordinal).into_iter().for_each(|row| row.stop = Some(*stop));
        }
        if changes.clears_task {
            table.batches.clear();
            table.deferred.clear();
            table.awaited.clear();
            table.stops.clear();
        }
        table.events.extend_from_slice(&changes.events);
        self.tasks.insert(changes.task_id, table);
        self.wakes.extend(&changes.wakes);
    }
}

impl TaskTable {
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

    fn change_batches(&mut self, changes: &BatchChanges) {
        for batch_id in &changes.delete {
            self.batches.remove(batch_id);
        }
        for (batch_id, members) in &changes.keep {
            self.update(batch_id, |batch| batch.row.members.clone_from(members));
        }
        for (batch_id, number) in &changes.results {
            self.update(batch_id, |batch| batch.reported += number);
            let is_full = |batch: &Batch| batch.reported as usize >= batch.row.members.len();
            let has_ended =
                |member: &Member| self.has_ended(member.ordinal) || self.awaited(member.ordinal).is_some();
            let batch = self.batches.get(batch_id).filter(|batch| is_full(batch));
            if batch.is_some_and(|batch| batch.row.members.iter().all(has_ended)) {
                self.batches.remove(batch_id);
            }
        }
        for batch_id in &changes.query_only {
            self.update(batch_id, |batch| (batch.row.query_only, batch.row.suspended) = (true, false));
        }
        for row in self.batches.values_mut().map(|batch| &mut batch.row) {
            row.suspended |= changes.suspend_ready && row.lease_until.is_none();
            row.stop |= row_values::is_marked(changes.stop, row);
        }
        for (batch_id, deadlines) in &changes.release {
            self.update(batch_id, |batch| {
                (batch.row.suspended, batch.row.terms.deadlines) = (false, *deadlines);
                let wait_until = &mut batch.row.terms.wait_until;
                *wait_until = (*wait_until).max(deadlines.deliver_by + BUSY_WAIT);
            });
        }
    }

    fn update(&mut self, batch_id: &BatchId, change: impl FnMut(&mut Batch)) {
        self.batches.get_mut(batch_id).into_iter().for_each(change);
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
        self.deferred.values_mut().for_each(|row| row.suspended |= changes.suspend);
        for (ordinal, deadlines) in changes.release.iter().chain(&changes.set_deadlines) {
            let Some(row) = self.deferred.get_mut(ordinal) else { continue };
            row.terms.deadlines = *deadlines;
        }
        for (ordinal, deadlines) in &changes.release {
            let Some(row) = self.deferred.get_mut(ordinal) else { continue };
            row.suspended = false;
            row.terms.wait_until = row.terms.wait_until.max(deadlines.deliver_by + BUSY_WAIT);
        }
    }
}
