//! Position from which an order stops.

use std::future::pending;

use tokio::sync::watch;

use crate::execution::StopCause;

/// Position of the first script that must not run or continue: the smallest requested one.
#[derive(Debug)]
pub(crate) struct StopPoint(watch::Sender<Request>);

#[derive(Debug, Clone, Copy, Default)]
struct Request {
    from: Option<u32>,
    /// Cause of the smallest requested position.
    cause: StopCause,
}

impl StopPoint {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::default())
    }

    /// Stops the order from this script on, as requested.
    pub(crate) fn ask(&self, script: u32) {
        self.lower(script, StopCause::Request);
    }

    /// Stops the order, because a retry of it is to start.
    pub(crate) fn ask_for_retry(&self) {
        self.lower(0, StopCause::Retry);
    }

    fn lower(&self, script: u32, cause: StopCause) {
        self.0.send_if_modified(|request| {
            let is_smaller = request.from.is_none_or(|from| script < from);
            if is_smaller {
                *request = Request { from: Some(script), cause };
            }
            is_smaller
        });
    }

    /// Stop position and its cause; `None` without a stop.
    pub(crate) fn position(&self) -> Option<(u32, StopCause)> {
        let Request { from, cause } = *self.0.borrow();
        from.map(|from| (from, cause))
    }

    /// Cause of the stop. Meaningless without one.
    pub(crate) fn cause(&self) -> StopCause {
        self.0.borrow().cause
    }

    /// Whether the script must stop.
    pub(crate) fn reaches(&self, script: u32) -> bool {
        self.position().is_some_and(|(from, _)| from <= script)
    }

    /// Returns when the script must stop.
    pub(crate) async fn reached(&self, script: u32) {
        let mut requests = self.0.subscribe();
        if requests.wait_for(|request| request.from.is_some_and(|from| from <= script)).await.is_err() {
            // The sender lives as long as this borrow.
            pending().await
        }
    }

    /// Returns when the order is no longer active: this position is dropped.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut requests = self.0.subscribe();
        async move { while requests.changed().await.is_ok() {} }
    }
}
