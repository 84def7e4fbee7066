//! Retry: a new task over the targets that did not succeed. The old task stays, and each refers to
//! the other.

use domain::{
    Error, Reason,
    authz::{Action, Resource},
    event::EventKind,
    ids::{DesktopId, TaskId},
    plan::plan_again,
    retry::{self, Remainder},
    submission::TaskOrRecord,
    threshold::Threshold,
};
use store::{
    Connection, desktop,
    event::{self, NewEvent},
    target, task,
    task::{NewTask, PinnedScript, RetryOf, TaskRow},
    wave,
};
use telemetry::{metric, trace};

use crate::{
    Caller, Control,
    audit::execution_details,
    change::Begun,
    executions::{check_execute, refuse_retired},
    guardrails, lookup,
};

/// Scripts and targets of a retry.
struct Retry {
    scripts: Vec<PinnedScript>,
    remainder: Vec<Remainder>,
    waves: Vec<(u32, Option<Threshold>)>,
    gray: bool,
    of: RetryOf,
}

impl Control {
    /// Creates a task over the targets of a task, or over one record, that did not succeed. It runs
    /// the same script revisions under the same limits. Succeeded targets and retired desktops are
    /// left out.
    #[tracing::instrument(target = "graywave::trace", skip_all)]
    pub async fn retry(&self, caller: &Caller, aim: TaskOrRecord) -> Result<TaskId, Error> {
        let old_id = aim.task_id();
        caller.check(Action::Retry, [Resource::Task(&old_id.to_string())])?;
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(answer) => return answer.parse(),
        };
        self.check_open_tasks(&mut tx, caller.project_id()).await?;
        let old = lookup::task(&mut tx, caller, old_id).await?;
        wave::lock(&mut tx, old_id, &[]).await?;
        if !task::lock_for_retry(&mut tx, old_id).await? {
            return Err(lookup::no_task(old_id));
        }
        let retry = match aim {
            TaskOrRecord::Task(_) => of_task(&mut tx, &old).await?,
            TaskOrRecord::Record(record_id) => {
                let row = lookup::record(&mut tx, caller, record_id).await?;
                retry::check_record(row.status, row.ended_at.is_some(), old.status)?;
                of_record(&mut tx, &old, record_id.ordinal, record_id.script, &row.desktop_id).await?
            }
        };
        let command = old.command.as_ref().map(|(command_type, text)| (*command_type, text.as_str()));
        let desktop_ids: Vec<_> = retry.remainder.iter().map(|one| &one.desktop_id).collect();
        check_execute(caller, &retry.scripts, &desktop_ids, &old.policy)?;
        let task_id = TaskId(self.environment.id());
        let order = retry.remainder.iter().map(|one| one.desktop_id.clone()).collect();
        let plan = plan_again(order, retry.waves, retry.gray);
        guardrails::check_retry(&mut tx, caller, &plan, &old.policy, old.target_count).await?;
        let first_scripts: Vec<u16> = retry.remainder.iter().map(|one| one.first_script).collect();
        let trace_context = trace::current();
        let new = NewTask {
            task_id,
            project_id: caller.project_id(),
            scripts: &retry.scripts,
            command,
            timeouts: old.timeouts,
            plan: &plan,
            first_scripts: Some(&first_scripts),
            attempt: old.attempt.saturating_add(1),
            retry_of: Some(retry.of),
            selection: old.selection.as_ref(),
            policy: &old.policy,
            max_concurrency: old.max_concurrency,
            // The old expiry does not apply: the retry is requested now.
            expires_at: None,
            created_by: &caller.identity.principal,
            justification: &caller.justification,
            trace_context: trace_context.as_deref(),
            now: self.environment.now(),
        };
        task::insert(&mut tx, &new).await?;
        let detail = format!("task {task_id}");
        let retried = NewEvent::of_task(EventKind::Retried, &caller.identity.principal, detail);
        event::insert(&mut tx, old_id, &[retried], self.environment.now()).await?;
        let details = execution_details(&mut tx, &new).await?;
        let resource = format!("task:{task_id}");
        self.done_with(tx, caller, Action::Retry, &resource, &details, &task_id.to_string()).await?;
        metric::TASKS_ACCEPTED.increment(1, &["retry"]);
        tracing::info!(%task_id, retry_of = %old_id, targets = plan.order.len(), "retry accepted");
        Ok(task_id)
    }
}

async fn of_task(connection: &mut Connection, old: &TaskRow) -> Result<Retry, Error> {
    retry::check_task(old.status)?;
    refuse_second(connection, old.task_id, None).await?;
    let remainder = target::remainder(connection, old.task_id).await?;
    if remainder.is_empty() {
        return Err(Error::new(
            Reason::NothingToRetry,
            "nothing to retry: every target succeeded, was already retried, or has a retired desktop",
        ));
    }
    let old_waves = wave::list(connection, &[old.task_id]).await?;
    let old_waves: Vec<_> =
        old_waves.into_iter().map(|(_, row)| (row.state.size, row.state.fail_threshold)).collect();
    let mut pinned = task::pinned_scripts(connection, &[old.task_id]).await?;
    Ok(Retry {
        scripts: pinned.remove(&old.task_id).unwrap_or_default(),
        waves: retry::waves(&old_waves, u32::try_from(remainder.len()).unwrap_or(u32::MAX)),
        remainder,
        gray: old.gray,
        of: RetryOf { task_id: old.task_id, record: None },
    })
}

async fn of_record(
    connection: &mut Connection,
    old: &TaskRow,
    ordinal: u32,
    script: u16,
    desktop_id: &str,
) -> Result<Retry, Error> {
    let record = Some((ordinal, script));
    refuse_second(connection, old.task_id, record).await?;
    let desktop_id: DesktopId = desktop_id.parse()?;
    let known = desktop::candidates(connection, &old.project_id, std::slice::from_ref(&desktop_id)).await?;
    if known.iter().any(|(_, is_retired)| *is_retired) {
        refuse_retired(None, &[desktop_id.as_str()])?;
    }
    let mut pinned = task::pinned_scripts(connection, &[old.task_id]).await?;
    let scripts = pinned.remove(&old.task_id).unwrap_or_default();
    Ok(Retry {
        scripts: scripts.into_iter().skip(usize::from(script)).take(1).collect(),
        remainder: vec![Remainder { desktop_id, first_script: 0 }],
        waves: vec![(1, None)],
        gray: false,
        of: RetryOf { task_id: old.task_id, record },
    })
}

/// Refuses a second retry of the same task or record: its successor is the one to retry.
async fn refuse_second(
    connection: &mut Connection,
    task_id: TaskId,
    record: Option<(u32, u16)>,
) -> Result<(), Error> {
    match task::successor(connection, task_id, record).await? {
        None => Ok(()),
        Some(successor) => Err(Error::new(
            Reason::AlreadyRetried,
            format!("already retried by task {successor}: retry that task instead"),
        )),
    }
}
