//! Writes records, and adds late results to them.

use domain::{Timestamp, ids::TaskId, process::ProcessReport, record::LateResult};
use engine::row::NewRecord;
use serde_json::Value;

use crate::{
    Connection, Error,
    codec::{int2, int4},
};

/// Inserts new records of one task in one statement. An existing record is an error: the waves'
/// locks keep two transactions from storing the same target.
pub(crate) async fn insert(
    connection: &mut Connection,
    task_id: TaskId,
    attempt: u16,
    records: &[NewRecord],
) -> Result<(), Error> {
    if records.is_empty() {
        return Ok(());
    }
    let ordinals: Vec<i32> = records.iter().map(|record| int4(record.ordinal)).collect();
    let scripts: Vec<i16> = records.iter().map(|record| int2(record.script)).collect();
    let outcomes: Vec<String> = records.iter().map(|record| record.outcome.as_str().to_owned()).collect();
    let exit_codes: Vec<Option<i32>> = records.iter().map(|record| record.exit_code).collect();
    let started: Vec<Option<Timestamp>> = records.iter().map(|record| record.started_at).collect();
    let ended: Vec<Timestamp> = records.iter().map(|record| record.ended_at).collect();
    let outputs: Vec<String> = records.iter().map(|record| record.output.clone()).collect();
    let reasons: Vec<String> = records.iter().map(|record| record.reason.clone()).collect();
    let fingerprint_ids: Vec<Option<i64>> = records.iter().map(|record| record.fingerprint_id).collect();
    let processes = || records.iter().map(|record| &record.process);
    let interpreters: Vec<Option<String>> = processes().map(|process| process.interpreter.clone()).collect();
    let signals: Vec<Option<i16>> = processes().map(|process| process.signal.map(i16::from)).collect();
    let containments: Vec<Option<String>> =
        processes().map(|process| process.containment.map(|word| word.as_str().to_owned())).collect();
    let left: Vec<Option<Value>> = processes().map(left_processes).collect::<Result<_, _>>()?;
    let left_counts: Vec<Option<i32>> = processes().map(left_count).collect();
    sqlx::query!(
        "INSERT INTO record (task_id, ordinal, script, attempt, outcome, exit_code, started_at, ended_at, output, reason,
                             fingerprint_id, interpreter, signal, containment, left_processes, left_processes_count)
         SELECT $1, n.ordinal, n.script, $2, n.outcome::outcome, n.exit_code, n.started_at, n.ended_at, n.output, n.reason,
                n.fingerprint_id, n.interpreter, n.signal, n.containment, n.left_processes, n.left_processes_count
         FROM unnest($3::int4[], $4::int2[], $5::text[], $6::int4[], $7::timestamptz[], $8::timestamptz[], $9::text[],
                     $10::text[], $11::int8[], $12::text[], $13::int2[], $14::text[], $15::jsonb[], $16::int4[])
              AS n (ordinal, script, outcome, exit_code, started_at, ended_at, output, reason, fingerprint_id,
                    interpreter, signal, containment, left_processes, left_processes_count)
         ORDER BY n.ordinal, n.script",
        task_id.0,
        int2(attempt),
        &ordinals,
        &scripts,
        &outcomes,
        &exit_codes as &[Option<i32>],
        &started as &[Option<Timestamp>],
        &ended,
        &outputs,
        &reasons,
        &fingerprint_ids as &[Option<i64>],
        &interpreters as &[Option<String>],
        &signals as &[Option<i16>],
        &containments as &[Option<String>],
        &left as &[Option<Value>],
        &left_counts as &[Option<i32>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the value of `left_processes`; `None` if no process is named.
fn left_processes(process: &ProcessReport) -> Result<Option<Value>, Error> {
    let named = Some(&process.left_processes).filter(|named| !named.is_empty());
    named.map(serde_json::to_value).transpose().map_err(|error| Error::corrupt("record", error))
}

/// Returns the value of `left_processes_count`; `None` if no process outlived the script.
fn left_count(process: &ProcessReport) -> Option<i32> {
    let count = i32::try_from(process.left_processes_count).unwrap_or(i32::MAX);
    Some(count).filter(|count| *count > 0)
}

/// Adds late results to records whose outcome is unknown. A record keeps the first.
pub(crate) async fn add_late(
    connection: &mut Connection,
    task_id: TaskId,
    attempt: u16,
    late: &[NewRecord],
    now: Timestamp,
) -> Result<(), Error> {
    if late.is_empty() {
        return Ok(());
    }
    let result = |record: &NewRecord| {
        serde_json::json!(LateResult {
            outcome: record.outcome,
            exit_code: record.exit_code,
            started_at: record.started_at,
            ended_at: record.ended_at,
            output: record.output.clone(),
            reason: record.reason.clone(),
            received_at: now,
        })
    };
    sqlx::query!(
        "UPDATE record r SET late_result = n.late_result
         FROM unnest($3::int4[], $4::int2[], $5::jsonb[]) AS n (ordinal, script, late_result)
         WHERE r.task_id = $1 AND r.attempt = $2 AND r.ordinal = n.ordinal AND r.script = n.script
           AND r.outcome = 'UNKNOWN' AND r.late_result IS NULL",
        task_id.0,
        int2(attempt),
        &late.iter().map(|record| int4(record.ordinal)).collect::<Vec<_>>(),
        &late.iter().map(|record| int2(record.script)).collect::<Vec<_>>(),
        &late.iter().map(result).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
