//! What happens to a wave, under its lock.

use domain::{Timestamp, ids::TaskId, wave::WaveStatus};

use super::WaveRow;
use crate::{
    Connection, Error,
    values::{int2, int4, tally_to_array},
};

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

/// Has a wave whose turn it is wait until the one before it has soaked.
pub async fn soak(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    opens_at: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET opens_at = $3 WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(wave),
        opens_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a person approved a wave, for the plan and the scripts that the task has.
pub async fn approve(
    connection: &mut Connection,
    task_id: TaskId,
    wave: u16,
    approved_by: &str,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave w SET approved_at = $4, approved_by = $3, approved_plan_hash = k.plan_hash,
                approved_script_hash = k.script_hash
         FROM task k WHERE k.task_id = w.task_id AND w.task_id = $1 AND w.wave = $2",
        task_id.0,
        int2(wave),
        approved_by,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The last missing target of a wave that was closed on a quorum is in.
pub async fn end_trailing(connection: &mut Connection, task_id: TaskId, wave: u16) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET is_trailing = false WHERE task_id = $1 AND wave = $2 AND is_trailing",
        task_id.0,
        int2(wave)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores what was counted in a locked wave.
pub async fn store_tallies(connection: &mut Connection, task_id: TaskId, row: &WaveRow) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE wave SET target_tally = $3, record_tally = $4, failed = $5, halting = $6, verdict_reason = $7
         WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(row.wave),
        &tally_to_array(&row.state.tally),
        &tally_to_array(&row.record_tally),
        int4(row.state.failed),
        int4(row.state.halting),
        row.verdict_reason,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a locked wave as closed, halted or stopped, with the reason. One that is closed although targets are missing
/// goes on counting them.
pub async fn end(
    connection: &mut Connection,
    task_id: TaskId,
    row: &mut WaveRow,
    status: WaveStatus,
    reason: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let is_trailing = status == WaveStatus::Closed && row.state.missing() > 0;
    row.state.status = status;
    row.verdict_reason = Some(reason.to_owned());
    row.closed_at = Some(now);
    sqlx::query!(
        "UPDATE wave SET status = $3, verdict_reason = $4, is_trailing = $5, closed_at = $6
         WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(row.wave),
        status.as_str(),
        reason,
        is_trailing,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes targets back that were admitted to a locked wave and certainly never handed out, because the task is cut short.
pub async fn withdraw(
    connection: &mut Connection,
    task_id: TaskId,
    row: &mut WaveRow,
    number: u32,
) -> Result<(), Error> {
    row.state.admitted -= number;
    sqlx::query!(
        "UPDATE wave SET admitted = admitted - $3 WHERE task_id = $1 AND wave = $2",
        task_id.0,
        int2(row.wave),
        int4(number),
    )
    .execute(connection)
    .await?;
    Ok(())
}
