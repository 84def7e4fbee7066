//! Deletes changes of tasks that no watching client needs any more.

use domain::{Timestamp, limits::MAP_CHANGES_KEPT};
use store::{Error, task_change};
use tokio_util::sync::CancellationToken;

use crate::Scheduler;

impl Scheduler {
    /// Deletes the changes of tasks that are older than clients may lag behind.
    pub async fn sweep_task_changes(&self, now: Timestamp, stop: &CancellationToken) -> Result<(), Error> {
        let mut connection = self.store.acquire().await?;
        while task_change::sweep(&mut connection, now - MAP_CHANGES_KEPT).await? && !stop.is_cancelled() {}
        Ok(())
    }
}
