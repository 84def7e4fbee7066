//! Tasks and records as they are read.

use std::collections::HashMap;

use domain::{
    Error, Timestamp,
    authz::{ALL, Action, Resource},
    explain,
    ids::TaskId,
    page::Page,
    record::RecordId,
    tally::Tally,
    task::RecordCounts,
    wave::WaveStatus,
    wave_start,
};
use store::{
    Connection, record,
    record::{RecordFilter, RecordRow},
    target,
    target::ListedTarget,
    task,
    task::{PinnedScript, TaskFilter, TaskRow},
    wave,
    wave::WaveRow,
};

use crate::{Caller, Control, lookup};

/// Ids shown of one task in a list, which stays small that way.
const SHOWN_IDS: i64 = 1_000;

/// A task with what its list entry tells.
#[derive(Debug, Clone)]
pub struct TaskEntry {
    /// The task.
    pub task: TaskRow,
    /// What it runs.
    pub scripts: Vec<PinnedScript>,
    /// Its desktops, the first 1,000 in the order of the plan.
    pub desktop_ids: Vec<String>,
    /// The desktops of its gray wave, the first 1,000; empty without a gray rule.
    pub gray_desktop_ids: Vec<String>,
    /// Over records.
    pub counts: RecordCounts,
}

/// A task with its waves.
#[derive(Debug, Clone)]
pub struct TaskProgress {
    /// The task.
    pub task: TaskRow,
    /// What it runs.
    pub scripts: Vec<PinnedScript>,
    /// All of its waves.
    pub waves: Vec<WaveRow>,
    /// Over records.
    pub counts: RecordCounts,
    /// What it waits for, where it is not at work.
    pub waiting_for: Option<String>,
}

/// What a task waits for, where it is not at work.
pub(crate) fn waiting_for(task: &TaskRow, waves: &[WaveRow], now: Timestamp) -> Option<String> {
    let hold = wave_start::admission_block(task.paused.is_some(), task.is_frozen, task.expires_at, now);
    let current = waves.iter().find(|row| row.state.status != WaveStatus::Closed);
    explain::waiting_for(
        task.status,
        hold,
        current.map(|row| (row.wave, row.state.status, &row.opening)),
        now,
    )
}

impl Control {
    /// One page of tasks, and how many there are in all. `action` is that of the list that is asked for.
    pub async fn list_tasks(
        &self,
        caller: &Caller,
        action: Action,
        filter: &TaskFilter,
        page: Page,
    ) -> Result<(i64, Vec<TaskEntry>), Error> {
        caller.check(action, [Resource::Task(ALL)])?;
        let mut connection = self.store.acquire().await?;
        let (count, tasks) = task::list(&mut connection, caller.project_id(), filter, page).await?;
        Ok((count, entries(&mut connection, tasks).await?))
    }

    /// One task with its waves and what it runs.
    pub async fn show_task(&self, caller: &Caller, task_id: TaskId) -> Result<TaskProgress, Error> {
        check_task(caller, task_id)?;
        let mut connection = self.store.acquire().await?;
        find(&mut connection, caller, task_id, self.environment.now()).await
    }

    /// A task that the caller has just made or changed: whoever may do that may see what came of it.
    pub async fn task_after(&self, caller: &Caller, task_id: TaskId) -> Result<TaskProgress, Error> {
        let mut connection = self.store.acquire().await?;
        find(&mut connection, caller, task_id, self.environment.now()).await
    }

    /// Tasks with their waves, newest first, from behind `filter.before` on.
    pub async fn page_tasks(
        &self,
        caller: &Caller,
        filter: &TaskFilter,
        limit: i64,
    ) -> Result<Vec<TaskProgress>, Error> {
        caller.check(Action::ListTasks, [Resource::Task(ALL)])?;
        let mut connection = self.store.acquire().await?;
        let tasks = task::page(&mut connection, caller.project_id(), filter, limit).await?;
        progress(&mut connection, tasks, self.environment.now()).await
    }

    /// Targets of a task in the order of its plan, from behind an ordinal on.
    pub async fn page_targets(
        &self,
        caller: &Caller,
        task_id: TaskId,
        after: Option<u32>,
        limit: i64,
    ) -> Result<Vec<ListedTarget>, Error> {
        check_task(caller, task_id)?;
        let mut connection = self.store.acquire().await?;
        lookup::task(&mut connection, caller, task_id).await?;
        Ok(target::page(&mut connection, task_id, after, limit).await?)
    }

    /// One page of records, and how many there are in all.
    pub async fn list_records(
        &self,
        caller: &Caller,
        filter: &RecordFilter,
        page: Page,
    ) -> Result<(i64, Vec<RecordRow>), Error> {
        caller.check(Action::ListRecords, [Resource::Task(ALL)])?;
        Ok(record::list(&mut *self.store.acquire().await?, caller.project_id(), filter, page).await?)
    }

    /// Records of one task in the order of its plan, from behind `filter.after` on.
    pub async fn page_records(
        &self,
        caller: &Caller,
        task_id: TaskId,
        filter: RecordFilter,
        limit: i64,
    ) -> Result<Vec<RecordRow>, Error> {
        caller.check(Action::ListRecords, [Resource::Task(&task_id.to_string())])?;
        let mut connection = self.store.acquire().await?;
        lookup::task(&mut connection, caller, task_id).await?;
        let filter = RecordFilter { task_id: Some(task_id), ..filter };
        Ok(record::page(&mut connection, caller.project_id(), &filter, limit).await?)
    }

    /// As [`Self::page_records`], with what each of them printed.
    pub async fn page_outputs(
        &self,
        caller: &Caller,
        task_id: TaskId,
        filter: RecordFilter,
        limit: i64,
    ) -> Result<Vec<RecordRow>, Error> {
        caller.check(Action::GetRecordDetail, [Resource::Task(&task_id.to_string())])?;
        self.page_records(caller, task_id, RecordFilter { with_output: true, ..filter }, limit).await
    }

    /// One record with its output.
    pub async fn show_record(&self, caller: &Caller, record_id: RecordId) -> Result<RecordRow, Error> {
        caller.check(Action::GetRecordDetail, [Resource::Task(&record_id.task_id.to_string())])?;
        lookup::record(&mut *self.store.acquire().await?, caller, record_id).await
    }
}

async fn find(
    connection: &mut Connection,
    caller: &Caller,
    task_id: TaskId,
    now: Timestamp,
) -> Result<TaskProgress, Error> {
    let task = lookup::task(connection, caller, task_id).await?;
    let filled = progress(connection, vec![task], now).await?.pop();
    filled.ok_or_else(Error::internal)
}

fn check_task(caller: &Caller, task_id: TaskId) -> Result<(), Error> {
    caller.check(Action::GetTask, [Resource::Task(&task_id.to_string())])
}

/// Adds waves and scripts to tasks, with a bounded number of statements.
async fn progress(
    connection: &mut Connection,
    tasks: Vec<TaskRow>,
    now: Timestamp,
) -> Result<Vec<TaskProgress>, Error> {
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.task_id).collect();
    let mut scripts = task::pinned_scripts(connection, &ids).await?;
    let mut waves = by_task(wave::list(connection, &ids).await?);
    Ok(tasks
        .into_iter()
        .map(|task| {
            let waves = waves.remove(&task.task_id).unwrap_or_default();
            TaskProgress {
                scripts: scripts.remove(&task.task_id).unwrap_or_default(),
                counts: counts(&task, &waves),
                waiting_for: waiting_for(&task, &waves, now),
                waves,
                task,
            }
        })
        .collect())
}

/// Fills a page of tasks with a bounded number of statements, however many tasks it has.
async fn entries(connection: &mut Connection, tasks: Vec<TaskRow>) -> Result<Vec<TaskEntry>, Error> {
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.task_id).collect();
    let gray_ids: Vec<TaskId> = tasks.iter().filter(|task| task.gray).map(|task| task.task_id).collect();
    let mut scripts = task::pinned_scripts(connection, &ids).await?;
    let mut desktops = by_task(target::desktop_ids(connection, &ids, false, SHOWN_IDS).await?);
    let mut gray = by_task(target::desktop_ids(connection, &gray_ids, true, SHOWN_IDS).await?);
    let waves = by_task(wave::list(connection, &ids).await?);
    Ok(tasks
        .into_iter()
        .map(|task| TaskEntry {
            scripts: scripts.remove(&task.task_id).unwrap_or_default(),
            desktop_ids: desktops.remove(&task.task_id).unwrap_or_default(),
            gray_desktop_ids: gray.remove(&task.task_id).unwrap_or_default(),
            counts: counts(&task, waves.get(&task.task_id).map_or(&[], Vec::as_slice)),
            task,
        })
        .collect())
}

fn by_task<T>(rows: Vec<(TaskId, T)>) -> HashMap<TaskId, Vec<T>> {
    let mut grouped: HashMap<TaskId, Vec<T>> = HashMap::new();
    for (task_id, row) in rows {
        grouped.entry(task_id).or_default().push(row);
    }
    grouped
}

fn counts(task: &TaskRow, waves: &[WaveRow]) -> RecordCounts {
    let mut stored = Tally::default();
    let mut admitted = 0;
    for wave in waves {
        stored.merge(&wave.record_tally);
        admitted += u64::from(wave.state.admitted);
    }
    let withdrawn = if task.status.admits_no_more() { u64::from(task.target_count) - admitted } else { 0 };
    RecordCounts::new(&stored, withdrawn, u64::from(task.script_count))
}
