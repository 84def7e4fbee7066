//! Waves: the row lock that serialises admission and the gate.

use domain::{
    Timestamp,
    gate::Results,
    ids::TaskId,
    plan::PlannedWave,
    policy::GatePolicy,
    tally::Tally,
    threshold::Threshold,
    wave::{WaveState, WaveStatus, WaveTerms},
};
use sqlx::types::Json;

use crate::{
    Connection, Error,
    values::{count, int2, int4, tally_from_array, tally_to_array, word},
};

/// A wave's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaveRow {
    /// From 1.
    pub wave: u16,
    /// Ordinal of its first target.
    pub first_ordinal: u32,
    /// Targets of the wave that the cut has passed.
    pub cursor: u32,
    /// What the rules read.
    pub state: WaveState,
    /// Its records by outcome.
    pub record_tally: Tally,
    /// What the gate, or the person who stopped it, said last, in words.
    pub verdict_reason: Option<String>,
}

struct Raw {
    wave: i16,
    status: String,
    first_ordinal: i32,
    size: i32,
    cursor: i32,
    admitted: i32,
    fail_threshold: Option<i32>,
    fail_percent: Option<i32>,
    min_results: Option<i32>,
    failed: i32,
    halting: i32,
    target_tally: Vec<i32>,
    record_tally: Vec<i32>,
    verdict_reason: Option<String>,
    target_count: i32,
    policy: Option<Json<GatePolicy>>,
    max_concurrency: Option<i32>,
}

impl Raw {
    fn fail_threshold(&self) -> Result<Option<Threshold>, Error> {
        if let Some(number) = self.fail_threshold {
            return Ok(Some(Threshold::Count(count("wave", number)?)));
        }
        let Some((hundredths, min_results)) = self.fail_percent.zip(self.min_results) else {
            return Ok(None);
        };
        Ok(Some(Threshold::Percent {
            hundredths: count("wave", hundredths)?,
            min_results: count("wave", min_results)?,
        }))
    }

    fn terms(&self) -> Result<WaveTerms, Error> {
        let policy = self.policy.as_ref();
        Ok(WaveTerms {
            task_threshold: policy.and_then(|policy| policy.0.fail_threshold),
            strict: policy.is_some_and(|policy| policy.0.strict),
            max_concurrency: self.max_concurrency.map(|most| count("task", most)).transpose()?,
        })
    }
}

impl TryFrom<Raw> for WaveRow {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self, Error> {
        Ok(Self {
            wave: count("wave", raw.wave)?,
            first_ordinal: count("wave", raw.first_ordinal)?,
            cursor: count("wave", raw.cursor)?,
            state: WaveState {
                status: word("wave", &raw.status)?,
                size: count("wave", raw.size)?,
                admitted: count("wave", raw.admitted)?,
                tally: tally_from_array(&raw.target_tally)?,
                failed: count("wave", raw.failed)?,
                halting: count("wave", raw.halting)?,
                fail_threshold: raw.fail_threshold()?,
                // Filled in under the lock, where it matters.
                earlier: Results::default(),
                terms: raw.terms()?,
                is_last: raw.first_ordinal + raw.size == raw.target_count,
            },
            record_tally: tally_from_array(&raw.record_tally)?,
            verdict_reason: raw.verdict_reason,
        })
    }
}

/// Stores the waves of a new plan, all pending.
pub async fn insert(
    connection: &mut Connection,
    task_id: TaskId,
    waves: &[PlannedWave],
) -> Result<(), Error> {
    for wave in waves {
        let percent = match wave.fail_threshold {
            Some(Threshold::Percent { hundredths, min_results }) => Some((hundredths, min_results)),
            Some(Threshold::Count(_)) | None => None,
        };
        sqlx::query!(
            "INSERT INTO wave (task_id, wave, status, first_ordinal, size, fail_threshold, fail_percent, min_results)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            task_id.0,
            int2(wave.wave),
            WaveStatus::Pending.as_str(),
            int4(wave.first_ordinal),
            int4(wave.size),
            wave.fail_threshold.and_then(Threshold::count).map(int4),
            percent.map(|(hundredths, _)| int4(hundredths)),
            percent.map(|(_, min_results)| int4(min_results)),
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Locks a task's first wave that is not closed.
pub async fn lock_current(connection: &mut Connection, task_id: TaskId) -> Result<Option<WaveRow>, Error> {
    let raw = sqlx::query_as!(
        Raw,
        r#"SELECT w.wave, w.status, w.first_ordinal, w.size, w.cursor, w.admitted, w.fail_threshold,
                  w.fail_percent, w.min_results, w.failed, w.halting, k.policy AS "policy: Json<GatePolicy>",
                  k.max_concurrency, w.target_tally, w.record_tally, w.verdict_reason, k.target_count
           FROM wave w JOIN task k USING (task_id)
           WHERE w.task_id = $1 AND w.status <> 'CLOSED' ORDER BY w.wave LIMIT 1
           FOR UPDATE OF w"#,
        task_id.0
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(mut row) = raw.map(WaveRow::try_from).transpose()? else { return Ok(None) };
    fill_earlier(connection, task_id, &mut row).await?;
    Ok(Some(row))
}

/// What the waves before a locked one have come to. They are over, and asked for only now: while the lock was waited
/// for, the last of them may just have been closed.
async fn fill_earlier(connection: &mut Connection, task_id: TaskId, row: &mut WaveRow) -> Result<(), Error> {
    if row.wave == 1 || row.state.terms.task_threshold.is_none() {
        return Ok(());
    }
    let sums = sqlx::query!(
        r#"SELECT coalesce(sum(size), 0)::int4 AS "finished!", coalesce(sum(failed), 0)::int4 AS "failed!"
           FROM wave WHERE task_id = $1 AND wave < $2"#,
        task_id.0,
        int2(row.wave),
    )
    .fetch_one(connection)
    .await?;
    row.state.earlier =
        Results { finished: count("wave", sums.finished)?, failed: count("wave", sums.failed)? };
    Ok(())
}

/// Locks the waves that hold any of these ordinals, in ascending order, waiting for whoever holds them.
pub async fn lock_of_ordinals(
    connection: &mut Connection,
    task_id: TaskId,
    ordinals: &[u32],
) -> Result<Vec<WaveRow>, Error> {
    let ordinals: Vec<i32> = ordinals.iter().map(|&ordinal| int4(ordinal)).collect();
    let raw = sqlx::query_as!(
        Raw,
        r#"SELECT w.wave, w.status, w.first_ordinal, w.size, w.cursor, w.admitted, w.fail_threshold,
                  w.fail_percent, w.min_results, w.failed, w.halting, k.policy AS "policy: Json<GatePolicy>",
                  k.max_concurrency, w.target_tally, w.record_tally, w.verdict_reason, k.target_count
           FROM wave w JOIN task k USING (task_id)
           WHERE w.task_id = $1 AND EXISTS (
               SELECT FROM unnest($2::int4[]) AS o WHERE o >= w.first_ordinal AND o < w.first_ordinal + w.size)
           ORDER BY w.wave FOR UPDATE OF w"#,
        task_id.0,
        &ordinals,
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut rows = raw.into_iter().map(WaveRow::try_from).collect::<Result<Vec<_>, _>>()?;
    for row in &mut rows {
        fill_earlier(connection, task_id, row).await?;
    }
    Ok(rows)
}

/// All waves of several tasks, by task and number, without a lock.
pub async fn list(connection: &mut Connection, task_ids: &[TaskId]) -> Result<Vec<(TaskId, WaveRow)>, Error> {
    let ids: Vec<uuid::Uuid> = task_ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT w.task_id, w.wave, w.status, w.first_ordinal, w.size, w.cursor, w.admitted, w.fail_threshold,
                  w.fail_percent, w.min_results, w.failed, w.halting, k.policy AS "policy: Json<GatePolicy>",
                  k.max_concurrency, w.target_tally, w.record_tally, w.verdict_reason, k.target_count
           FROM wave w JOIN task k USING (task_id) WHERE w.task_id = ANY($1) ORDER BY w.task_id, w.wave"#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let raw = Raw {
                wave: row.wave,
                status: row.status,
                first_ordinal: row.first_ordinal,
                size: row.size,
                cursor: row.cursor,
                admitted: row.admitted,
                fail_threshold: row.fail_threshold,
                fail_percent: row.fail_percent,
                min_results: row.min_results,
                failed: row.failed,
                halting: row.halting,
                policy: row.policy,
                max_concurrency: row.max_concurrency,
                target_tally: row.target_tally,
                record_tally: row.record_tally,
                verdict_reason: row.verdict_reason,
                target_count: row.target_count,
            };
            Ok((TaskId(row.task_id), raw.try_into()?))
        })
        .collect()
}

/// Opens a pending wave; false when it was not pending.
pub async fn open(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    now: Timestamp,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE wave SET status = 'OPEN', opened_at = $3 WHERE task_id = $1 AND wave = $2 AND status = 'PENDING'",
        task_id.0,
        int2(wave),
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Moves the cursor past targets that were admitted.
pub async fn admit(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    number: u32,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET cursor = cursor + $3, admitted = admitted + $3 WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(wave),
        int4(number),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores what was counted in a locked wave.
pub async fn store_tallies(connection: &mut Connection, task_id: TaskId, row: &WaveRow) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET target_tally = $3, record_tally = $4, failed = $5, halting = $6 WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(row.wave),
        &tally_to_array(&row.state.tally),
        &tally_to_array(&row.record_tally),
        int4(row.state.failed),
        int4(row.state.halting),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends an open wave as closed, halted or stopped, with the reason; `withdrawn` targets were admitted and never
/// handed out.
pub async fn end(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    status: WaveStatus,
    reason: &str,
    withdrawn: u32,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET status = $3, verdict_reason = $4, admitted = admitted - $5, closed_at = $6
         WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(wave),
        status.as_str(),
        reason,
        int4(withdrawn),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes targets back that were admitted to a wave that is cut short and certainly never handed out.
pub async fn withdraw(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    number: u32,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET admitted = admitted - $3 WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(wave),
        int4(number),
    )
    .execute(connection)
    .await?;
    Ok(())
}
