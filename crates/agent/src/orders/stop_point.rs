//! Position from which an order stops.

use std::future::pending;

use tokio::sync::watch;

/// Position of the first script that must not run or continue: the smallest requested one.
#[derive(Debug)]
pub(crate) struct StopPoint(watch::Sender<Option<u32>>);

impl StopPoint {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Stops the order from this script on.
    pub(crate) fn ask(&self, script: u32) {
        self.0.send_if_modified(|from| {
            let is_smaller = from.is_none_or(|from| script < from);
            if is_smaller {
                *from = Some(script);
            }
            is_smaller
        });
    }

    /// Requested stop position; `None` without a stop.
    pub(crate) fn from(&self) -> Option<u32> {
        *self.0.borrow()
    }

    /// Whether the script must stop.
    pub(crate) fn reaches(&self, script: u32) -> bool {
        self.from().is_some_and(|from| from <= script)
    }

    /// Returns when the script must stop.
    pub(crate) async fn reached(&self, script: u32) {
        let mut from = self.0.subscribe();
        if from.wait_for(|from| from.is_some_and(|from| from <= script)).await.is_err() {
            // The sender lives as long as this borrow.
            pending().await
        }
    }
}
