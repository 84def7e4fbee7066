//! The service manager: systemd restarts the agent and shows its state.

use std::env;

use sd_notify::NotifyState;

/// Variable in which systemd passes its socket to a service of `Type=notify`.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Whether a service manager starts this process again after its end: a unit of `Type=notify` does,
/// with `Restart=always`.
pub fn is_supervised() -> bool {
    env::var_os(NOTIFY_SOCKET).is_some()
}

/// Reports that the agent has its data directory and serves local requests. It may still dial: a
/// start without a network must not count as failed.
pub(crate) fn notify_ready() {
    notify(&[NotifyState::Ready, NotifyState::Status("connecting")]);
}

/// Reports a state for `systemctl status`.
pub(crate) fn notify_status(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

/// Reports the begin of an orderly stop.
pub(crate) fn notify_stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping; scripts go on under their runners")]);
}

/// Sends to the socket of the service manager. Does nothing without one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "reporting the state to the service manager failed");
    }
}
