//! Inserts tasks: few statements, because a client waits for each of them.

use domain::{
    event::EventKind, plan::PlannedWave, policy::RolloutPolicy, script::parameter::ParameterValues,
    task::TaskStatus, threshold::Threshold, wave::WaveStatus, wave_start::WaveStart,
};
use sqlx::types::Json;
use uuid::Uuid;

use super::{NewTask, POOL_GROUP, Selection, script_hash};
use crate::{
    Connection, Error,
    codec::{int2, int4},
    event::{self, NewEvent},
    notify::{CHANNEL, Wake},
    target_insert,
};

/// Inserts a task with its scripts, waves and targets. The rows become visible with the caller's
/// commit, which wakes the schedulers.
pub async fn insert(connection: &mut Connection, task: &NewTask<'_>) -> Result<(), Error> {
    let (pool, tag) = match task.selection {
        Some(Selection::Pool(pool_id)) => (Some(pool_id.as_str()), None),
        Some(Selection::Tag(tag)) => (None, Some(tag.as_str())),
        None => (None, None),
    };
    let policy = (*task.policy != RolloutPolicy::default())
        .then(|| serde_json::to_value(task.policy))
        .transpose()
        .map_err(|error| Error::corrupt("task", error))?;
    let script_hash = script_hash(connection, task.project_id, task.scripts, task.command).await?;
    let picks = serde_json::to_value(&task.plan.picks).map_err(|error| Error::corrupt("task", error))?;
    sqlx::query!(
        "INSERT INTO task (task_id, project_id, status, resource_type, command_type, command, attempt, target_count,
                           script_count, execution_timeout_ms, delivery_timeout_ms, grace_ms, gray, plan_seed,
                           plan_hash, plan_picks, created_at, retry_of, retry_of_ordinal, retry_of_script,
                           resource_group_type, resource_group_id, desktop_tag, created_by, policy, max_concurrency,
                           expires_at, script_hash, trace_context, submit_reason, ticket)
         VALUES ($1, $2, $3, 'DESKTOP', $4, $5, $16, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $17, $18, $19, $20,
                 $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)",
        task.task_id.0,
        task.project_id.as_str(),
        TaskStatus::Waiting.as_str(),
        task.command.map(|(command_type, _)| command_type.as_str()),
        task.command.map(|(_, command)| command),
        int4(task.plan.order.len()),
        int2(task.scripts.len()),
        task.timeouts.execution.num_milliseconds(),
        task.timeouts.delivery.num_milliseconds(),
        task.timeouts.grace.num_milliseconds(),
        task.plan.gray,
        task.plan.seed.cast_signed(),
        &task.plan.hash[..],
        picks,
        task.now,
        int2(task.attempt),
        task.retry_of.map(|old| old.task_id.0),
        task.retry_of.and_then(|old| old.record).map(|(ordinal, _)| int4(ordinal)),
        task.retry_of.and_then(|old| old.record).map(|(_, script)| int2(script)),
        pool.map(|_| POOL_GROUP),
        pool,
        tag,
        task.created_by,
        policy,
        task.max_concurrency.map(int4),
        task.expires_at,
        &script_hash[..],
        task.trace_context,
        task.justification.reason(),
        task.justification.ticket(),
    )
    .execute(&mut *connection)
    .await?;
    insert_parts(connection, task).await?;
    target_insert::insert(connection, task.task_id, task.plan, task.first_scripts).await
}

/// Inserts scripts, waves and first events of a task, and wakes the schedulers, in one statement.
async fn insert_parts(connection: &mut Connection, task: &NewTask<'_>) -> Result<(), Error> {
    let scripts = ScriptColumns::of(task);
    let waves = WaveColumns::of(&task.plan.waves, task.policy);
    let events = event::Columns::of(&first_events(task));
    sqlx::query!(
        r#"WITH scripts AS (
               INSERT INTO task_script (task_id, script, script_id, revision, name, parameters)
               SELECT $1, script, script_id, revision, name, parameters
               FROM unnest($2::int2[], $3::uuid[], $4::int4[], $5::text[], $6::jsonb[])
                    AS n (script, script_id, revision, name, parameters)),
           waves AS (
               INSERT INTO wave (task_id, wave, status, first_ordinal, size, fail_threshold,
                                 fail_threshold_basis_points, min_results, needs_approval)
               SELECT $1, wave, $7, first_ordinal, size, fail_threshold, basis_points, min_results, needs_approval
               FROM unnest($8::int2[], $9::int4[], $10::int4[], $11::int4[], $12::int4[], $13::int4[], $14::bool[])
                    AS n (wave, first_ordinal, size, fail_threshold, basis_points, min_results, needs_approval)),
           events AS (
               INSERT INTO task_event (task_id, at, kind, wave, actor, detail)
               SELECT $1, $15, kind, wave, actor, detail
               FROM unnest($16::text[], $17::int2[], $18::text[], $19::text[]) WITH ORDINALITY
                    AS n (kind, wave, actor, detail, place) ORDER BY place)
           SELECT pg_notify($20, $21)"#,
        task.task_id.0,
        &scripts.script,
        &scripts.script_id as &[Option<Uuid>],
        &scripts.revision as &[Option<i32>],
        &scripts.name,
        &scripts.parameters as &[Json<&ParameterValues>],
        WaveStatus::Pending.as_str(),
        &waves.wave,
        &waves.first_ordinal,
        &waves.size,
        &waves.fail_threshold as &[Option<i32>],
        &waves.basis_points as &[Option<i32>],
        &waves.min_results as &[Option<i32>],
        &waves.needs_approval,
        task.now,
        &events.kind,
        &events.wave as &[Option<i16>],
        &events.actor,
        &events.detail,
        CHANNEL,
        Wake::Admit.payload(),
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Columns of the scripts, in order.
struct ScriptColumns<'a> {
    script: Vec<i16>,
    script_id: Vec<Option<Uuid>>,
    revision: Vec<Option<i32>>,
    name: Vec<String>,
    parameters: Vec<Json<&'a ParameterValues>>,
}

impl<'a> ScriptColumns<'a> {
    fn of(task: &NewTask<'a>) -> Self {
        let pinned = task.scripts.iter();
        let (script_id, revision) =
            pinned.clone().map(|one| (one.script.map(|(id, _)| id.0), one.script.map(|(_, at)| at))).unzip();
        Self {
            script: (0..task.scripts.len()).map(int2).collect(),
            script_id,
            revision,
            name: pinned.clone().map(|one| one.name.clone()).collect(),
            parameters: pinned.map(|one| Json(&one.parameters)).collect(),
        }
    }
}

/// Columns of the waves, in order.
#[derive(Default)]
struct WaveColumns {
    wave: Vec<i16>,
    first_ordinal: Vec<i32>,
    size: Vec<i32>,
    fail_threshold: Vec<Option<i32>>,
    basis_points: Vec<Option<i32>>,
    min_results: Vec<Option<i32>>,
    needs_approval: Vec<bool>,
}

impl WaveColumns {
    fn of(waves: &[PlannedWave], policy: &RolloutPolicy) -> Self {
        let mut columns = Self::default();
        for wave in waves {
            let percent = match wave.fail_threshold {
                Some(Threshold::Percent { share, min_results }) => Some((share.get(), min_results)),
                Some(Threshold::Count(_)) | None => None,
            };
            columns.wave.push(int2(wave.wave));
            columns.first_ordinal.push(int4(wave.first_ordinal));
            columns.size.push(int4(wave.size));
            columns.fail_threshold.push(wave.fail_threshold.and_then(Threshold::count).map(int4));
            columns.basis_points.push(percent.map(|(basis_points, _)| int4(basis_points)));
            columns.min_results.push(percent.map(|(_, min_results)| int4(min_results)));
            columns.needs_approval.push(policy.opening_of(wave.wave).needs_approval);
        }
        columns
    }
}

/// Returns the events of an accepted task.
fn first_events(task: &NewTask<'_>) -> Vec<NewEvent> {
    let detail = format!("desktops: {}, waves: {}", task.plan.order.len(), task.plan.waves.len());
    let detail = task.justification.after(&detail);
    let mut events = vec![NewEvent::of_task(EventKind::Accepted, task.created_by, detail)];
    if task.policy.opening_of(1).needs_approval {
        events.push(NewEvent::of_wave(EventKind::WaveWaiting, 1, WaveStart::WaitsForApproval.to_string()));
    }
    events
}
