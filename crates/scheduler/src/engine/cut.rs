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
    straggler, target, task,
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
        if row.state.status == WaveStatus::Pending && row.wave == 1 {
            // Later waves are opened by the gate alone.
            wave::open(&mut tx, task_id, row.wave, now).await?;
            task::set_status(&mut tx, task_id, TaskStatus::Running, None, now).await?;
            row.state.status = WaveStatus::Open;
        }
        let number = row.state.admission();
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
        hand_to_workers(&mut tx, &facts, &terms, placed, now).await?;
        wave::admit(&mut tx, task_id, row.wave, number).await?;
        self.store.commit(tx).await?;
        tracing::debug!(%task_id, wave = row.wave, first, number, "targets admitted");
        Ok(number < row.state.size - row.state.admitted)
    }

    /// Cuts whatever there is to cut, a bounded amount; true when there may be more.
    pub async fn cut_all(&self, now: Timestamp) -> Result<bool, Error> {
        const TASKS: i64 = 100;
        let task_ids = task::to_cut(&mut *self.store.acquire().await?, TASKS).await?;
        let mut more = task_ids.len() == usize::try_from(TASKS).unwrap_or(usize::MAX);
        for task_id in task_ids {
            more |= self.cut(task_id, now).await?;
        }
        Ok(more)
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
    batch::insert(connection, terms, &batches, facts.status.admits_no_more(), now).await?;
    notify::send(connection, Wake::Ready).await
}
