//! Stops of the targets that a worker holds.

use domain::{ids::WorkerId, limits};
use store::{
    Error,
    target_stop::{self, Stop},
};

use crate::Scheduler;

impl Scheduler {
    /// Pending stops of the targets that the worker holds and that have not ended.
    pub async fn stops(&self, worker_id: &WorkerId) -> Result<Vec<Stop>, Error> {
        let limit = i64::from(limits::MAX_STOPS_PER_MESSAGE);
        target_stop::of_worker(&mut *self.store.acquire().await?, worker_id, limit).await
    }
}
