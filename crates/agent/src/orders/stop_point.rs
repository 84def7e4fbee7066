//! Position from which an order stops.

use std::future::pending;

use tokio::sync::watch;

/// Position of the first script that must not run or continue: the smallest requested one.
#[derive(Debug)]
pub(crate) struct StopPoint(watch::Sender<Request>);

#[derive(Debug, Clone, Copy, Default)]
struct Request {
    from: Option<u32>,
    is_for_retry: bool,
}

impl StopPoint {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::default())
    }

    /// Stops the order from this script on.
    pub(crate) fn ask(&self, script: u32) {
        self.0.send_if_modified(|request| {
            let is_smaller = request.from.is_none_or(|from| script < from);
            if is_smaller {
                request.from = Some(script);
            }
            is_smaller
        });
    }

    /// Stops the order, because a retry of it is to start.
    pub(crate) fn ask_for_retry(&self) {
        self.0.send_if_modified(|request| {
            let is_first = request.from.is_none();
            request.is_for_retry |= is_first;
            is_first
        });
        self.ask(0);
    }

    /// Whether the order stops for its retry, and nobody requested a stop before.
    pub(crate) fn is_for_retry(&self) -> bool {
        self.0.borrow().is_for_retry
    }

    /// Requested stop position; `None` without a stop.
    pub(crate) fn from(&self) -> Option<u32> {
        self.0.borrow().from
    }

    /// Whether the script must stop.
    pub(crate) fn reaches(&self, script: u32) -> bool {
        self.from().is_some_and(|from| from <= script)
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
