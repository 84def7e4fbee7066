//! Queries of tasks and records.

use std::collections::HashMap;

use domain::{
    Error, Timestamp,
    authz::{ALL, Action, Resource},
    explain,
    ids::TaskId,
    margin::{self, Margin},
    page::Page,
    period::Period,
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

/// Maximum number of desktop ids per task in a list, which bounds the response size.
const SHOWN_IDS: i64 = 1_000;

/// A task with the data of its list entry.
#[derive(Debug, Clone)]
pub struct TaskEntry {
    /// Row of the task.
    pub task: TaskRow,
    /// Scripts that the task runs.
    pub scripts: Vec<PinnedScript>,
    /// Its first 1,000 desktops, in the order of the plan.
    pub desktop_ids: Vec<String>,
    /// The first 1,000 desktops of its gray wave; empty without a gray wave.
    pub gray_desktop_ids: Vec<String>,
    /// Numbers of records by status.
    pub counts: RecordCounts,
}

/// A task with its waves.
#[derive(Debug, Clone)]
pub struct TaskProgress {
    /// Row of the task.
    pub task: TaskRow,
    /// Scripts that the task runs.
    pub scripts: Vec<PinnedScript>,
    /// All waves of the task.
    pub waves: Vec<WaveRow>,
    /// Numbers of records by status.
    pub counts: RecordCounts,
    /// Condition that the task waits for; `None` if it does not wait.
    pub waiting_for: Option<String>,
    /// Distance from the halt; `None` once the task has ended.
    pub margin: Option<Margin>,
}

/// Returns the condition that a task waits for; `None` if it does not wait.
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
    /// Lists one page of tasks, with the total number. `action` is the permission of the list that
    /// the caller requests.
    pub async fn list_tasks(
        &self,
        caller: &Caller,
        action: Action,
        filter: &TaskFilter,
        page: Page,
    ) -> Result<(i64, Vec<TaskEntry>), Error> {
        caller.check(action, [Resource::Task(ALL)])?;
        self.wait_for_end(&filter.period).await;
        self.list(caller.project_id(), async |connection| {
            let (count, tasks) = task::list(connection, caller.project_id(), filter, page).await?;
            Ok((count, entries(connection, tasks).await?))
        })
        .await
    }

    /// Shows one task with its waves and scripts.
    pub async fn show_task(&self, caller: &Caller, task_id: TaskId) -> Result<TaskProgress, Error> {
        check_task(caller, task_id)?;
        let mut connection = self.store.acquire().await?;
        find(&mut connection, caller, task_id, self.environment.now()).await
    }

    /// Returns a task that the caller just created or changed. The right to change it includes the
    /// right to see the result.
    pub async fn task_after(&self, caller: &Caller, task_id: TaskId) -> Result<TaskProgress, Error> {
        let mut connection = self.store.acquire().await?;
        find(&mut connection, caller, task_id, self.environment.now()).await
    }

    /// Lists tasks with their waves, newest first, starting after `filter.before`.
    pub async fn page_tasks(
        &self,
        caller: &Caller,
        filter: &TaskFilter,
        limit: i64,
    ) -> Result<Vec<TaskProgress>, Error> {
        caller.check(Action::ListTasks, [Resource::Task(ALL)])?;
        self.list(caller.project_id(), async |connection| {
            let tasks = task::page(connection, caller.project_id(), filter, limit).await?;
            progress(connection, tasks, self.environment.now()).await
        })
        .await
    }

    /// Lists targets of a task in the order of the plan, starting after an ordinal.
    pub async fn page_targets(
        &self,
        caller: &Caller,
        task_id: TaskId,
        after: Option<u32>,
        limit: i64,
    ) -> Result<Vec<ListedTarget>, Error> {
        check_task(caller, task_id)?;
        self.read_many(caller.project_id(), async |connection| {
            lookup::task(connection, caller, task_id).await?;
            Ok(target::page(connection, task_id, after, limit).await?)
        })
        .await
    }

    /// Lists one page of records, with the total number.
    pub async fn list_records(
        &self,
        caller: &Caller,
        filter: &RecordFilter,
        page: Page,
    ) -> Result<(i64, Vec<RecordRow>), Error> {
        caller.check(Action::ListRecords, [Resource::Task(ALL)])?;
        self.wait_for_end(&filter.period).await;
        self.list_after(
            caller.project_id(),
            async |connection| Ok(record::catch_up(connection, caller.project_id(), filter).await?),
            async |connection| Ok(record::list(connection, caller.project_id(), filter, page).await?),
        )
        .await
    }

    /// Lists records of one task in the order of the plan, starting after `filter.after`. Their
    /// outputs need the right to read each record, and are audited if the project asks for it.
    pub async fn page_records(
        &self,
        caller: &Caller,
        task_id: TaskId,
        filter: RecordFilter,
        limit: i64,
    ) -> Result<Vec<RecordRow>, Error> {
        let is_audited = filter.with_output;
        let found = self.stream_records(caller, task_id, filter, limit).await?;
        if is_audited {
            self.note_outputs(caller, task_id, found.len()).await?;
        }
        Ok(found)
    }

    /// Audits a call that returns the outputs of a task's records, if the project asks for it.
    pub async fn note_outputs(&self, caller: &Caller, task_id: TaskId, records: usize) -> Result<(), Error> {
        let resource = format!("task:{task_id}");
        let mut connection = self.store.acquire().await?;
        self.note_read(&mut connection, caller, Action::GetRecordDetail, &resource, records).await
    }

    /// Does the same as [`Self::page_records`] without an audit entry: a stream has one entry, and
    /// not one for each of its pages.
    pub async fn stream_records(
        &self,
        caller: &Caller,
        task_id: TaskId,
        filter: RecordFilter,
        limit: i64,
    ) -> Result<Vec<RecordRow>, Error> {
        if filter.with_output {
            caller.check(Action::GetRecordDetail, [Resource::Task(&task_id.to_string())])?;
        }
        caller.check(Action::ListRecords, [Resource::Task(&task_id.to_string())])?;
        let filter = RecordFilter { task_id: Some(task_id), ..filter };
        self.read_many(caller.project_id(), async |connection| {
            lookup::task(connection, caller, task_id).await?;
            Ok(record::page(connection, caller.project_id(), &filter, limit).await?)
        })
        .await
    }

    /// Shows one record with its output.
    pub async fn show_record(&self, caller: &Caller, record_id: RecordId) -> Result<RecordRow, Error> {
        caller.check(Action::GetRecordDetail, [Resource::Task(&record_id.task_id.to_string())])?;
        let mut connection = self.store.acquire().await?;
        let found = lookup::record(&mut connection, caller, record_id).await?;
        let resource = format!("record:{record_id}");
        self.note_read(&mut connection, caller, Action::GetRecordDetail, &resource, 1).await?;
        Ok(found)
    }
}

impl Control {
    /// Waits, for less than a second, until a period whose last second is running is over. Then the
    /// pages of a list neither repeat nor omit an entry while tasks are added.
    async fn wait_for_end(&self, period: &Period) {
        if let Some(rest) = period.rest(self.environment.now()) {
            tokio::time::sleep(rest).await;
        }
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

pub(crate) fn check_task(caller: &Caller, task_id: TaskId) -> Result<(), Error> {
    caller.check(Action::GetTask, [Resource::Task(&task_id.to_string())])
}

/// Adds waves and scripts to tasks, with a fixed number of statements.
pub(crate) async fn progress(
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
                margin: margin::of_task(task.status, waves.iter().map(|row| row.state)),
                waves,
                task,
            }
        })
        .collect())
}

/// Fills a page of tasks with a fixed number of statements, independent of the number of tasks.
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
