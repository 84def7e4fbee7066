//! Workers as they are read.

use domain::{
    Error,
    access::{Action, Resource},
};
use store::worker::{self, WorkerRow};

use crate::{Caller, Control};

impl Control {
    /// All workers: they serve every project.
    pub async fn list_workers(&self, caller: &Caller) -> Result<Vec<WorkerRow>, Error> {
        caller.check(Action::ListWorkers, [Resource::Everything])?;
        Ok(worker::list(&mut *self.store.acquire().await?).await?)
    }
}
