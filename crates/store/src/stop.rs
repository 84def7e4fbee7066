//! Stops what a person wants stopped, in the caller's transaction: when it commits, nothing more is admitted, and the
//! workers that hold what runs are told until it has ended.

use chrono::SecondsFormat;
use domain::{
    Timestamp,
    event::EventKind,
    ids::{DesktopId, TaskId},
    outcome::Outcome,
    record::NOT_STARTED_REASON,
    task::TaskStatus,
    wave::WaveStatus,
};

use crate::{
    Connection, Error, batch,
    event::{self, NewEvent},
    notify::{self, Wake},
    record::{self, NewRecord},
    settle::{cut_short, kill as kill_all, settle, store_outcomes},
    straggler, target, target_stop, task,
    task::TaskFacts,
    wave::{self, Live},
};

/// Stops a task: nothing more of it is admitted; with `kill`, what runs is ended too. A task that has ended stays as
/// it is; one that the gate halted stays halted.
pub async fn stop_task(
    connection: &mut Connection,
    task_id: TaskId,
    kill: bool,
    actor: &str,
    reason: &str,
    now: Timestamp,
) -> Result<(), Error> {
    let mut live = wave::lock(connection, task_id, &[]).await?;
    let Some(facts) = task::facts(connection, task_id).await? else { return Ok(()) };
    if facts.status.is_ended() {
        return Ok(());
    }
    if !facts.status.admits_no_more() {
        end_early(connection, task_id, &mut live, reason, now).await?;
        event::insert(connection, task_id, NewEvent::by(EventKind::Stopped, actor, reason), now).await?;
    }
    if kill {
        kill_all(connection, task_id).await?;
    }
    tracing::info!(%task_id, kill, reason, "task stopped");
    settle(connection, task_id, &facts, &mut live, now).await
}

/// Stops a task whose time is over, if it is: nothing more of it is admitted, and what runs goes on.
pub async fn expire_task(connection: &mut Connection, task_id: TaskId, now: Timestamp) -> Result<(), Error> {
    let mut live = wave::lock(connection, task_id, &[]).await?;
    let Some(facts) = task::facts(connection, task_id).await? else { return Ok(()) };
    let Some(expires_at) = facts.expires_at.filter(|expires_at| *expires_at <= now) else { return Ok(()) };
    if facts.status.admits_no_more() {
        return Ok(());
    }
    let reason = format!(
        "expired: nothing is started after {}",
        expires_at.to_rfc3339_opts(SecondsFormat::Secs, true)
    );
    end_early(connection, task_id, &mut live, &reason, now).await?;
    let expired = NewEvent { kind: EventKind::Expired, wave: None, actor: "", detail: &reason };
    event::insert(connection, task_id, expired, now).await?;
    tracing::info!(%task_id, reason, "task expired");
    settle(connection, task_id, &facts, &mut live, now).await
}

async fn end_early(
    connection: &mut Connection,
    task_id: TaskId,
    live: &mut Live,
    reason: &str,
    now: Timestamp,
) -> Result<(), Error> {
    cut_short(connection, task_id, live, WaveStatus::Stopped, reason, now).await?;
    task::set_status(connection, task_id, TaskStatus::Stopping, Some(reason), now).await?;
    Ok(())
}

/// Stops one target from a script on. What has certainly not begun ends at once; what a worker or an agent may have
/// is told. A target that has ended stays as it is.
pub async fn stop_target(
    connection: &mut Connection,
    task_id: TaskId,
    ordinal: u32,
    script: u16,
    now: Timestamp,
) -> Result<(), Error> {
    let mut live = wave::lock(connection, task_id, &[ordinal]).await?;
    let Some(facts) = task::facts(connection, task_id).await? else { return Ok(()) };
    let Some(aim) = target::fetch(connection, task_id, ordinal).await? else { return Ok(()) };
    let has_ended = !record::ended(connection, task_id, &[ordinal]).await?.is_empty();
    // A script that an earlier task has done cannot be stopped any more.
    if facts.status.is_ended() || has_ended || script < aim.first_script {
        return Ok(());
    }
    let is_first = script == aim.first_script;
    if is_first && take_unhanded(connection, task_id, &mut live, ordinal).await? {
        let records = stopped_records(ordinal, &aim.desktop_id, script, facts.script_count, now);
        store_outcomes(connection, task_id, &facts, &mut live, &records, now).await?;
        return Ok(());
    }
    target_stop::insert(connection, task_id, ordinal, script, now).await?;
    notify::send(connection, Wake::Stop).await
}

/// Takes a target out of where it waits, if it was certainly never handed out; true when it was there.
async fn take_unhanded(
    connection: &mut Connection,
    task_id: TaskId,
    live: &mut Live,
    ordinal: u32,
) -> Result<bool, Error> {
    Ok(batch::take_unhanded(connection, task_id, ordinal).await?
        || straggler::take_unhanded(connection, task_id, live, ordinal).await?)
}

/// The records of those targets, none of which was handed out, that a person stopped before their first script: they
/// are to be stored, and the targets not to be handed out. `targets` are ordinals, in ascending order, and desktops.
pub async fn before_start(
    connection: &mut Connection,
    task_id: TaskId,
    facts: &TaskFacts,
    targets: Vec<(u32, &DesktopId)>,
    now: Timestamp,
) -> Result<Vec<NewRecord>, Error> {
    let Some(((first, _), (last, _))) = targets.first().zip(targets.last()) else { return Ok(Vec::new()) };
    let stops = target_stop::of_range(connection, task_id, *first, last - first + 1).await?;
    if stops.is_empty() {
        return Ok(Vec::new());
    }
    let ordinals: Vec<u32> = stops.keys().copied().collect();
    let first_scripts = target::first_scripts(connection, task_id, &ordinals).await?;
    let stopped = targets.into_iter().filter_map(|(ordinal, desktop_id)| {
        let script = *stops.get(&ordinal)?;
        let first = first_scripts.get(&ordinal).copied().unwrap_or_default();
        (script <= first).then(|| stopped_records(ordinal, desktop_id, script, facts.script_count, now))
    });
    Ok(stopped.flatten().collect())
}

/// The records of a target that was stopped at a script before it started.
fn stopped_records(
    ordinal: u32,
    desktop_id: &DesktopId,
    stopped: u16,
    script_count: u16,
    now: Timestamp,
) -> Vec<NewRecord> {
    (0..script_count)
        .map(|script| {
            let outcome = if script == stopped { Outcome::Stopped } else { Outcome::Skipped };
            NewRecord::without_result(ordinal, desktop_id.clone(), script, outcome, now, NOT_STARTED_REASON)
        })
        .collect()
}
