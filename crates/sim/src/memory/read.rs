//! Reads of one transaction. No other transaction runs meanwhile, so that a lock is a read.

use std::{
    collections::{BTreeSet, HashSet},
    convert::Infallible,
};

use chrono::TimeDelta;
use domain::{
    Timestamp,
    batching::Member,
    gate::Results,
    ids::{BatchId, ProjectId, TaskId},
    return_condition::Return,
    tally::Tally,
    wave::WaveStatus,
};
use engine::{
    Changes, DueTimes, Duty, DutyKind, Rows, Snapshot, TargetDetail, TargetSelection,
    row::{AwaitedRow, BatchRow, DeferredRow, TargetRow, TaskFacts, WaveRow, Whereabouts, WithdrawableBatch},
};

use super::{Always, Batch, MemoryStore, TaskTable};
use crate::row_values;

/// Time after the retirement of a desktop in which its targets are looked for.
const RETURNS: TimeDelta = TimeDelta::minutes(10);
/// Time after the retirement of a desktop in which ready batches are searched for it.
const READY_FOR: TimeDelta = TimeDelta::minutes(1);

impl Rows for MemoryStore {
    type Error = Infallible;

    async fn lock(&mut self, task_id: TaskId, ordinals: &[u32]) -> Always<Option<Snapshot>> {
        let Some(table) = self.tasks.get(&task_id) else { return Ok(None) };
        let is_locked = |row: &&WaveRow| {
            let has_begun = row.state.status != WaveStatus::Pending;
            has_begun && (row_values::is_live(row) || ordinals.iter().any(|&ordinal| row.has(ordinal)))
        };
        let mut waves: Vec<WaveRow> = table.waves.iter().filter(is_locked).cloned().collect();
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
        let rows = self.table(task_id).flat_map(|table| &table.waves);
        rows.filter(|row| !waves.contains(&row.wave)).for_each(|row| sum.merge(&row.state.tally));
        Ok(sum)
    }

    async fn lock_room(&mut self, project_id: &ProjectId) -> Always<Option<u32>> {
        let limits = self.limits.get(project_id);
        let Some(most) = limits.and_then(|limits| limits.max_in_flight) else { return Ok(None) };
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
        let mut places = Vec::new();
        let mut put = |member: &Member, batch_id, maybe_delivered| {
            if ordinals.contains(&member.ordinal) {
                let Member { ordinal, agent_id, .. } = member.clone();
                places.push(Whereabouts { ordinal, batch_id, maybe_delivered, agent_id });
            }
        };
        for table in self.table(task_id) {
            for Batch { row, .. } in table.batches.values() {
                let maybe_delivered = !row.is_undelivered() || row.epoch > 0;
                row.members.iter().for_each(|member| put(member, Some(row.batch_id), maybe_delivered));
            }
            table.deferred.values().for_each(|row| put(&row.member, None, row.terms.maybe_delivered));
        }
        Ok(places)
    }

    async fn lock_batches(&mut self, task_id: TaskId, batch_ids: &[BatchId]) -> Always<Vec<BatchRow>> {
        let Some(table) = self.tasks.get(&task_id) else { return Ok(Vec::new()) };
        Ok(batch_ids.iter().filter_map(|batch_id| table.batch(*batch_id)).cloned().collect())
    }

    async fn lock_ready(&mut self, task_id: TaskId) -> Always<Vec<WithdrawableBatch>> {
        let rows = self.table(task_id).flat_map(TaskTable::batch_rows);
        Ok(rows.filter(|row| row.lease_until.is_none()).map(row_values::withdrawable).collect())
    }

    async fn lock_suspended(&mut self, task_id: TaskId) -> Always<Vec<BatchRow>> {
        let rows = self.table(task_id).flat_map(TaskTable::batch_rows);
        Ok(rows.filter(|row| row.suspended).cloned().collect())
    }

    async fn suspended_deferred(&mut self, task_id: TaskId) -> Always<Vec<DeferredRow>> {
        Ok(self.deferred_of(task_id, |row| row.suspended))
    }

    async fn deferred(&mut self, task_id: TaskId, ordinals: &[u32]) -> Always<Vec<DeferredRow>> {
        Ok(self.deferred_of(task_id, |row| ordinals.contains(&row.member.ordinal)))
    }

    async fn reachable_deferred(
        &mut self,
        task_id: TaskId,
        wave: u16,
        limit: u32,
        now: Timestamp,
    ) -> Always<Vec<DeferredRow>> {
        let mut left = limit;
        Ok(self.deferred_of(task_id, |row| {
            let is_reachable = row.terms.wave == wave && row.is_reachable(now);
            is_reachable
                && (row.terms.maybe_delivered || left.checked_sub(1).map(|less| left = less).is_some())
        }))
    }

    async fn awaited_returns(&mut self, task_id: TaskId, ordinals: &[u32]) -> Always<Vec<AwaitedRow>> {
        let rows = self.table(task_id).flat_map(|table| table.awaited.values());
        Ok(rows.filter(|row| ordinals.contains(&row.awaited.ordinal)).cloned().collect())
    }

    async fn fingerprint_ids(&mut self, task_id: TaskId) -> Always<HashSet<i64>> {
        let failures = self.table(task_id).flat_map(|table| table.failures.keys());
        Ok(failures.map(|(_, fingerprint_id)| *fingerprint_id).collect())
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

    async fn due(&mut self, kind: DutyKind, times: DueTimes, limit: u32) -> Always<Vec<Duty>> {
        let now = times.now;
        let mut duties = match kind {
            DutyKind::Expire => {
                let is_over = |row: &WaveRow| row.is_hold_over(now);
                let is_due = |table: &TaskTable| {
                    table.facts.is_expired(now)
                        || !table.facts.status.admits_no_more() && table.current().is_some_and(is_over)
                };
                self.of_tasks(kind, is_due)
            }
            DutyKind::SuspendFrozen => self.of_tasks(kind, |table| self.has_unheld(table)),
            DutyKind::ReleaseUnfrozen => self.of_tasks(kind, |table| self.has_unreleased(table)),
            DutyKind::Reclaim => self.of_batches(kind, |row| row.is_orphaned(times.observed_until)),
            DutyKind::OverdueBatch => self.of_batches(kind, |row| row.is_overdue(times)),
            DutyKind::OutOfService => {
                self.of_batches(kind, |row| self.has_lost_desktop(row, now - READY_FOR))
            }
            DutyKind::HandOut => self.of_deferred(kind, |_, row| row.is_reachable(now)),
            DutyKind::PutOff => self.of_deferred(kind, |_, row| row.waits_for_place(now)),
            DutyKind::OverdueDeferred => self.of_deferred(kind, |table, row| {
                let is_out = row.ends_early().is_some() && !row.suspended;
                row.is_overdue(times) || is_out && self.went_out_after(table, &row.member, now - RETURNS)
            }),
            DutyKind::AwaitedReturn => {
                self.of_awaited(kind, |row| !row.is_resumed && row.state(times) != Return::Awaited)
            }
        };
        duties.truncate(limit as usize);
        Ok(duties)
    }

    async fn apply(&mut self, changes: &Changes) -> Always<()> {
        self.apply_changes(changes);
        Ok(())
    }
}

impl MemoryStore {
    fn table(&self, task_id: TaskId) -> impl Iterator<Item = &TaskTable> {
        self.tasks.get(&task_id).into_iter()
    }

    fn deferred_of(
        &self,
        task_id: TaskId,
        mut is_chosen: impl FnMut(&DeferredRow) -> bool,
    ) -> Vec<DeferredRow> {
        let rows = self.table(task_id).flat_map(|table| table.deferred.values());
        rows.filter(|row| is_chosen(row)).cloned().collect()
    }

    /// Whether a ready batch that was never delivered has a desktop that went out of service after
    /// a moment.
    fn has_lost_desktop(&self, row: &BatchRow, moment: Timestamp) -> bool {
        let Some(table) = self.tasks.get(&row.terms.task_id) else { return false };
        let is_out = |member: &Member| {
            let presence = self.presence(&table.facts.project_id, &member.desktop_id);
            presence.is_some_and(|presence| presence.out_of_service.is_some())
                && self.went_out_after(table, member, moment)
        };
        row.is_undelivered() && !row.suspended && row.members.iter().any(is_out)
    }

    fn of_tasks(&self, kind: DutyKind, is_due: impl Fn(&TaskTable) -> bool) -> Vec<Duty> {
        let due = self.tasks.iter().filter(|(_, table)| is_due(table));
        due.map(|(&task_id, _)| Duty { kind, task_id, batch_id: None, ordinals: Vec::new() }).collect()
    }

    fn of_batches(&self, kind: DutyKind, is_due: impl Fn(&BatchRow) -> bool) -> Vec<Duty> {
        let due = self.batches().map(|batch| &batch.row).filter(|row| is_due(row));
        due.map(|row| row_values::of_batch(kind, row)).collect()
    }

    /// Whether the desktop of a target was retired or revoked after a moment.
    fn went_out_after(&self, table: &TaskTable, member: &Member, moment: Timestamp) -> bool {
        let key = (table.facts.project_id.clone(), member.desktop_id.clone());
        self.out_of_service_since.get(&key).is_some_and(|since| *since > moment)
    }

    fn of_deferred(&self, kind: DutyKind, is_due: impl Fn(&TaskTable, &DeferredRow) -> bool) -> Vec<Duty> {
        let duty = |(&task_id, table): (&TaskId, &TaskTable)| {
            let due = table.deferred.iter().filter(|(_, row)| is_due(table, row));
            let ordinals: Vec<u32> = due.map(|(&ordinal, _)| ordinal).collect();
            (!ordinals.is_empty()).then_some(Duty { kind, task_id, batch_id: None, ordinals })
        };
        self.tasks.iter().filter_map(duty).collect()
    }

    fn of_awaited(&self, kind: DutyKind, is_due: impl Fn(&AwaitedRow) -> bool) -> Vec<Duty> {
        let duty = |(&task_id, table): (&TaskId, &TaskTable)| {
            let due = table.awaited.iter().filter(|(_, row)| is_due(row));
            let ordinals: Vec<u32> = due.map(|(&ordinal, _)| ordinal).collect();
            (!ordinals.is_empty()).then_some(Duty { kind, task_id, batch_id: None, ordinals })
        };
        self.tasks.iter().filter_map(duty).collect()
    }

    fn facts(&self, table: &TaskTable) -> TaskFacts {
        let limits = self.limits.get(&table.facts.project_id);
        TaskFacts {
            is_frozen: self.freezes.contains(&table.facts.project_id),
            has_project_limit: limits.is_some_and(|limits| limits.max_in_flight.is_some()),
            ..table.facts.clone()
        }
    }

    /// Whether a task of a frozen project has rows that are not suspended.
    fn has_unheld(&self, table: &TaskTable) -> bool {
        let is_not_suspended = |row: &BatchRow| row.lease_until.is_none() && !row.suspended;
        self.facts(table).is_frozen
            && !table.facts.status.admits_no_more()
            && (table.batches.values().any(|batch| is_not_suspended(&batch.row))
                || table.deferred.values().any(|row| !row.suspended))
    }

    fn has_unreleased(&self, table: &TaskTable) -> bool {
        !self.facts(table).is_suspended()
            && !table.facts.status.admits_no_more()
            && (table.batch_rows().any(|row| row.suspended)
                || table.deferred.values().any(|row| row.suspended))
    }
}

impl TaskTable {
    fn batch(&self, batch_id: BatchId) -> Option<&BatchRow> {
        self.batches.get(&batch_id).map(|batch| &batch.row)
    }

    fn batch_rows(&self) -> impl Iterator<Item = &BatchRow> {
        self.batches.values().map(|batch| &batch.row)
    }

    /// Adds the leases by these batches to targets, which are in the order of the plan.
    fn add_leases(&self, targets: &mut [TargetRow], batch_ids: &[BatchId]) {
        for row in batch_ids.iter().filter_map(|batch_id| self.batch(*batch_id)) {
            for member in row.members.iter().filter(|_| row.lease_until.is_some()) {
                let place = targets.binary_search_by_key(&member.ordinal, |target| target.ordinal);
                let Ok(place) = place else { continue };
                targets[place].lease = Some(row_values::lease(row, member));
            }
        }
    }

    /// A target with its stop, without presence and lease.
    fn target(&self, ordinal: u32) -> Option<TargetRow> {
        let row = self.targets.get(ordinal as usize)?;
        let stop = self.stops.get(&ordinal).copied();
        let (awaited, is_resumed) = (self.awaited(ordinal), self.is_resumed(ordinal));
        Some(TargetRow {
            awaited,
            is_resumed,
            ..row_values::target(row, ordinal, self.has_ended(ordinal), stop)
        })
    }

    /// The first wave after this one that can still change.
    fn next_wave(&self, after: u16) -> Option<&WaveRow> {
        self.waves.iter().find(|row| row.wave > after && row_values::is_live(row))
    }

    /// Returns the results of the earlier waves that are not locked.
    fn settled(&self, locked: &[WaveRow]) -> Results {
        let last = locked.last().map_or(0, |row| row.wave);
        let is_locked = |wave| locked.iter().any(|row| row.wave == wave);
        row_values::results(self.waves.iter().filter(|row| row.wave < last && !is_locked(row.wave)))
    }
}
