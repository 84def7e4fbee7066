//! Watching a task: events since the last poll, and its progress.

use domain::{Error, event::EventKind, ids::TaskId, limits::EVENTS_PER_LOOK, task::TaskStatus};
use store::{event::EventRow, wave::WaveRow};

use crate::{Caller, Control, TaskProgress};

/// Progress of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Status of the task.
    pub status: TaskStatus,
    /// Condition that the task waits for; `None` if it does not wait.
    pub waiting_for: Option<String>,
    /// All waves of the task.
    pub waves: Vec<WaveRow>,
}

impl From<TaskProgress> for Progress {
    fn from(progress: TaskProgress) -> Self {
        let TaskProgress { task, waves, waiting_for, .. } = progress;
        Self { status: task.status, waiting_for, waves }
    }
}

/// An update to send to a watching client.
#[derive(Debug, Clone)]
pub enum TaskUpdate {
    /// An event of the task.
    Event(EventRow),
    /// New progress numbers.
    Progress(Progress),
}

/// A client's position in the updates of a task.
#[derive(Debug)]
pub struct Watch {
    control: Control,
    caller: Caller,
    task_id: TaskId,
    after: i64,
    /// The progress that was sent last; `None` before the first poll.
    last_progress: Option<Progress>,
}

/// Result of one poll.
#[derive(Debug, Default)]
pub struct Poll {
    /// Updates in the order in which to send them.
    pub updates: Vec<TaskUpdate>,
    /// Whether the task has ended and no further update will follow.
    pub is_over: bool,
}

impl Control {
    /// Watches a task from the event after `after` on; 0 starts at the first event. Returns `None`
    /// if `after` is the last event of an ended task.
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
        Ok(Some(Watch { control, caller, task_id, after, last_progress: None }))
    }
}

impl Watch {
    /// Returns the id of the last event that was sent.
    pub const fn after(&self) -> i64 {
        self.after
    }

    /// Reads the updates since the last poll: each event once, in order, and the progress if it
    /// changed.
    pub async fn look(&mut self) -> Result<Poll, Error> {
        // Events are read first, so that the progress is at least as new.
        let found = self.control.list_events(&self.caller, self.task_id, self.after, EVENTS_PER_LOOK).await?;
        let progress = self.control.show_task(&self.caller, self.task_id).await?;
        let is_over = found.iter().any(|event| event.kind == EventKind::Ended)
            || (found.is_empty() && progress.task.status.is_ended());
        self.after = found.last().map_or(self.after, |event| event.event_id);
        let mut updates: Vec<TaskUpdate> = found.into_iter().map(TaskUpdate::Event).collect();
        let progress = Progress::from(progress);
        if self.last_progress.as_ref() != Some(&progress) {
            self.last_progress = Some(progress.clone());
            // The progress goes before the end: a client may stop reading after the end event.
            let is_end = |update: &TaskUpdate| matches!(update, TaskUpdate::Event(event) if event.kind == EventKind::Ended);
            let index = updates.iter().position(is_end).unwrap_or(updates.len());
            updates.insert(index, TaskUpdate::Progress(progress));
        }
        Ok(Poll { updates, is_over })
    }
}
