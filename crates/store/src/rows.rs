//! The rows of a transaction, as the rollout engine loads and changes them.

use std::collections::HashSet;

use domain::{
    Timestamp,
    ids::{BatchId, ProjectId, TaskId, WorkerId},
    tally::Tally,
};
use engine::{
    Changes, DueTimes, Duty, DutyKind, LeaseRows, Rows, Snapshot, TargetDetail, TargetSelection,
    row::{
        AwaitedRow, BatchRow, DeferredRow, LeaseChoice, ReadyBatch, TargetRow, WaveRow, Whereabouts,
        WithdrawableBatch,
    },
};

use crate::{
    Connection, Error, awaited_return, batch, deferred_target, event, failure, notify, project_limit, record,
    target, target_stop, task, wave,
};

/// The rows of the transaction on a connection.
#[derive(Debug)]
pub struct TaskRows<'c> {
    connection: &'c mut Connection,
}

impl<'c> TaskRows<'c> {
    /// Wraps the open transaction of this connection.
    pub fn new(connection: &'c mut Connection) -> Self {
        Self { connection }
    }
}

impl Rows for TaskRows<'_> {
    type Error = Error;

    async fn lock(&mut self, task_id: TaskId, ordinals: &[u32]) -> Result<Option<Snapshot>, Error> {
        let waves = wave::lock(self.connection, task_id, ordinals).await?;
        let settled = wave::settled(self.connection, task_id, &waves).await?;
        let facts = task::facts(self.connection, task_id).await?;
        Ok(facts.map(|facts| Snapshot { facts, waves, settled }))
    }

    async fn lock_next_wave(&mut self, task_id: TaskId, after: u16) -> Result<Option<WaveRow>, Error> {
        wave::lock_next(self.connection, task_id, after).await
    }

    async fn other_tallies(&mut self, task_id: TaskId, waves: &[u16]) -> Result<Tally, Error> {
        wave::other_tallies(self.connection, task_id, waves).await
    }

    async fn lock_room(&mut self, project_id: &ProjectId) -> Result<Option<u32>, Error> {
        project_limit::lock_room(self.connection, project_id).await
    }

    async fn targets(
        &mut self,
        task_id: TaskId,
        project_id: &ProjectId,
        selection: TargetSelection<'_>,
        detail: TargetDetail<'_>,
    ) -> Result<Vec<TargetRow>, Error> {
        match selection {
            TargetSelection::Ordinals(ordinals) => {
                target::states(self.connection, task_id, project_id, ordinals, detail).await
            }
            TargetSelection::Next { first, number } => {
                target::next_states(self.connection, task_id, project_id, first, number).await
            }
        }
    }

    async fn whereabouts(&mut self, task_id: TaskId, ordinals: &[u32]) -> Result<Vec<Whereabouts>, Error> {
        batch::whereabouts(self.connection, task_id, ordinals).await
    }

    async fn lock_batches(&mut self, task_id: TaskId, batch_ids: &[BatchId]) -> Result<Vec<BatchRow>, Error> {
        batch::lock(self.connection, task_id, batch_ids).await
    }

    async fn lock_ready(&mut self, task_id: TaskId) -> Result<Vec<WithdrawableBatch>, Error> {
        batch::lock_ready(self.connection, task_id).await
    }

    async fn lock_suspended(&mut self, task_id: TaskId) -> Result<Vec<BatchRow>, Error> {
        batch::lock_suspended(self.connection, task_id).await
    }

    async fn suspended_deferred(&mut self, task_id: TaskId) -> Result<Vec<DeferredRow>, Error> {
        deferred_target::suspended(self.connection, task_id).await
    }

    async fn deferred(&mut self, task_id: TaskId, ordinals: &[u32]) -> Result<Vec<DeferredRow>, Error> {
        deferred_target::fetch(self.connection, task_id, ordinals).await
    }

    async fn reachable_deferred(
        &mut self,
        task_id: TaskId,
        wave: u16,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<DeferredRow>, Error> {
        deferred_target::reachable_of_wave(self.connection, task_id, wave, limit, now).await
    }

    async fn awaited_returns(&mut self, task_id: TaskId, ordinals: &[u32]) -> Result<Vec<AwaitedRow>, Error> {
        awaited_return::fetch(self.connection, task_id, ordinals).await
    }

    async fn fingerprint_ids(&mut self, task_id: TaskId) -> Result<HashSet<i64>, Error> {
        failure::fingerprint_ids(self.connection, task_id).await
    }

    async fn lock_freeze(&mut self, project_id: &ProjectId) -> Result<bool, Error> {
        project_limit::lock_freeze(self.connection, project_id).await
    }

    async fn unfreeze(&mut self, project_id: &ProjectId) -> Result<bool, Error> {
        project_limit::set_unfrozen(self.connection, project_id).await
    }

    async fn open_tasks(&mut self, project_id: &ProjectId) -> Result<Vec<TaskId>, Error> {
        task::admitting(self.connection, project_id).await
    }

    async fn due(&mut self, kind: DutyKind, times: DueTimes, limit: u32) -> Result<Vec<Duty>, Error> {
        let (connection, now, limit) = (&mut *self.connection, times.now, i64::from(limit));
        match kind {
            DutyKind::Expire => Ok(of_tasks(kind, task::expired(connection, now, limit).await?)),
            DutyKind::SuspendFrozen => Ok(of_tasks(kind, task::not_suspended(connection, limit).await?)),
            DutyKind::ReleaseUnfrozen => Ok(of_tasks(kind, task::not_released(connection, limit).await?)),
            DutyKind::Reclaim => batch::orphaned(connection, times.observed_until, limit).await,
            DutyKind::OutOfService => batch::out_of_service(connection, now, limit).await,
            DutyKind::HandOut => deferred_target::reachable(connection, now, limit).await,
            DutyKind::PutOff => deferred_target::nearly_overdue(connection, now, limit).await,
            DutyKind::OverdueBatch => batch::overdue_batches(connection, times, limit).await,
            DutyKind::OverdueDeferred => deferred_target::overdue_targets(connection, times, limit).await,
            DutyKind::AwaitedReturn => awaited_return::due(connection, times, limit).await,
        }
    }

    async fn apply(&mut self, changes: &Changes) -> Result<(), Error> {
        let Changes { task_id, project_id, now, .. } = changes;
        let (connection, task_id, now) = (&mut *self.connection, *task_id, *now);
        wave::apply(connection, changes).await?;
        record::insert(connection, task_id, changes.attempt, &changes.records).await?;
        record::add_late(connection, task_id, changes.attempt, &changes.late_results, now).await?;
        failure::add(connection, task_id, &changes.failures).await?;
        // Before the batches: a target that awaits its return no longer keeps its batch.
        awaited_return::apply(connection, task_id, project_id, &changes.awaited).await?;
        batch::apply(connection, task_id, &changes.batches, now).await?;
        deferred_target::apply(connection, task_id, project_id, &changes.deferred).await?;
        target_stop::insert(connection, task_id, &changes.stops, now).await?;
        task::apply(connection, task_id, &changes.task, now).await?;
        if changes.clears_task {
            task::clear_work(connection, task_id).await?;
        }
        event::insert(connection, task_id, &changes.events, now).await?;
        notify::send_all(connection, changes.wakes.iter().copied()).await
    }
}

fn of_tasks(kind: DutyKind, task_ids: Vec<TaskId>) -> Vec<Duty> {
    let duty = |task_id| Duty { kind, task_id, batch_id: None, ordinals: Vec::new() };
    task_ids.into_iter().map(duty).collect()
}

impl LeaseRows for TaskRows<'_> {
    type Error = Error;

    async fn lock_leasable(
        &mut self,
        worker_id: &WorkerId,
        survived: Timestamp,
        with_suspended: bool,
        limit: u32,
    ) -> Result<(Vec<ReadyBatch>, bool), Error> {
        batch::leasable(self.connection, worker_id, survived, with_suspended, limit).await
    }

    async fn lease(
        &mut self,
        choices: &[LeaseChoice],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<BatchRow>, Error> {
        batch::lease(self.connection, choices, now, until).await
    }
}
