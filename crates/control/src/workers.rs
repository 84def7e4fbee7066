//! Workers as they are read.

use domain::Error;
use store::worker::{self, WorkerRow};

use crate::Control;

impl Control {
    /// All workers.
    pub async fn list_workers(&self) -> Result<Vec<WorkerRow>, Error> {
        Ok(worker::list(&mut *self.store.acquire().await?).await?)
    }
}
