//! State of the connection in `systemctl status`.

use tonic::transport::Endpoint;

use crate::platform::notify_status;

/// Shown as attached until this is dropped.
#[derive(Debug)]
pub(super) struct ShownStatus;

impl ShownStatus {
    pub(super) fn attached(endpoint: &Endpoint) -> Self {
        notify_status(&format!("attached to the worker {}", endpoint.uri()));
        Self
    }
}

impl Drop for ShownStatus {
    fn drop(&mut self) {
        notify_status("connecting");
    }
}
