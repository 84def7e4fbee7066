//! Reports to the service manager that started a role, such as systemd with `Type=notify`.

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Reports that the role listens, and the begin of its orderly stop later. Does nothing without a
/// service manager.
///
/// The database may still be unreachable: `graywave healthcheck` reports that.
pub(crate) fn ready(stop: &CancellationToken) {
    notify(NotifyState::Ready);
    let stop = stop.clone();
    tokio::spawn(async move {
        stop.cancelled().await;
        notify(NotifyState::Stopping);
    });
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "reporting the state to the service manager failed");
    }
}
