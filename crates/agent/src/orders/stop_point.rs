//! From where on an order is to stop.

use std::future::pending;

use tokio::sync::watch;

/// The place of the first script that shall not run, or not run on; the smallest that was asked for.
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

    /// Where it was asked to stop.
    pub(crate) fn from(&self) -> Option<u32> {
        *self.0.borrow()
    }

    /// Whether the script is to stop.
    pub(crate) fn reaches(&self, script: u32) -> bool {
        self.from().is_some_and(|from| from <= script)
    }

    /// Returns when the script is to stop.
    pub(crate) async fn reached(&self, script: u32) {
        let mut from = self.0.subscribe();
        if from.wait_for(|from| from.is_some_and(|from| from <= script)).await.is_err() {
            // The sender lives as long as this borrow.
            pending().await
        }
    }
}
