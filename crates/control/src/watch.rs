//! A task that is watched: what has happened since the last look, and how far it has come.

use domain::{Error, event::EventKind, ids::TaskId, limits::EVENTS_PER_LOOK, task::TaskStatus};
use store::{event::EventRow, wave::WaveRow};

use crate::{Caller, Control, TaskProgress};

/// How far a task has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Where it stands.
    pub status: TaskStatus,
    /// What it waits for, where it is not at work.
    pub waiting_for: Option<String>,
    /// All of its waves.
    pub waves: Vec<WaveRow>,
}

impl From<TaskProgress> for Progress {
    fn from(progress: TaskProgress) -> Self {
        let TaskProgress { task, waves, waiting_for, .. } = progress;
        Self { status: task.status, waiting_for, waves }
    }
}

/// Something to tell whoever watches.
#[derive(Debug, Clone)]
pub enum TaskUpdate {
    /// Something happened.
    Event(EventRow),
    /// The numbers changed.
    Progress(Progress),
}

/// A place in what happens to a task.
#[derive(Debug)]
pub struct Watch {
    control: Control,
    caller: Caller,
    task_id: TaskId,
    after: i64,
    /// The progress that was told last.
    told: Option<Progress>,
}

/// What one look found.
#[derive(Debug, Default)]
pub struct Poll {
    /// In the order in which it is told.
    pub told: Vec<TaskUpdate>,
    /// Nothing more will ever come.
    pub is_over: bool,
}

impl Control {
    /// Watches a task from behind one of its events on, 0 for all of them. `None` when that was the last one there will be.
    pub async fn watch_task(
        &self,
        caller: &Caller,
        task_id: TaskId,
        after: i64,
    ) -> Result<Option<Watch>, Error> {
        let has_more = !self.list_events(caller, task_id, after, 1).await?.is_empty();
        if !has_more && after > 0 && self.show_task(caller, task_id).await?.task.status.is_ended() {
            return Ok(None);
        }
        let (control, caller) = (self.clone(), caller.clone());
        Ok(Some(Watch { control, caller, task_id, after, told: None }))
    }
}

impl Watch {
    /// The event behind which the next look goes on.
    pub const fn after(&self) -> i64 {
        self.after
    }

    /// What has happened since the last look: each event once, in order, and the progress when it has changed.
    pub async fn look(&mut self) -> Result<Poll, Error> {
        // Events first: the progress that follows them is at least as new.
        let found = self.control.list_events(&self.caller, self.task_id, self.after, EVENTS_PER_LOOK).await?;
        let progress = self.control.show_task(&self.caller, self.task_id).await?;
        let is_over = found.iter().any(|event| event.kind == EventKind::Ended)
            || (found.is_empty() && progress.task.status.is_ended());
        self.after = found.last().map_or(self.after, |event| event.event_id);
        let mut told: Vec<TaskUpdate> = found.into_iter().map(TaskUpdate::Event).collect();
        let progress = Progress::from(progress);
        if self.told.as_ref() != Some(&progress) {
            self.told = Some(progress.clone());
            // In front of the end: who has heard of that waits for no numbers.
            let is_end = |told: &TaskUpdate| matches!(told, TaskUpdate::Event(event) if event.kind == EventKind::Ended);
            let place = told.iter().position(is_end).unwrap_or(told.len());
            told.insert(place, TaskUpdate::Progress(progress));
        }
        Ok(Poll { told, is_over })
    }
}
