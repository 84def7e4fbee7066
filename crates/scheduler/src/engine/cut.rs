//! Opens a task's first wave and cuts the next targets of its open wave.

use domain::{
    Timestamp,
    cut::{self, Placed},
    deadline,
    ids::TaskId,
    task::TaskStatus,
    wave::WaveStatus,
};
use store::{
    Connection, Error,
    batch::{self, BatchTerms, NewBatch},
    notify::{self, Wake},
    settle::store_outcomes,
    stop, straggler, target, task,
    task::TaskFacts,
    wave,
};

use super::{Engine, fresh_batch_id};

impl Engine {
    /// One cut of one task under its wave's lock: true when another one may follow at once.
    pub async fn cut(&self, task_id: TaskId, now: Timestamp) -> Result<bool, Error> {
        let mut tx = self.store.begin().await?;
        let Some(mut row) = wave::lock_current(&mut tx, task_id).await? else { return Ok(false) };
        let Some(facts) = task::facts(&mut tx, task_id).await? else { return Ok(false) };
        if row.state.status == WaveStatus::Pending && row.wave == 1 && !facts.status.admits_no_more() {
            // Later waves are opened by the gate alone.
            wave::open(&mut tx, task_id, row.wave, now).await?;
            task::set_status(&mut tx, task_id, TaskStatus::Running, None, now).await?;
            row.state.status = WaveStatus::Open;
        }
        let number = if facts.status.admits_no_more() { 0 } else { row.state.admission() };
        if number == 0 {
            self.store.commit(tx).await?;
            return Ok(false);
        }
        let first = row.first_ordinal + row.cursor;
        let placed = target::place(&mut tx, &facts.project_id, task_id, first, number).await?;
        let terms = BatchTerms {
            task_id,
            wave: row.wave,
            deadlines: deadline::of_target(now, &facts.timeouts, u32::from(facts.script_count)),
            maybe_handed: false,
        };
        let ends = placed.iter().map(|target| (target.ordinal, &target.desktop_id));
        let stopped = stop::before_start(&mut tx, task_id, &facts, ends.collect(), now).await?;
        let placed = placed
            .into_iter()
            .filter(|target| !stopped.iter().any(|record| record.ordinal == target.ordinal))
            .collect();
        hand_to_workers(&mut tx, &facts, &terms, placed, now).await?;
        wave::admit(&mut tx, task_id, row.wave, number).await?;
        row.state.admitted += number;
        let more = row.state.admission() > 0;
        if !stopped.is_empty() {
            store_outcomes(&mut tx, task_id, &facts, std::slice::from_mut(&mut row), &stopped, now).await?;
        }
        self.store.commit(tx).await?;
        tracing::debug!(%task_id, wave = row.wave, first, number, "targets admitted");
        Ok(more)
    }

    /// One cut of every task that may have something to cut; true when another one may follow at once. A task that
    /// waits for results before it may admit more keeps no other one waiting.
    pub async fn cut_all(&self, now: Timestamp) -> Result<bool, Error> {
        const TASKS: i64 = 100;
        let (mut more, mut after) = (false, None);
        loop {
            let task_ids = task::to_cut(&mut *self.store.acquire().await?, after, TASKS).await?;
            for &task_id in &task_ids {
                more |= self.cut(task_id, now).await?;
            }
            after = task_ids.last().copied();
            if i64::try_from(task_ids.len()).unwrap_or(i64::MAX) < TASKS {
                return Ok(more);
            }
        }
    }
}

/// Makes batches for the workers that hold the desktops and stragglers of the rest, and wakes who waits for them.
/// Of a task that admits no more, only what is known is asked for.
pub(super) async fn hand_to_workers(
    connection: &mut Connection,
    facts: &TaskFacts,
    terms: &BatchTerms,
    placed: Vec<Placed>,
    now: Timestamp,
) -> Result<(), Error> {
    let cut = cut::cut(placed);
    if !cut.stragglers.is_empty() {
        straggler::insert(connection, &facts.project_id, terms, &cut.stragglers).await?;
    }
    if cut.batches.is_empty() {
        return Ok(());
    }
    let batches: Vec<NewBatch> = cut
        .batches
        .into_iter()
        .map(|(worker_id, members)| NewBatch { batch_id: fresh_batch_id(), worker_id, members })
        .collect();
    let answer_only = facts.status.admits_no_more();
    batch::insert(connection, terms, &batches, answer_only, facts.killing, now).await?;
    notify::send(connection, Wake::Ready).await
}
