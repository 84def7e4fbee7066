//! Tasks and records as they are read.

use std::collections::HashMap;

use domain::{
    Error,
    ids::{ProjectId, TaskId},
    page::Page,
    record::RecordId,
    tally::Tally,
    task::RecordCounts,
};
use store::{
    Connection, record,
    record::{RecordFilter, RecordRow},
    target, task,
    task::{PinnedScript, TaskFilter, TaskRow},
    wave,
    wave::WaveRow,
};

use crate::Control;

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
    /// All of its waves.
    pub waves: Vec<WaveRow>,
}

impl Control {
    /// One page of tasks.
    pub async fn list_tasks(
        &self,
        project_id: &ProjectId,
        filter: &TaskFilter,
        page: Page,
    ) -> Result<(i64, Vec<TaskEntry>), Error> {
        let mut connection = self.store.acquire().await?;
        let (count, tasks) = task::list(&mut connection, project_id, filter, page).await?;
        Ok((count, entries(&mut connection, tasks).await?))
    }

    /// One task with its waves.
    pub async fn task_progress(
        &self,
        project_id: &ProjectId,
        task_id: TaskId,
    ) -> Result<TaskProgress, Error> {
        let mut connection = self.store.acquire().await?;
        let task = task::fetch(&mut connection, project_id, task_id)
            .await?
            .ok_or_else(|| Error::not_found(format!("task {task_id} does not exist")))?;
        let waves = wave::list(&mut connection, &[task_id]).await?;
        Ok(TaskProgress { task, waves: waves.into_iter().map(|(_, wave)| wave).collect() })
    }

    /// One page of records.
    pub async fn list_records(
        &self,
        project_id: &ProjectId,
        filter: &RecordFilter,
        page: Page,
    ) -> Result<(i64, Vec<RecordRow>), Error> {
        Ok(record::list(&mut *self.store.acquire().await?, project_id, filter, page).await?)
    }

    /// One record with its output.
    pub async fn show_record(&self, project_id: &ProjectId, record_id: RecordId) -> Result<RecordRow, Error> {
        record::fetch(&mut *self.store.acquire().await?, project_id, record_id)
            .await?
            .ok_or_else(|| Error::not_found(format!("record {record_id} does not exist")))
    }
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
