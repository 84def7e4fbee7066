//! Limits the reports that are stored at the same time, in all and for each task.
//!
//! The reports of a task wait for the locks of its waves. Without limits, they would take every
//! connection, and the reports of one task every place of the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::ids::TaskId;
use store::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum wait for a permit. The wait holds no connection, and ends before the deadline of a
/// worker's call.
const MAX_WAIT: Duration = Duration::from_secs(7);

/// Permits to store a task's part of a report. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ReportPermits {
    all: Arc<Semaphore>,
    by_task: Arc<Mutex<HashMap<TaskId, Arc<Semaphore>>>>,
    most_by_task: usize,
}

/// Permit to store a task's part of a report.
#[derive(Debug)]
pub(crate) struct ReportPermit {
    _of_task: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl ReportPermits {
    /// Creates permits for `most` reports at the same time; one task gets at most half of them.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1);
        let most_by_task = (most / 2).max(1);
        Self { all: Arc::new(Semaphore::new(most)), by_task: Arc::default(), most_by_task }
    }

    /// Returns whether a permit of the task is free. Others may take it meanwhile.
    pub(crate) fn is_free(&self, task_id: TaskId) -> bool {
        self.of_task(task_id).available_permits() > 0
    }

    /// Waits for a permit.
    ///
    /// # Errors
    ///
    /// When too many reports are under way for longer than [`MAX_WAIT`].
    pub(crate) async fn acquire(&self, task_id: TaskId) -> Result<ReportPermit, Error> {
        let acquired = async {
            // In this order: a report that waits for its task takes no place of another task.
            let of_task = self.of_task(task_id).acquire_owned().await.ok()?;
            let of_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(ReportPermit { _of_task: of_task, _of_all: of_all })
        };
        let permit = tokio::time::timeout(MAX_WAIT, acquired).await.ok().flatten();
        permit.ok_or_else(Error::overloaded)
    }

    fn of_task(&self, task_id: TaskId) -> Arc<Semaphore> {
        let mut by_task = self.by_task.lock().unwrap_or_else(PoisonError::into_inner);
        // Permits and their waiters keep a reference, so only unused semaphores leave.
        by_task.retain(|id, semaphore| *id == task_id || Arc::strong_count(semaphore) > 1);
        let new = || Arc::new(Semaphore::new(self.most_by_task));
        Arc::clone(by_task.entry(task_id).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn task(number: u32) -> TaskId {
        format!("01890000-0000-7000-8000-{number:012}").parse().unwrap()
    }

    #[tokio::test]
    async fn one_task_takes_at_most_half_of_the_permits() {
        let permits = ReportPermits::new(4);
        let first = permits.acquire(task(1)).await.unwrap();
        let _second = permits.acquire(task(1)).await.unwrap();
        assert!(!permits.is_free(task(1)));
        assert!(permits.acquire(task(1)).now_or_never().is_none(), "the task has its half");
        let _of_others = (permits.acquire(task(2)).await.unwrap(), permits.acquire(task(3)).await.unwrap());
        assert!(permits.acquire(task(4)).now_or_never().is_none(), "all four are taken");
        drop(first);
        assert!(permits.acquire(task(4)).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn wait_for_a_permit_ends() {
        let permits = ReportPermits::new(1);
        let held = permits.acquire(task(1)).await.unwrap();
        assert!(permits.acquire(task(2)).await.is_err());
        drop(held);
        permits.acquire(task(2)).await.unwrap();
        assert_eq!(permits.by_task.lock().unwrap().len(), 1, "unused semaphores leave");
    }
}
