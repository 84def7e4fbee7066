//! What every RPC works with.

use std::time::Duration;

use domain::ids::{DesktopId, ProjectId, WorkerId};
use mtls::Signer;
use proto::scheduler::{DesktopKey, RevokedConnection};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::error::failed;
use crate::{Scheduler, Wakes};

/// A waiting pull, or a stream of stops, looks again this often, in case a notification or a message was lost.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A scheduler, its wake-ups, and the signer of its orders.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) scheduler: Scheduler,
    pub(super) wakes: Wakes,
    pub(super) signer: Option<Signer>,
    pub(super) stop: CancellationToken,
}

impl Service {
    /// The database's answer. A pull may wait for long, and so would a call to a database that is gone.
    pub(super) async fn done<T>(
        &self,
        work: impl Future<Output = Result<T, store::Error>>,
    ) -> Result<T, Status> {
        self.scheduler.store().unless_silent(work).await.map_err(failed)
    }

    /// The connections that a worker must end.
    pub(super) async fn to_end(&self, worker_id: &WorkerId) -> Result<Vec<RevokedConnection>, Status> {
        let found = self.done(self.scheduler.to_end(worker_id)).await?;
        Ok(found
            .into_iter()
            .map(|revoked| RevokedConnection {
                desktop: Some(desktop_key(&revoked.project_id, &revoked.desktop_id)),
                serial: revoked.serial,
            })
            .collect())
    }
}

pub(super) fn desktop_key(project_id: &ProjectId, desktop_id: &DesktopId) -> DesktopKey {
    DesktopKey { project_id: project_id.to_string(), desktop_id: desktop_id.to_string() }
}
