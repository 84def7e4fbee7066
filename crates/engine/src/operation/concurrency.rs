//! Changes the maximum number of targets in flight while a task runs.

use domain::{Timestamp, event::EventKind, ids::TaskId};

use super::Engine;
use crate::{Decision, Faults, NewEvent, Rows, Wake};

impl<F: Faults> Engine<F> {
    /// Sets the maximum number of targets in flight; `None` removes the limit. Targets that are
    /// already in flight are not affected. Returns `None` when the task has ended.
    pub async fn set_max_concurrency<R: Rows>(
        &self,
        rows: &mut R,
        task_id: TaskId,
        max_concurrency: Option<u32>,
        actor: &str,
        now: Timestamp,
    ) -> Result<Option<Decision>, R::Error> {
        let Some(mut rollout) = self.load(rows, task_id, &[], now).await? else { return Ok(None) };
        if rollout.facts.status.is_ended() {
            return Ok(None);
        }
        rollout.changes().task.max_concurrency = Some(max_concurrency);
        let detail = max_concurrency
            .map_or_else(|| "no limit".to_owned(), |most| format!("at most {most} targets in flight"));
        rollout.event(NewEvent::of_task(EventKind::ConcurrencyChanged, actor, detail));
        rollout.wake(Wake::Admit);
        rollout.wake(Wake::Presence);
        Ok(Some(rollout.decide()))
    }
}
