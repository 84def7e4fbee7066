//! Stores outcomes under the waves' locks and does what follows from them by the rules, all in the caller's transaction.
//! Schedulers do it with results, and the use cases with what a person stops.
//!
//! This is promise 1: the gate runs in the transaction that stores the failure that crosses the line, so no crash
//! and no second scheduler can slip between.

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;
use domain::{
    Timestamp,
    event::EventKind,
    failure::signature,
    gate::HaltKind,
    ids::TaskId,
    opening::{self, Opening, Turn},
    outcome::Outcome,
    policy::{OnHalt, Weight},
    tally::Tally,
    task::TaskStatus,
    wave::{Step, WaveStatus, halt_kind, late_halt, next_step},
};
use telemetry::{metric, trace};

use crate::{
    Connection, Error, batch,
    event::{self, NewEvent},
    failure,
    notify::{self, Wake},
    record::{self, NewRecord},
    straggler, target_stop, task,
    task::TaskFacts,
    wave::{self, Live, WaveRow},
};

/// Stores records, counts those that are new, and settles what they changed. Returns the ordinals of the targets that
/// ended by it.
pub async fn store_outcomes(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    records: &[NewRecord],
    now: Timestamp,
) -> Result<Vec<u32>, Error> {
    let ended = count_outcomes(connection, task_id, facts, live, records).await?;
    settle_counted(connection, task_id, facts, live, &ended, now).await?;
    Ok(ended)
}

/// Stores records and counts those that are new. Returns the ordinals of the targets that ended by it, which are to be
/// settled.
pub async fn count_outcomes(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    records: &[NewRecord],
) -> Result<Vec<u32>, Error> {
    let mut signatures: Vec<_> = records.iter().map(signature_of).collect();
    failure::within_limit(connection, task_id, &mut signatures).await?;
    let ids: Vec<Option<i64>> = signatures.iter().map(|found| found.as_ref().map(|it| it.id)).collect();
    let stored = record::insert(connection, task_id, facts.attempt, records, &ids).await?;
    // Records of one target are stored together, so those that are new tell the whole target's outcome.
    let mut targets: BTreeMap<u32, Vec<(u16, Outcome)>> = BTreeMap::new();
    for (ordinal, script, outcome) in stored {
        targets.entry(ordinal).or_default().push((script, outcome));
    }
    let exit_codes = exit_codes(facts, records);
    for (ordinal, scripts) in &mut targets {
        let Some(row) = live.waves.iter_mut().find(|row| row.has(*ordinal)) else { continue };
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
    }
    let failures: Vec<_> = records
        .iter()
        .zip(signatures)
        .filter_map(|(record, signature)| Some((record, signature?)))
        // As it was stored: a script that an earlier task has done is a success.
        .filter(|(record, _)| {
            let stored = targets.get(&record.ordinal);
            stored.is_some_and(|scripts| scripts.contains(&(record.script, record.outcome)))
        })
        .collect();
    if !failures.is_empty() {
        failure::add(connection, task_id, &live.waves, &failures).await?;
    }
    Ok(targets.into_keys().collect())
}

fn signature_of(record: &NewRecord) -> Option<domain::failure::Signature> {
    let failed = record.outcome.counts_as_failure();
    failed.then(|| signature(record.outcome, record.exit_code, &record.output, &record.reason))
}

/// Stores the tallies of the waves whose targets ended, and does what follows.
pub async fn settle_counted(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    ended: &[u32],
    now: Timestamp,
) -> Result<(), Error> {
    if ended.is_empty() {
        return Ok(());
    }
    live.relate();
    // What the gate says is stored with what it has read.
    if let Some(current) = live.current()
        && let Step::Hold(Some(reason)) = next_step(&current.state)
    {
        current.verdict_reason = Some(reason);
    }
    for row in &live.waves {
        if ended.iter().any(|&ordinal| row.has(ordinal)) {
            wave::store_tallies(connection, task_id, row).await?;
        }
    }
    settle(connection, task_id, facts, live, now).await?;
    ring(connection, facts, live).await
}

/// Wakes who waits for the places that results make.
async fn ring(connection: &mut Connection, facts: &TaskFacts, live: &mut Live) -> Result<(), Error> {
    if !facts.has_project_limit && !live.waves.iter().any(|row| row.state.admits_by_results()) {
        return Ok(());
    }
    live.relate();
    let late = live.waves.iter().any(|row| row.state.late_admission() > 0);
    let has_room = live.current().is_some_and(|row| row.state.admission() > 0);
    if late {
        notify::send(connection, Wake::Presence).await?;
    }
    // With a limit over all tasks the place may be another one's.
    if has_room || facts.has_project_limit { notify::send(connection, Wake::Cut).await } else { Ok(()) }
}

/// The exit codes of new records, where the task weighs any.
fn exit_codes(facts: &TaskFacts, records: &[NewRecord]) -> HashMap<(u32, u16), i32> {
    if facts.policy.exit_codes.is_empty() {
        return HashMap::new();
    }
    records.iter().filter_map(|record| Some(((record.ordinal, record.script), record.exit_code?))).collect()
}

/// Does what the rules say of a task's locked waves, until they say that results are missing.
pub async fn settle(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    now: Timestamp,
) -> Result<(), Error> {
    loop {
        live.relate();
        let late = settle_closed(connection, task_id, live).await?;
        let Some(current) = live.current() else { return Ok(()) };
        let is_open = current.state.status == WaveStatus::Open;
        let can_halt = matches!(current.state.status, WaveStatus::Open | WaveStatus::Pending);
        let (step, kind) = match late {
            Some(reason) if can_halt => (Step::Halt(reason), "late"),
            _ => (next_step(&current.state), halt_kind(&current.state).map_or("", HaltKind::as_str)),
        };
        if is_open || matches!(step, Step::Halt(_)) {
            tell_verdict(&step, kind, current.wave);
        }
        match step {
            Step::Hold(_) => return Ok(()),
            Step::Halt(reason) => halt(connection, task_id, facts, live, &reason, now).await?,
            Step::Close(reason) => close(connection, task_id, facts, live, &reason, now).await?,
            Step::Finish(reason) => {
                end_closed(connection, task_id, current, &reason, now).await?;
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

/// What the gate said, for whoever watches.
fn tell_verdict(step: &Step, halts_by: &str, wave: u16) {
    let (verdict, halts_by, reason) = match step {
        Step::Hold(reason) => ("hold", "", reason.as_deref().unwrap_or_default()),
        Step::Halt(reason) => ("halt", halts_by, reason.as_str()),
        Step::Close(reason) | Step::Finish(reason) => ("proceed", "", reason.as_str()),
        Step::FinishCutShort(_) => return,
    };
    metric::GATE_VERDICTS.count(1, &[verdict, halts_by]);
    tracing::debug!(target: trace::TARGET, verdict, reason, wave, "gate");
}

/// As [`settle`], when targets came to wait for their desktops: a quorum looks at those as well as at results.
pub async fn settle_waiting(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    now: Timestamp,
) -> Result<(), Error> {
    if facts.policy.quorum.is_none() || facts.status.admits_no_more() {
        return Ok(());
    }
    settle(connection, task_id, facts, live, now).await
}

/// Looks after waves that were closed on a quorum: those whose last target is in are done, and one whose late failures
/// reach its threshold halts the rollout after all.
async fn settle_closed(
    connection: &mut Connection,
    task_id: TaskId,
    live: &Live,
) -> Result<Option<String>, Error> {
    let mut late = None;
    for row in live.waves.iter().filter(|row| row.state.status == WaveStatus::Closed) {
        if row.state.missing() == 0 {
            wave::end_trailing(connection, task_id, row.wave).await?;
        }
        if let Some(reason) = late_halt(&row.state) {
            late.get_or_insert_with(|| format!("wave {}, after it was closed: {reason}", row.wave));
        }
    }
    Ok(late)
}

/// Ends a wave as closed, and says so.
async fn end_closed(
    connection: &mut Connection,
    task_id: TaskId,
    row: &mut WaveRow,
    reason: &str,
    now: Timestamp,
) -> Result<(), Error> {
    wave::end(connection, task_id, row, WaveStatus::Closed, reason, now).await?;
    event::insert(connection, task_id, NewEvent::of_wave(EventKind::WaveClosed, row.wave, reason), now).await
}

/// Closes the current wave. The next one opens, or waits for what it needs.
async fn close(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    reason: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(current) = live.current() else { return Ok(()) };
    end_closed(connection, task_id, current, reason, now).await?;
    let number = current.wave;
    let Some(mut next) = wave::lock_next(connection, task_id, number).await? else { return Ok(()) };
    if facts.policy.soak_seconds > 0 {
        let opens_at = now + TimeDelta::seconds(i64::from(facts.policy.soak_seconds));
        wave::soak(connection, task_id, next.wave, opens_at).await?;
        next.opening = Opening { opens_at: Some(opens_at), ..next.opening };
    }
    live.waves.push(next);
    if let Some(wait) = open_current(connection, task_id, facts, live, now).await? {
        let waits = NewEvent::of_wave(EventKind::WaveWaits, number + 1, &wait);
        event::insert(connection, task_id, waits, now).await?;
    }
    Ok(())
}

/// Opens the current wave if it waits for its turn and nothing is missing; else says what is.
pub async fn open_current(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    now: Timestamp,
) -> Result<Option<String>, Error> {
    let Some(current) = live.current().filter(|row| row.state.status == WaveStatus::Pending) else {
        return Ok(None);
    };
    match opening::decide(&current.opening, facts.hold(now), now) {
        Turn::Open => {}
        waits => return Ok(Some(waits.to_string())),
    }
    wave::open(connection, task_id, current.wave, now).await?;
    current.state.status = WaveStatus::Open;
    let opened = NewEvent::of_wave(EventKind::WaveOpened, current.wave, "");
    event::insert(connection, task_id, opened, now).await?;
    if current.wave == 1 {
        task::set_status(connection, task_id, TaskStatus::Running, None, now).await?;
    }
    tracing::info!(%task_id, wave = current.wave, "wave opened");
    notify::send(connection, Wake::Cut).await?;
    Ok(None)
}

async fn halt(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    live: &mut Live,
    reason: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(wave) = live.current().map(|row| row.wave) else { return Ok(()) };
    let withdrawn = cut_short(connection, task_id, live, WaveStatus::Halted, reason, now).await?;
    task::set_status(connection, task_id, TaskStatus::Halting, Some(reason), now).await?;
    let halted = NewEvent::of_wave(EventKind::Halted, wave, reason);
    event::insert(connection, task_id, halted, now).await?;
    tracing::warn!(%task_id, wave, reason, withdrawn, "rollout halted");
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

/// Ends the current wave before its time: withdraws what was not handed out yet, of all waves, so that nothing more is
/// admitted. Returns how many targets were withdrawn.
pub(crate) async fn cut_short(
    connection: &mut Connection,
    task_id: TaskId,
    live: &mut Live,
    status: WaveStatus,
    reason: &str,
    now: Timestamp,
) -> Result<u32, Error> {
    let mut withdrawn = 0;
    for row in &mut live.waves {
        let waiting = straggler::withdraw(connection, task_id, row.wave).await?;
        let number = batch::withdraw_ready(connection, task_id, row.wave).await? + waiting;
        row.state.waiting = row.state.waiting.saturating_sub(waiting);
        if number > 0 {
            wave::withdraw(connection, task_id, row, number).await?;
        }
        withdrawn += number;
    }
    if let Some(current) = live.current() {
        wave::end(connection, task_id, current, status, reason, now).await?;
    }
    Ok(withdrawn)
}

/// Ends a task and clears what is left of its work; a task that has ended stays as it is.
pub(crate) async fn end_task(
    connection: &mut Connection,
    task_id: TaskId,
    status: TaskStatus,
    now: Timestamp,
) -> Result<(), Error> {
    if !task::set_status(connection, task_id, status, None, now).await? {
        return Ok(());
    }
    batch::delete_of_task(connection, task_id).await?;
    straggler::delete_of_task(connection, task_id).await?;
    target_stop::delete_of_task(connection, task_id).await?;
    let ended = NewEvent { kind: EventKind::Ended, wave: None, actor: "", detail: status.as_str() };
    event::insert(connection, task_id, ended, now).await?;
    metric::TASKS_ENDED.count(1, &[status.as_str()]);
    tracing::info!(%task_id, %status, "task ended");
    Ok(())
}
