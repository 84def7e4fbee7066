//! Keeps the numbers behind lists, and the newest records, off the path of execution.

use chrono::TimeDelta;
use domain::{Timestamp, ids::ProjectId};
use rand::random;
use store::{Connection, Error, projection};
use telemetry::metric::PROJECTION_REPAIRS;
use tokio_util::sync::CancellationToken;

use crate::{Scheduler, rollout::of_one_task};

/// Name of the loop that projects, in metrics and logs.
const NAME: &str = "projection";
/// Pause before a task whose projection failed is projected again.
const RETRY_AFTER: TimeDelta = TimeDelta::minutes(5);

impl Scheduler {
    /// Folds all logged changes and projects the records of all waiting tasks. Several schedulers
    /// may call it at the same time: work that another one holds is skipped.
    ///
    /// # Errors
    ///
    /// The last failure of one project's work, after the work of the others. A database that is
    /// unavailable ends the round at once.
    pub async fn project_all(&self, now: Timestamp, stop: &CancellationToken) -> Result<(), Error> {
        let mut connection = self.store.acquire().await?;
        let mut failed = None;
        while !stop.is_cancelled() {
            let folded = projection::fold_counts(&mut connection).await;
            if isolate(folded, "all projects", &mut failed)? != Some(true) {
                break;
            }
        }
        for project_id in projection::changed_projects(&mut connection).await? {
            if stop.is_cancelled() {
                break;
            }
            let folded = projection::fold_desktops(&mut connection, &project_id).await;
            isolate(folded, &project_id, &mut failed)?;
        }
        for project_id in projection::waiting_projects(&mut connection, now).await? {
            let projected = project_waiting(&mut connection, &project_id, now, stop).await;
            isolate(projected, project_id.as_str(), &mut failed)?;
        }
        failed.map_or(Ok(()), Err)
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
    ///
    /// # Errors
    ///
    /// Those of [`Self::project_all`].
    pub async fn repair_counts(&self, stop: &CancellationToken) -> Result<(), Error> {
        let mut connection = self.store.acquire().await?;
        let mut failed = None;
        let counts = projection::repair_counts(&mut connection).await;
        let mut wrong = isolate(counts, "all projects", &mut failed)?.flatten().unwrap_or_default();
        for project_id in projection::projects(&mut connection).await? {
            if stop.is_cancelled() {
                break;
            }
            let marks = projection::repair_marks(&mut connection, &project_id).await;
            wrong += u64::from(isolate(marks, &project_id, &mut failed)?.flatten().unwrap_or_default());
            let orphans = projection::delete_orphans(&mut connection, &project_id).await;
            wrong += isolate(orphans, &project_id, &mut failed)?.unwrap_or_default();
        }
        if wrong > 0 {
            PROJECTION_REPAIRS.increment(wrong, &[]);
            tracing::warn!(wrong, "repaired numbers behind lists");
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Projects the waiting tasks of a project. A task that fails is postponed, and ends the round of
/// its project: other projects do not wait for the timeouts of several tasks.
async fn project_waiting(
    connection: &mut Connection,
    project_id: &ProjectId,
    now: Timestamp,
    stop: &CancellationToken,
) -> Result<(), Error> {
    while !stop.is_cancelled() {
        let Some(task_id) = projection::next_task(connection, project_id, now).await? else { break };
        let projected = projection::project_task(connection, project_id, task_id).await;
        // Also if the database ran out of memory or space: the task may be the cause.
        let postponed = match &projected {
            Ok(_) => Ok(()),
            Err(_) => projection::postpone(connection, task_id, now + RETRY_AFTER).await,
        };
        let projected = of_one_task(projected, task_id, NAME)?;
        postponed?;
        // False if another process projects tasks of this project.
        if projected != Some(true) {
            break;
        }
    }
    Ok(())
}

/// Logs a failure of one project's work and keeps it for the end of the round, so that the other
/// projects go on. Returns `None` then.
///
/// # Errors
///
/// When the database is unavailable, which concerns every project.
fn isolate<T>(
    done: Result<T, Error>,
    project_id: &str,
    failed: &mut Option<Error>,
) -> Result<Option<T>, Error> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.is_of_all_work() => Err(error),
        Err(error) => {
            tracing::error!(
                project_id,
                step = NAME,
                error = &error as &dyn std::error::Error,
                "a step of a project failed; it is repeated"
            );
            *failed = Some(error);
            Ok(None)
        }
    }
}
