//! Stores outcomes under the waves' locks and does what follows from them by the rules, all in the caller's transaction.
//! Schedulers do it with results, and the use cases with what a person stops.
//!
//! This is promise 1: the gate runs in the transaction that stores the failure that crosses the line, so no crash
//! and no second scheduler can slip between.

use std::collections::{BTreeMap, HashMap};

use domain::{
    Timestamp,
    ids::TaskId,
    outcome::Outcome,
    policy::{OnHalt, Weight},
    tally::Tally,
    task::TaskStatus,
    wave::{Step, WaveStatus, next_step},
};

use crate::{
    Connection, Error, batch,
    notify::{self, Wake},
    record::{self, NewRecord},
    straggler, target_stop, task,
    task::TaskFacts,
    wave::{self, WaveRow},
};

/// Stores records, counts those that are new, and settles every wave that they changed. Returns the ordinals of
/// the targets that ended by it.
pub async fn store_outcomes(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    waves: &mut [WaveRow],
    records: &[NewRecord],
    now: Timestamp,
) -> Result<Vec<u32>, Error> {
    let stored = record::insert(connection, task_id, facts.attempt, records).await?;
    // Records of one target are stored together, so those that are new tell the whole target's outcome.
    let mut targets: BTreeMap<u32, Vec<(u16, Outcome)>> = BTreeMap::new();
    for (ordinal, script, outcome) in stored {
        targets.entry(ordinal).or_default().push((script, outcome));
    }
    let exit_codes = exit_codes(facts, records);
    for row in waves.iter_mut() {
        let mut changed = false;
        for (ordinal, scripts) in targets.range_mut(row.first_ordinal..row.first_ordinal + row.state.size) {
            scripts.sort_unstable_by_key(|(script, _)| *script);
            let outcome = Outcome::of_target(scripts.iter().map(|(_, outcome)| *outcome));
            let decider = scripts.iter().find(|(_, outcome)| *outcome != Outcome::Success);
            let exit_code = decider.and_then(|(script, _)| exit_codes.get(&(*ordinal, *script)).copied());
            row.state.tally.add(outcome);
            match facts.policy.weigh(outcome, exit_code) {
                Weight::Ignore => {}
                Weight::Count => row.state.failed += 1,
                Weight::Halt => {
                    row.state.failed += 1;
                    row.state.halting += 1;
                }
            }
            for (_, outcome) in scripts {
                row.record_tally.add(*outcome);
            }
            changed = true;
        }
        if changed {
            wave::store_tallies(connection, task_id, row).await?;
            settle(connection, task_id, facts, row, now).await?;
            if row.state.admits_by_results() && row.state.admission() > 0 {
                notify::send(connection, Wake::Cut).await?;
            }
        }
    }
    Ok(targets.into_keys().collect())
}

/// The exit codes of new records, where the task weighs any.
fn exit_codes(facts: &TaskFacts, records: &[NewRecord]) -> HashMap<(u32, u16), i32> {
    if facts.policy.exit_codes.is_empty() {
        return HashMap::new();
    }
    records.iter().filter_map(|record| Some(((record.ordinal, record.script), record.exit_code?))).collect()
}

/// Does what the rule says of a locked wave, until it says that results are missing.
pub async fn settle(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    row: &mut WaveRow,
    now: Timestamp,
) -> Result<(), Error> {
    loop {
        match next_step(&row.state) {
            Step::Hold => return Ok(()),
            Step::Halt(reason) => halt(connection, task_id, facts, row, &reason, now).await?,
            Step::OpenNext(reason) => {
                wave::end(connection, task_id, row.wave, WaveStatus::Closed, &reason, 0, now).await?;
                wave::open(connection, task_id, row.wave + 1, now).await?;
                tracing::info!(%task_id, wave = row.wave, reason, "wave closed, the next one opens");
                return notify::send(connection, Wake::Cut).await;
            }
            Step::Finish(reason) => {
                wave::end(connection, task_id, row.wave, WaveStatus::Closed, &reason, 0, now).await?;
                let mut all = Tally::default();
                for (_, wave) in wave::list(connection, &[task_id]).await? {
                    all.merge(&wave.state.tally);
                }
                return end_task(connection, task_id, TaskStatus::of_finished(&all), now).await;
            }
            Step::FinishCutShort(status) => return end_task(connection, task_id, status, now).await,
        }
    }
}

async fn halt(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    row: &mut WaveRow,
    reason: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let withdrawn = cut_short(connection, task_id, row, WaveStatus::Halted, reason, now).await?;
    task::set_status(connection, task_id, TaskStatus::Halting, Some(reason), now).await?;
    tracing::warn!(%task_id, wave = row.wave, reason, withdrawn, "rollout halted");
    if facts.policy.on_halt == OnHalt::Kill {
        kill(connection, task_id).await?;
    }
    Ok(())
}

/// Has everything that runs of a task ended.
pub(crate) async fn kill(connection: &mut Connection, task_id: TaskId) -> Result<(), Error> {
    task::set_killing(connection, task_id).await?;
    target_stop::mark_task(connection, task_id).await?;
    notify::send(connection, Wake::Stop).await
}

/// Ends a locked open wave before its time: withdraws what was not handed out yet, so that nothing more is admitted.
/// Returns how many targets were withdrawn.
pub(crate) async fn cut_short(
    connection: &mut Connection,
    task_id: TaskId,
    row: &mut WaveRow,
    status: WaveStatus,
    reason: &str,
    now: Timestamp,
) -> Result<u32, Error> {
    let withdrawn = batch::withdraw_ready(connection, task_id, row.wave).await?
        + straggler::withdraw(connection, task_id, row.wave).await?;
    wave::end(connection, task_id, row.wave, status, reason, withdrawn, now).await?;
    row.state.status = status;
    row.state.admitted -= withdrawn;
    Ok(withdrawn)
}

/// Ends a task and clears what is left of its work.
pub(crate) async fn end_task(
    connection: &mut Connection,
    task_id: TaskId,
    status: TaskStatus,
    now: Timestamp,
) -> Result<(), Error> {
    batch::delete_of_task(connection, task_id).await?;
    straggler::delete_of_task(connection, task_id).await?;
    target_stop::delete_of_task(connection, task_id).await?;
    task::set_status(connection, task_id, status, None, now).await?;
    tracing::info!(%task_id, %status, "task ended");
    Ok(())
}
