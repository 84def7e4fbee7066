//! Keeps the numbers behind lists, and the newest records, off the path of execution.

use domain::Timestamp;
use rand::random;
use store::{Error, projection};
use telemetry::metric::PROJECTION_REPAIRS;
use tokio_util::sync::CancellationToken;

use crate::Scheduler;

impl Scheduler {
    /// Folds all logged changes and projects the records of all waiting tasks. Several schedulers
    /// may call it at the same time: work that another one holds is skipped.
    pub async fn project_all(&self, stop: &CancellationToken) -> Result<(), Error> {
        let mut connection = self.store.acquire().await?;
        while projection::fold(&mut connection).await? && !stop.is_cancelled() {}
        for project_id in projection::waiting_projects(&mut connection).await? {
            while !stop.is_cancelled() && projection::project_next(&mut connection, &project_id).await? {}
        }
        Ok(())
    }

    /// Compares a random part of the newest records with the targets. A wrong part is repaired by
    /// the next [`Self::project_all`].
    pub async fn check_projection(&self, now: Timestamp) -> Result<(), Error> {
        let mut connection = self.store.acquire().await?;
        if projection::check_part(&mut connection, random(), random(), now).await? {
            PROJECTION_REPAIRS.increment(1, &[]);
            tracing::warn!("repairing newest records of a task that differ from its targets");
        }
        Ok(())
    }

    /// Counts the rows behind the maintained numbers, and repairs wrong numbers.
    pub async fn repair_counts(&self) -> Result<(), Error> {
        let wrong = projection::repair_counts(&mut *self.store.acquire().await?).await?.unwrap_or_default();
        if wrong > 0 {
            PROJECTION_REPAIRS.increment(wrong, &[]);
            tracing::warn!(wrong, "repaired numbers behind lists");
        }
        Ok(())
    }
}
