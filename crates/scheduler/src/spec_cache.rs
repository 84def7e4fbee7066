//! What a task runs, remembered: it never changes, and every batch of the task carries it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use domain::ids::TaskId;
use store::{Connection, Error, task, task::RunnableScript};

/// Tasks that are remembered at once; each may weigh up to a few megabytes.
const CACHE_CAPACITY: usize = 32;

/// What every batch of a task carries.
#[derive(Debug)]
pub struct Spec {
    /// The task's unchanging facts.
    pub facts: task::TaskFacts,
    /// Its scripts in order.
    pub scripts: Vec<RunnableScript>,
}

/// Newest last.
type Recent = VecDeque<(TaskId, Arc<Spec>)>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Specs {
    recent: Arc<Mutex<Recent>>,
}

impl Specs {
    /// The task's spec, read once. `None` when there is no such task.
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
        let spec = Arc::new(Spec { facts, scripts });
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
