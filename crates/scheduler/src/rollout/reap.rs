//! Time-driven work: workers without heartbeats lose their desktops, expired leases are released,
//! deadlines pass, and deferred targets become due.
//!
//! A tick takes no input, reads the database and does a bounded amount of work. Work that another
//! scheduler has already done is not repeated.

use chrono::TimeDelta;
use engine::{DueTimes, Duty, DutyKind, Rows as _};
use store::{Error, TaskRows, worker};

use super::{ENGINE, isolate::of_one_task};
use crate::Scheduler;

/// Maximum number of rows of each kind in one tick.
const ROWS_PER_TICK: u32 = 1_000;

impl Scheduler {
    /// Performs one tick of all time-driven work.
    ///
    /// Workers, leases and results without a sign of life by `observed_until` are given up. A
    /// failure of one worker or task is logged and delays no other.
    pub async fn reap(&self, times: DueTimes) -> Result<(), Error> {
        self.reap_workers(times).await?;
        for kind in DutyKind::ALL {
            let mut connection = self.store.acquire().await?;
            let duties = TaskRows::new(&mut connection).due(kind, times, ROWS_PER_TICK).await;
            drop(connection);
            let duties = match duties {
                Ok(duties) => duties,
                Err(error) if error.is_of_all_work() => return Err(error),
                Err(error) => {
                    tracing::error!(
                        ?kind,
                        error = &error as &dyn std::error::Error,
                        "finding due work failed"
                    );
                    continue;
                }
            };
            for duty in duties {
                of_one_task(self.perform(&duty, times).await, duty.task_id, "reap")?;
            }
        }
        Ok(())
    }

    async fn perform(&self, duty: &Duty, times: DueTimes) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        match ENGINE.perform(&mut TaskRows::new(&mut tx), duty, times).await? {
            Some(decision) => self.store.commit_decision(tx, &decision).await,
            None => Ok(()),
        }
    }

    async fn reap_workers(&self, times: DueTimes) -> Result<(), Error> {
        let timeout = TimeDelta::milliseconds(i64::from(self.config.worker_timeout_ms));
        let silent_since = times.observed_until - timeout;
        let silent = worker::silent_since(&mut *self.store.acquire().await?, silent_since).await?;
        for worker_id in silent {
            match self.forget_worker(&worker_id, Some(silent_since), times.now).await {
                Err(error) if error.is_of_all_work() => return Err(error),
                Err(error) => {
                    tracing::error!(
                        %worker_id, error = &error as &dyn std::error::Error,
                        "giving up a silent worker failed; it is repeated"
                    );
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }
}
