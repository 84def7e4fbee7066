//! Reads of one transaction. No other transaction runs meanwhile, so that a lock is a read.

use std::{
    collections::{BTreeSet, HashSet},
    convert::Infallible,
};

use domain::{
    Timestamp,
    gate::Results,
    ids::{BatchId, ProjectId, TaskId},
    tally::Tally,
    wave::WaveStatus,
};
use engine::{
    Changes, Duty, DutyKind, Rows, Snapshot, TargetDetail, TargetSelection,
    row::{
        BatchRow, DeferredRow, TargetLease, TargetRow, TaskFacts, WaveRow, Whereabouts, WithdrawableBatch,
    },
};

use super::{Always, Batch, MemoryStore, TaskTable};

impl Rows for MemoryStore {
    type Error = Infallible;

    async fn lock(&mut self, task_id: TaskId, ordinals: &[u32]) -> Always<Option<Snapshot>> {
        let Some(table) = self.tasks.get(&task_id) else { return Ok(None) };
        let mut waves: Vec<WaveRow> =
            table.waves.iter().filter(|row| is_concerned(row, ordinals)).cloned().collect();
        while waves.last().is_none_or(|row| row.state.status == WaveStatus::Closed) {
            let after = waves.last().map_or(0, |row| row.wave);
            let Some(next) = table.next_wave(after) else { break };
            waves.push(next.clone());
        }
        let settled = table.settled(&waves);
        Ok(Some(Snapshot { facts: self.facts(table), waves, settled }))
    }

    async fn lock_next_wave(&mut self, task_id: TaskId, after: u16) -> Always<Option<WaveRow>> {
        Ok(self.tasks.get(&task_id).and_then(|table| table.next_wave(after)).cloned())
    }

    async fn other_tallies(&mut self, task_id: TaskId, waves: &[u16]) -> Always<Tally> {
        let mut sum = Tally::default();
        let rows = self.tasks.get(&task_id).into_iter().flat_map(|table| &table.waves);
        rows.filter(|row| !waves.contains(&row.wave)).for_each(|row| sum.merge(&row.state.tally));
        Ok(sum)
    }

    async fn lock_room(&mut self, project_id: &ProjectId) -> Always<Option<u32>> {
        let Some(most) = self.limits.get(project_id) else { return Ok(None) };
        let tasks = self.tasks.values();
        let running = tasks.filter(|it| it.facts.project_id == *project_id && !it.facts.status.is_ended());
        let begun = running.flat_map(|table| &table.waves);
        let begun = begun.filter(|row| row.state.status != WaveStatus::Pending);
        let in_flight: u32 = begun.map(|row| row.state.in_flight()).sum();
        Ok(Some(most.saturating_sub(in_flight)))
    }

    async fn targets(
        &mut self,
        task_id: TaskId,
        project_id: &ProjectId,
        selection: TargetSelection<'_>,
        detail: TargetDetail<'_>,
    ) -> Always<Vec<TargetRow>> {
        let Some(table) = self.tasks.get(&task_id) else { return Ok(Vec::new()) };
        let ordinals: BTreeSet<u32> = match selection {
            TargetSelection::Ordinals(ordinals) => ordinals.iter().copied().collect(),
            TargetSelection::Next { first, number } => (first..first + number).collect(),
        };
        let mut targets: Vec<TargetRow> =
            ordinals.into_iter().filter_map(|ordinal| table.target(ordinal)).collect();
        match detail {
            TargetDetail::Plain => {}
            TargetDetail::Presence => {
                for target in &mut targets {
                    target.presence = self.presence(project_id, &target.desktop_id).cloned();
                }
            }
            TargetDetail::Leases(batch_ids) => table.add_leases(&mut targets, batch_ids),
        }
        Ok(targets)
    }

    async fn whereabouts(&mut self, task_id: TaskId, ordinals: &[u32]) -> Always<Vec<Whereabouts>> {
        let Some(table) = self.tasks.get(&task_id) else { return Ok(Vec::new()) };
        let mut places = Vec::new();
        for Batch { row, .. } in table.batches.values() {
            let members = row.members.iter().filter(|member| ordinals.contains(&member.ordinal));
            places.extend(members.map(|member| Whereabouts {
                ordinal: member.ordinal,
                batch_id: Some(row.batch_id),
                maybe_delivered: !row.is_undelivered() || row.epoch > 0,
                agent_id: member.agent_id.clone(),
            }));
        }
        let deferred = ordinals.iter().filter_map(|ordinal| table.deferred.get(ordinal));
        places.extend(deferred.map(|row| Whereabouts {
            ordinal: row.member.ordinal,
            batch_id: None,
            maybe_delivered: row.terms.maybe_delivered,
            agent_id: row.member.agent_id.clone(),
        }));
        Ok(places)
    }

    async fn lock_batches(&mut self, task_id: TaskId, batch_ids: &[BatchId]) -> Always<Vec<BatchRow>> {
        let Some(table) = self.tasks.get(&task_id) else { return Ok(Vec::new()) };
        let batches = batch_ids.iter().filter_map(|batch_id| table.batches.get(batch_id));
        Ok(batches.map(|batch| batch.row.clone()).collect())
    }

    async fn lock_ready(&mut self, task_id: TaskId) -> Always<Vec<WithdrawableBatch>> {
        let ready = self.batch_rows(task_id).filter(|row| row.lease_until.is_none());
        let batch = |row: &BatchRow| WithdrawableBatch {
            batch_id: row.batch_id,
            wave: row.terms.wave,
            maybe_delivered: row.terms.maybe_delivered,
            size: u32::try_from(row.members.len()).unwrap_or(u32::MAX),
        };
        Ok(ready.map(batch).collect())
    }

    async fn lock_suspended(&mut self, task_id: TaskId) -> Always<Vec<BatchRow>> {
        Ok(self.batch_rows(task_id).filter(|row| row.suspended).cloned().collect())
    }

    async fn suspended_deferred(&mut self, task_id: TaskId) -> Always<Vec<DeferredRow>> {
        Ok(self.deferred_rows(task_id).filter(|row| row.suspended).cloned().collect())
    }

    async fn deferred(&mut self, task_id: TaskId, ordinals: &[u32]) -> Always<Vec<DeferredRow>> {
        let Some(table) = self.tasks.get(&task_id) else { return Ok(Vec::new()) };
        Ok(ordinals.iter().filter_map(|ordinal| table.deferred.get(ordinal)).cloned().collect())
    }

    async fn reachable_deferred(
        &mut self,
        task_id: TaskId,
        wave: u16,
        limit: u32,
        now: Timestamp,
    ) -> Always<Vec<DeferredRow>> {
        let mut left = limit;
        let mut is_chosen = |row: &&DeferredRow| {
            if row.terms.wave != wave || !row.is_reachable(now) {
                return false;
            }
            if row.terms.maybe_delivered {
                return true;
            }
            left.checked_sub(1).map(|less| left = less).is_some()
        };
        Ok(self.deferred_rows(task_id).filter(|row| is_chosen(row)).cloned().collect())
    }

    async fn fingerprint_ids(&mut self, task_id: TaskId) -> Always<HashSet<i64>> {
        Ok(self.tasks.get(&task_id).map(|table| table.fingerprint_ids.clone()).unwrap_or_default())
    }

    async fn lock_freeze(&mut self, project_id: &ProjectId) -> Always<bool> {
        Ok(self.freezes.contains(project_id))
    }

    async fn unfreeze(&mut self, project_id: &ProjectId) -> Always<bool> {
        Ok(self.freezes.remove(project_id))
    }

    async fn open_tasks(&mut self, project_id: &ProjectId) -> Always<Vec<TaskId>> {
        let is_open =
            |table: &TaskTable| table.facts.project_id == *project_id && !table.facts.status.admits_no_more();
        Ok(self.tasks.iter().filter(|(_, table)| is_open(table)).map(|(&task_id, _)| task_id).collect())
    }

    async fn due(
        &mut self,
        kind: DutyKind,
        now: Timestamp,
        observed_until: Timestamp,
        limit: u32,
    ) -> Always<Vec<Duty>> {
        let mut duties = Vec::new();
        for (&task_id, table) in &self.tasks {
            match kind {
                DutyKind::Expire if table.is_expired(now) => duties.push(of_task(kind, task_id)),
                DutyKind::SuspendFrozen if self.is_not_suspended(table) => {
                    duties.push(of_task(kind, task_id))
                }
                DutyKind::Expire | DutyKind::SuspendFrozen => {}
                DutyKind::Reclaim => {
                    table.due_batches(kind, &mut duties, |row| row.is_orphaned(observed_until))
                }
                DutyKind::OverdueBatch => {
                    table.due_batches(kind, &mut duties, |row| row.is_overdue(now, observed_until));
                }
                DutyKind::HandOut => {
                    table.due_deferred(kind, task_id, &mut duties, |row| row.is_reachable(now));
                }
                DutyKind::PutOff => {
                    table.due_deferred(kind, task_id, &mut duties, |row| row.waits_for_place(now));
                }
                DutyKind::OverdueDeferred => {
                    table.due_deferred(kind, task_id, &mut duties, |row| row.is_overdue(now, observed_until));
                }
            }
        }
        duties.truncate(limit as usize);
        Ok(duties)
    }

    async fn apply(&mut self, changes: &Changes) -> Always<()> {
        self.apply_changes(changes);
        Ok(())
    }
}

/// Whether a lock of a task with these ordinals takes the wave.
fn is_concerned(row: &WaveRow, ordinals: &[u32]) -> bool {
    let is_unfinished = || {
        row.is_trailing
            || matches!(row.state.status, WaveStatus::Open | WaveStatus::Halted | WaveStatus::Stopped)
    };
    row.state.status != WaveStatus::Pending
        && (is_unfinished() || ordinals.iter().any(|&ordinal| row.has(ordinal)))
}

const fn of_task(kind: DutyKind, task_id: TaskId) -> Duty {
    Duty { kind, task_id, batch_id: None, ordinals: Vec::new() }
}

impl MemoryStore {
    fn batch_rows(&self, task_id: TaskId) -> impl Iterator<Item = &BatchRow> {
        let batches = self.tasks.get(&task_id).into_iter().flat_map(|table| table.batches.values());
        batches.map(|batch| &batch.row)
    }

    fn deferred_rows(&self, task_id: TaskId) -> impl Iterator<Item = &DeferredRow> {
        self.tasks.get(&task_id).into_iter().flat_map(|table| table.deferred.values())
    }

    fn facts(&self, table: &TaskTable) -> TaskFacts {
        TaskFacts {
            is_frozen: self.freezes.contains(&table.facts.project_id),
            has_project_limit: self.limits.contains_key(&table.facts.project_id),
            ..table.facts.clone()
        }
    }

    /// Whether a task of a frozen project has something that is not suspended.
    fn is_not_suspended(&self, table: &TaskTable) -> bool {
        let batches = || table.batches.values().map(|batch| &batch.row);
        !table.facts.status.admits_no_more()
            && self.freezes.contains(&table.facts.project_id)
            && (batches().any(|row| row.lease_until.is_none() && !row.suspended)
                || table.deferred.values().any(|row| !row.suspended))
    }
}

impl TaskTable {
    /// Adds the leases by these batches to targets, which are in the order of the plan.
    fn add_leases(&self, targets: &mut [TargetRow], batch_ids: &[BatchId]) {
        for Batch { row, .. } in batch_ids.iter().filter_map(|batch_id| self.batches.get(batch_id)) {
            for member in row.members.iter().filter(|_| row.lease_until.is_some()) {
                let place = targets.binary_search_by_key(&member.ordinal, |target| target.ordinal);
                let Ok(place) = place else { continue };
                targets[place].lease = Some(TargetLease {
                    batch_id: row.batch_id,
                    worker_id: row.worker_id.clone(),
                    agent_id: member.agent_id.clone(),
                });
            }
        }
    }

    /// A target with its stop, without presence and lease.
    fn target(&self, ordinal: u32) -> Option<TargetRow> {
        let row = self.targets.get(ordinal as usize)?;
        let stop = self.stops.get(&ordinal).copied();
        Some(TargetRow { has_ended: self.has_ended(ordinal), stop, ..row.clone() })
    }

    /// The first wave after this one that can still change.
    fn next_wave(&self, after: u16) -> Option<&WaveRow> {
        let is_live = |row: &&WaveRow| row.is_trailing || row.state.status != WaveStatus::Closed;
        self.waves.iter().filter(|row| row.wave > after).find(is_live)
    }

    /// What the waves before the last of these came to that are not among them.
    fn settled(&self, locked: &[WaveRow]) -> Results {
        let last = locked.last().map_or(0, |row| row.wave);
        let is_locked = |wave| locked.iter().any(|row| row.wave == wave);
        let mut settled = Results::default();
        for row in self.waves.iter().filter(|row| row.wave < last && !is_locked(row.wave)) {
            settled.finished += row.state.size;
            settled.failed += row.state.failed;
        }
        settled
    }

    fn is_expired(&self, now: Timestamp) -> bool {
        let facts = &self.facts;
        !facts.status.admits_no_more() && facts.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    fn due_batches(&self, kind: DutyKind, duties: &mut Vec<Duty>, is_due: impl Fn(&BatchRow) -> bool) {
        let due = self.batches.values().map(|batch| &batch.row).filter(|row| is_due(row));
        duties.extend(due.map(|row| Duty {
            kind,
            task_id: row.terms.task_id,
            batch_id: Some(row.batch_id),
            ordinals: row.members.iter().map(|member| member.ordinal).collect(),
        }));
    }

    fn due_deferred(
        &self,
        kind: DutyKind,
        task_id: TaskId,
        duties: &mut Vec<Duty>,
        is_due: impl Fn(&DeferredRow) -> bool,
    ) {
        let due = self.deferred.iter().filter(|(_, row)| is_due(row));
        let ordinals: Vec<u32> = due.map(|(&ordinal, _)| ordinal).collect();
        if !ordinals.is_empty() {
            duties.push(Duty { ordinals, ..of_task(kind, task_id) });
        }
    }
}
