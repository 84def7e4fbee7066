//! Retry: a new task over what did not succeed; the old one is kept, and the two refer to each other.

use domain::{
    Error, ErrorKind,
    access::{Action, Resource},
    desktop::Stratum,
    ids::TaskId,
    plan::{Candidate, plan},
    retry::{self, Remainder},
    submission::Aim,
};
use store::{
    Connection,
    notify::{self, Wake},
    record, target, task,
    task::{NewTask, PinnedScript, RetryOf, TaskRow},
};

use crate::{Caller, Control, executions::check_execute};

/// What a retry runs, and on what.
struct Retry {
    scripts: Vec<PinnedScript>,
    remainder: Vec<Remainder>,
    gray: Option<(u32, u32)>,
    of: RetryOf,
}

impl Control {
    /// Makes a task of what of a task, or of one record, did not succeed: the same scripts at the same revisions, with
    /// the same limits. What succeeded is not run again.
    pub async fn retry(&self, caller: &Caller, aim: Aim) -> Result<TaskId, Error> {
        let old_id = aim.task_id();
        caller.check(Action::Retry, [Resource::Task(&old_id.to_string())])?;
        let mut tx = self.store.begin().await?;
        if let Some(answer) = self.answered_before(&mut tx, caller).await? {
            return answer.parse();
        }
        let missing = || Error::not_found(format!("task {old_id} does not exist"));
        let old = task::fetch(&mut tx, caller.project_id(), old_id).await?.ok_or_else(missing)?;
        let gray = task::lock_for_retry(&mut tx, old_id).await?;
        let retry = match aim {
            Aim::Task(_) => of_task(&mut tx, &old, gray).await?,
            Aim::Record(record_id) => {
                let row = record::fetch(&mut tx, caller.project_id(), record_id)
                    .await?
                    .ok_or_else(|| Error::not_found(format!("record {record_id} does not exist")))?;
                retry::check_record(row.status)?;
                of_record(&mut tx, &old, record_id.ordinal, record_id.script, &row.desktop_id).await?
            }
        };
        let command = old.command.as_ref().map(|(command_type, text)| (*command_type, text.as_str()));
        let desktop_ids: Vec<_> = retry.remainder.iter().map(|one| &one.desktop_id).collect();
        check_execute(caller, &retry.scripts, &desktop_ids)?;
        let task_id = TaskId(self.clock.id());
        let mut plan =
            plan(candidates(&retry.remainder), retry::gray(retry.gray, &retry.remainder).as_ref(), 0)?;
        for pick in &mut plan.picks {
            "first in the plan of the task that is retried".clone_into(&mut pick.reason);
        }
        let first_scripts: Vec<u16> = retry.remainder.iter().map(|one| one.first_script).collect();
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
            created_by: &caller.identity.principal,
            now: self.clock.now(),
        };
        task::insert(&mut tx, &new).await?;
        notify::send(&mut tx, Wake::Cut).await?;
        self.done(tx, caller, Action::Retry, &format!("task:{task_id}"), &task_id.to_string()).await?;
        tracing::info!(%task_id, retry_of = %old_id, targets = plan.order.len(), "retry accepted");
        Ok(task_id)
    }
}

async fn of_task(
    connection: &mut Connection,
    old: &TaskRow,
    gray: Option<(u32, u32)>,
) -> Result<Retry, Error> {
    retry::check_task(old.status)?;
    refuse_second(connection, old.task_id, None).await?;
    let remainder = target::remainder(connection, old.task_id).await?;
    if remainder.is_empty() {
        return Err(Error::new(
            ErrorKind::Conflict,
            "everything succeeded or was retried record by record: there is nothing to retry",
        ));
    }
    let mut pinned = task::pinned_scripts(connection, &[old.task_id]).await?;
    Ok(Retry {
        scripts: pinned.remove(&old.task_id).unwrap_or_default(),
        remainder,
        gray,
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
    let mut pinned = task::pinned_scripts(connection, &[old.task_id]).await?;
    let scripts = pinned.remove(&old.task_id).unwrap_or_default();
    Ok(Retry {
        scripts: scripts.into_iter().skip(usize::from(script)).take(1).collect(),
        remainder: vec![Remainder { desktop_id: desktop_id.parse()?, first_script: 0 }],
        gray: None,
        of: RetryOf { task_id: old.task_id, record },
    })
}

/// What was retried goes on in its successor, not here again.
async fn refuse_second(
    connection: &mut Connection,
    task_id: TaskId,
    record: Option<(u32, u16)>,
) -> Result<(), Error> {
    match task::successor(connection, task_id, record).await? {
        None => Ok(()),
        Some(successor) => Err(Error::new(
            ErrorKind::Conflict,
            format!("it was retried already, by task {successor}: retry that one"),
        )),
    }
}

/// A retry keeps the order of the old plan and draws no sample, so it needs no strata. A desktop that is gone by now
/// takes part all the same, and ends as UNDELIVERED.
fn candidates(remainder: &[Remainder]) -> Vec<Candidate> {
    let stratum =
        Stratum { os_type: String::new(), pool_id: String::new(), availability_zone: String::new() };
    remainder
        .iter()
        .map(|one| Candidate { desktop_id: one.desktop_id.clone(), stratum: stratum.clone() })
        .collect()
}
