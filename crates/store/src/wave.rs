//! Waves: the row lock that serialises admission and the gate.

use domain::{
    Timestamp,
    ids::TaskId,
    plan::PlannedWave,
    tally::Tally,
    wave::{WaveState, WaveStatus},
};

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
    target_tally: Vec<i32>,
    record_tally: Vec<i32>,
    verdict_reason: Option<String>,
    target_count: i32,
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
                fail_threshold: raw.fail_threshold.map(|threshold| count("wave", threshold)).transpose()?,
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
        sqlx::query!(
            "INSERT INTO wave (task_id, wave, status, first_ordinal, size, fail_threshold)
             VALUES ($1, $2, $3, $4, $5, $6)",
            task_id.0,
            int2(wave.wave),
            WaveStatus::Pending.as_str(),
            int4(wave.first_ordinal),
            int4(wave.size),
            wave.fail_threshold.map(int4),
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
                  w.target_tally, w.record_tally, w.verdict_reason, k.target_count
           FROM wave w JOIN task k USING (task_id)
           WHERE w.task_id = $1 AND w.status <> 'CLOSED' ORDER BY w.wave LIMIT 1
           FOR UPDATE OF w"#,
        task_id.0
    )
    .fetch_optional(connection)
    .await?;
    raw.map(WaveRow::try_from).transpose()
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
                  w.target_tally, w.record_tally, w.verdict_reason, k.target_count
           FROM wave w JOIN task k USING (task_id)
           WHERE w.task_id = $1 AND EXISTS (
               SELECT FROM unnest($2::int4[]) AS o WHERE o >= w.first_ordinal AND o < w.first_ordinal + w.size)
           ORDER BY w.wave FOR UPDATE OF w"#,
        task_id.0,
        &ordinals,
    )
    .fetch_all(connection)
    .await?;
    raw.into_iter().map(WaveRow::try_from).collect()
}

/// All waves of several tasks, by task and number, without a lock.
pub async fn list(connection: &mut Connection, task_ids: &[TaskId]) -> Result<Vec<(TaskId, WaveRow)>, Error> {
    let ids: Vec<uuid::Uuid> = task_ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT w.task_id, w.wave, w.status, w.first_ordinal, w.size, w.cursor, w.admitted, w.fail_threshold,
                  w.target_tally, w.record_tally, w.verdict_reason, k.target_count
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

/// Stores a locked wave's tallies.
pub async fn store_tallies(connection: &mut Connection, task_id: TaskId, row: &WaveRow) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET target_tally = $3, record_tally = $4 WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(row.wave),
        &tally_to_array(&row.state.tally),
        &tally_to_array(&row.record_tally),
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
