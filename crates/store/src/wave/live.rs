//! The waves of a task that can still change, under their locks.

use domain::{
    gate::Results,
    ids::TaskId,
    wave::{WaveStatus, relate},
};

use super::{Raw, WaveRow, select_waves};
use crate::{
    Connection, Error,
    task::TaskFacts,
    values::{count, int2, int4},
};

/// What of a task can still change, under its locks: waves that were closed on a quorum and whose last targets are
/// missing, and the current wave, which is the last of these rows.
#[derive(Debug)]
pub struct Live {
    /// In ascending order. Waves that were asked for and are over may be among them.
    pub waves: Vec<WaveRow>,
    /// Of all waves that are not among these.
    settled: Results,
}

impl Live {
    /// The current wave: the first that is not closed; none when the task has ended.
    pub fn current(&mut self) -> Option<&mut WaveRow> {
        self.waves.iter_mut().find(|row| row.state.status != WaveStatus::Closed)
    }

    /// One of the waves.
    pub fn wave(&mut self, wave: u16) -> Option<&mut WaveRow> {
        self.waves.iter_mut().find(|row| row.wave == wave)
    }

    /// Tells each wave what the others have come to. To be done after each change and before a rule is asked.
    pub fn relate(&mut self) {
        relate(self.settled, self.waves.iter_mut().map(|row| &mut row.state));
    }

    /// Heeds what a person may have changed while the locks were waited for: `facts` are read behind them, and before anything
    /// is admitted.
    pub fn heed(&mut self, facts: &TaskFacts) {
        for row in &mut self.waves {
            row.state.terms.max_concurrency = facts.max_concurrency;
        }
    }

    /// Targets of a wave came to wait for their desktops.
    pub(crate) fn wait(&mut self, wave: u16, number: u32) {
        if let Some(row) = self.wave(wave) {
            row.state.waiting += number;
        }
    }

    /// Targets of a wave do not wait for their desktops any more.
    pub(crate) fn wait_no_more(&mut self, wave: u16, number: u32) {
        if let Some(row) = self.wave(wave) {
            row.state.waiting = row.state.waiting.saturating_sub(number);
        }
    }
}

/// Locks what of a task can still change, and those waves of these ordinals that have begun, in ascending order, waiting for
/// whoever holds them. Of a wave that has not begun nothing can be true, whoever names its ordinals.
pub async fn lock(connection: &mut Connection, task_id: TaskId, ordinals: &[u32]) -> Result<Live, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let raw: Vec<Raw> = sqlx::query_as(select_waves!(
        "w.task_id = $1 AND w.status <> 'PENDING'
             AND (w.is_trailing OR w.status IN ('OPEN', 'HALTED', 'STOPPED') OR EXISTS (
                 SELECT FROM unnest($2::int4[]) AS o WHERE o >= w.first_ordinal AND o < w.first_ordinal + w.size))
         ORDER BY w.wave FOR UPDATE OF w"
    ))
    .bind(task_id.0)
    .bind(&ordinals)
    .fetch_all(&mut *connection)
    .await?;
    let mut waves = raw.into_iter().map(WaveRow::try_from).collect::<Result<Vec<_>, _>>()?;
    // While these locks were waited for, the current wave may have become another one; or none is open, and one waits.
    while waves.last().is_none_or(|last| last.state.status == WaveStatus::Closed) {
        let after = waves.last().map_or(0, |last| last.wave);
        match lock_next(connection, task_id, after).await? {
            Some(next) => waves.push(next),
            None => break,
        }
    }
    let settled = settled(connection, task_id, &waves).await?;
    let mut live = Live { waves, settled };
    live.relate();
    Ok(live)
}

/// Locks the first wave behind one that can still change.
pub(crate) async fn lock_next(
    connection: &mut Connection,
    task_id: TaskId,
    after: u16,
) -> Result<Option<WaveRow>, Error> {
    let raw: Option<Raw> = sqlx::query_as(select_waves!(
        "w.task_id = $1 AND w.wave > $2 AND (w.is_trailing OR w.status <> 'CLOSED') ORDER BY w.wave LIMIT 1 FOR UPDATE OF w"
    ))
    .bind(task_id.0)
    .bind(int2(after))
    .fetch_optional(connection)
    .await?;
    raw.map(WaveRow::try_from).transpose()
}

/// What the waves that are not locked have come to, where a rule asks for it. They are over, and asked for only now: while
/// the locks were waited for, one of them may just have been closed.
async fn settled(connection: &mut Connection, task_id: TaskId, locked: &[WaveRow]) -> Result<Results, Error> {
    let Some(last) = locked.last() else { return Ok(Results::default()) };
    if last.wave == 1 || last.state.terms.task_threshold.is_none() {
        return Ok(Results::default());
    }
    let numbers: Vec<i16> = locked.iter().map(|row| int2(row.wave)).collect();
    let sums = sqlx::query!(
        r#"SELECT coalesce(sum(size), 0)::int4 AS "finished!", coalesce(sum(failed), 0)::int4 AS "failed!"
           FROM wave WHERE task_id = $1 AND wave < $2 AND wave <> ALL($3)"#,
        task_id.0,
        int2(last.wave),
        &numbers,
    )
    .fetch_one(connection)
    .await?;
    Ok(Results { finished: count("wave", sums.finished)?, failed: count("wave", sums.failed)? })
}
