//! Stores changes of locked waves.

use domain::Timestamp;
use engine::Changes;

use super::WaveRow;
use crate::{
    Connection, Error,
    codec::{int2, int4, tally_to_array},
    task_change::Runs,
};

/// Stores the current state of locked waves, and the change of the task for the clients that watch
/// it, in one statement. A new approval refers to the task's current plan and scripts.
pub(crate) async fn apply(connection: &mut Connection, changes: &Changes) -> Result<(), Error> {
    if !changes.is_visible() {
        return Ok(());
    }
    let Changes { task_id, project_id, waves, now, .. } = changes;
    let map = changes.map_change();
    let Runs { firsts, lengths, codes } = Runs::of(&map);
    let numbers = |of: fn(&WaveRow) -> u32| -> Vec<i32> { waves.iter().map(|row| int4(of(row))).collect() };
    let times =
        |of: fn(&WaveRow) -> Option<Timestamp>| -> Vec<Option<Timestamp>> { waves.iter().map(of).collect() };
    let target_tallies: Vec<i32> = waves.iter().flat_map(|row| tally_to_array(&row.state.tally)).collect();
    let record_tallies: Vec<i32> = waves.iter().flat_map(|row| tally_to_array(&row.record_tally)).collect();
    let approvers: Vec<Option<String>> =
        waves.iter().map(|row| row.approved.as_ref().map(|(approver, _)| approver.clone())).collect();
    sqlx::query!(
        "WITH noted AS (
             INSERT INTO task_change (task_id, version, project_id, at, is_reset, firsts, lengths, codes)
             SELECT $1, 1 + coalesce((SELECT max(c.version) FROM task_change c WHERE c.task_id = $1), 0),
                    $20, $21, $22, $23, $24, $25)
         UPDATE wave w SET status = n.status, cursor = n.cursor, admitted = n.admitted, waiting = n.waiting,
                failed = n.failed, halting = n.halting, is_trailing = n.is_trailing,
                target_tally = ($8::int4[])[n.place * $10 - $10 + 1:n.place * $10],
                record_tally = ($9::int4[])[n.place * $10 - $10 + 1:n.place * $10],
                verdict_reason = n.verdict_reason, opens_at = n.opens_at, opened_at = n.opened_at, closed_at = n.closed_at,
                approved_by = n.approved_by, approved_at = n.approved_at, hold_until = n.hold_until,
                approved_plan_hash = CASE WHEN n.approved_at IS DISTINCT FROM w.approved_at THEN k.plan_hash
                                          ELSE w.approved_plan_hash END,
                approved_script_hash = CASE WHEN n.approved_at IS DISTINCT FROM w.approved_at THEN k.script_hash
                                            ELSE w.approved_script_hash END
         FROM unnest($2::int2[], $3::text[], $4::int4[], $5::int4[], $6::int4[], $7::int4[], $11::int4[], $12::bool[],
                     $13::text[], $14::timestamptz[], $15::timestamptz[], $16::timestamptz[], $17::text[],
                     $18::timestamptz[], $19::timestamptz[])
                  WITH ORDINALITY
                  AS n (wave, status, cursor, admitted, waiting, failed, halting, is_trailing, verdict_reason, opens_at,
                        opened_at, closed_at, approved_by, approved_at, hold_until, place),
              task k
         WHERE w.task_id = $1 AND w.wave = n.wave AND k.task_id = $1",
        task_id.0,
        &waves.iter().map(|row| int2(row.wave)).collect::<Vec<_>>(),
        &waves.iter().map(|row| row.state.status.as_str().to_owned()).collect::<Vec<_>>(),
        &numbers(|row| row.cursor),
        &numbers(|row| row.state.admitted),
        &numbers(|row| row.state.waiting),
        &numbers(|row| row.state.failed),
        &target_tallies,
        &record_tallies,
        i64::try_from(domain::outcome::Outcome::ALL.len()).unwrap_or(i64::MAX),
        &numbers(|row| row.state.halting),
        &waves.iter().map(|row| row.is_trailing).collect::<Vec<_>>(),
        &waves.iter().map(|row| row.verdict_reason.clone()).collect::<Vec<_>>() as &[Option<String>],
        &times(|row| row.opening.opens_at) as &[Option<Timestamp>],
        &times(|row| row.opened_at) as &[Option<Timestamp>],
        &times(|row| row.closed_at) as &[Option<Timestamp>],
        &approvers as &[Option<String>],
        &times(|row| row.approved.as_ref().map(|(_, at)| *at)) as &[Option<Timestamp>],
        &times(|row| row.opening.hold_until) as &[Option<Timestamp>],
        project_id.as_str(),
        now,
        map.is_reset(),
        &firsts,
        &lengths,
        &codes,
    )
    .execute(connection)
    .await?;
    Ok(())
}
