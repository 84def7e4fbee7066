//! The waves of a task that can still change, under their locks.

use domain::{
    gate::Results,
    ids::TaskId,
    wave::{WaveStatus, relate},
};

use super::{Raw, WaveRow, select_waves};
use crate::{
    Connection, Error,
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
    let around = around(connection, task_id, &waves).await?;
    for row in &mut waves {
        row.state.terms.max_concurrency = around.max_concurrency;
    }
    let mut live = Live { waves, settled: around.settled };
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

/// What is around locked waves.
struct Around {
    /// Of waves that are not locked, which are over.
    settled: Results,
    max_concurrency: Option<u32>,
}

/// What the waves that are not locked have come to, where a rule asks for it, and what a person may have changed. Asked for
/// only now: while the locks were waited for, a wave may just have been closed, or the task's concurrency lowered.
async fn around(connection: &mut Connection, task_id: TaskId, locked: &[WaveRow]) -> Result<Around, Error> {
    let last = locked.last().filter(|row| row.state.terms.task_threshold.is_some());
    let numbers: Vec<i16> = locked.iter().map(|row| int2(row.wave)).collect();
    let found = sqlx::query!(
        r#"SELECT k.max_concurrency, coalesce(w.finished, 0) AS "finished!", coalesce(w.failed, 0) AS "failed!"
           FROM task k LEFT JOIN LATERAL (
               SELECT sum(size)::int4 AS finished, sum(failed)::int4 AS failed
               FROM wave WHERE task_id = k.task_id AND wave < $2 AND wave <> ALL($3)) AS w ON $2 > 1
           WHERE k.task_id = $1"#,
        task_id.0,
        last.map_or(0, |row| int2(row.wave)),
        &numbers,
    )
    .fetch_optional(connection)
    .await?;
    let Some(found) = found else { return Ok(Around { settled: Results::default(), max_concurrency: None }) };
    Ok(Around {
        settled: Results { finished: count("wave", found.finished)?, failed: count("wave", found.failed)? },
        max_concurrency: found.max_concurrency.map(|most| count("task", most)).transpose()?,
    })
}
