//! Conversions of the record service between proto and domain.

use control::RecordRow;
use domain::{Error, limits::wave_number, process::ProcessReport};
use proto::{
    Word as _,
    admin::{Containment, LateResult, LeftProcess, Outcome, Record, RecordFilter, RecordStatus},
    time,
};

use crate::{convert::value, page::RecordCursor};

pub(crate) fn record(row: RecordRow) -> Record {
    let ProcessReport { interpreter, signal, containment, left_processes, left_processes_count } =
        row.process.clone();
    Record {
        record_id: row.record_id.to_string(),
        task_id: row.record_id.task_id.to_string(),
        ordinal: row.record_id.ordinal,
        script: row.record_id.script.into(),
        attempt: row.record_id.attempt.into(),
        wave: row.wave.into(),
        status: RecordStatus::number(row.status.status_and_result_code().0),
        outcome: row.outcome().map_or(0, |outcome| Outcome::number(outcome.as_str())),
        reason: row.shown_reason().unwrap_or_default().to_owned(),
        desktop_id: row.desktop_id,
        computer_name: row.computer_name,
        script_id: value::text(row.script_id.map(|id| id.to_string())),
        script_name: row.script_name,
        exit_code: row.exit_code,
        start_time: time(row.started_at),
        end_time: time(row.ended_at),
        output: row.output,
        interpreter: value::text(interpreter),
        signal: signal.map(i32::from),
        containment: containment.map_or(0, |word| Containment::number(word.as_str())),
        left_processes: left_processes.into_iter().map(left_process).collect(),
        left_processes_count,
        late_result: row.late_result.map(late_result),
    }
}

fn late_result(late: domain::record::LateResult) -> LateResult {
    LateResult {
        outcome: Outcome::number(late.outcome.as_str()),
        exit_code: late.exit_code,
        reason: late.reason,
        start_time: time(late.started_at),
        end_time: time(Some(late.ended_at)),
        receive_time: time(Some(late.received_at)),
        output: late.output,
    }
}

fn left_process(process: domain::process::LeftProcess) -> LeftProcess {
    let domain::process::LeftProcess { pid, command, user, survived_kill } = process;
    LeftProcess { pid, command, user, survived_kill }
}

/// Returns the position of a record in its task, for page tokens and cursors.
pub(crate) fn place(record: &Record) -> String {
    // The message widens the script number, which originates from a `u16`.
    RecordCursor(record.ordinal, u16::try_from(record.script).unwrap_or(u16::MAX)).to_string()
}

/// Converts a record filter. The page starts after `after`.
pub(crate) fn filter(
    given: Option<RecordFilter>,
    after: Option<RecordCursor>,
) -> Result<control::RecordFilter, Error> {
    let given = given.unwrap_or_default();
    Ok(control::RecordFilter {
        status: value::word::<RecordStatus>("status", given.status)?.map(str::to_owned),
        desktop_ids: value::filters("desktop_ids", given.desktop_ids)?,
        wave: (given.wave > 0).then(|| wave_number(given.wave)).transpose()?,
        after: after.map(|RecordCursor(ordinal, script)| (ordinal, script)),
        ..control::RecordFilter::default()
    })
}
