//! State that all RPCs share.

use std::time::Duration;

use domain::ids::{DesktopId, ProjectId, WorkerId};
use mtls::Signer;
use proto::{
    order::SignedDenyList,
    scheduler::{DesktopKey, RevokedConnection},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::error::failed;
use crate::{Scheduler, Wakes, deny_list::Snapshot};

/// Interval at which waiting pulls and stop streams read the database, in case a notification is
/// lost.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Scheduler, wake-ups and order signer of the RPC service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) scheduler: Scheduler,
    pub(super) wakes: Wakes,
    pub(super) signer: Option<Signer>,
    pub(super) stop: CancellationToken,
}

impl Service {
    /// Awaits a database call, and fails if the database does not answer. Without that limit, a
    /// call to an unreachable database would wait as long as a pull may.
    pub(super) async fn done<T>(
        &self,
        work: impl Future<Output = Result<T, store::Error>>,
    ) -> Result<T, Status> {
        self.scheduler.store().unless_silent(work).await.map_err(failed)
    }

    /// The deny-list for a worker that has the version `has`; `None` if that is not older.
    pub(super) fn deny_list(&self, denied: &Snapshot, has: u64) -> Option<SignedDenyList> {
        denied.for_worker(has, self.signer.as_ref())
    }

    /// Connections that a worker must close.
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
