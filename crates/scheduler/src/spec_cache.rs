//! Cache of task specifications. They never change, and every batch of a task carries one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use domain::ids::TaskId;
use store::{Connection, Error, task, task::RunnableScript};

/// Maximum number of cached tasks; each may use a few megabytes.
const CACHE_CAPACITY: usize = 32;

/// Specification that every batch of a task carries.
#[derive(Debug)]
pub struct Spec {
    /// Immutable facts of the task.
    pub facts: task::TaskFacts,
    /// Scripts of the task, in order.
    pub scripts: Vec<RunnableScript>,
    /// Tasks that the task retries, the latest first.
    pub retried: Vec<TaskId>,
}

/// Cached specifications, newest last.
type Recent = VecDeque<(TaskId, Arc<Spec>)>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Specs {
    recent: Arc<Mutex<Recent>>,
}

impl Specs {
    /// Returns the task's specification, from the cache or the database. `None` if the task does
    /// not exist.
    pub(crate) async fn get(
        &self,
        connection: &mut Connection,
        task_id: TaskId,
    ) -> Result<Option<Arc<Spec>>, Error> {
        if let Some(spec) = self.remembered(task_id) {
            return Ok(Some(spec));
        }
        let Some(facts) = task::facts(connection, task_id).await? else { return Ok(None) };
        let scripts = task::runnable(connection, task_id).await?;
        let is_retry = facts.attempt > 1;
        let retried = if is_retry { task::retried(connection, task_id).await? } else { Vec::new() };
        let spec = Arc::new(Spec { facts, scripts, retried });
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= CACHE_CAPACITY {
            recent.pop_front();
        }
        recent.push_back((task_id, Arc::clone(&spec)));
        Ok(Some(spec))
    }

    fn remembered(&self, task_id: TaskId) -> Option<Arc<Spec>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().find(|(id, _)| *id == task_id).map(|(_, spec)| Arc::clone(spec))
    }
}
