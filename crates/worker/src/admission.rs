//! Admission of the worker: it takes no agents until a scheduler works with its schema.

use std::time::Duration;

use domain::schema::{self, Reported, SCHEMA_VERSION, WaitsFor};
use tokio::{sync::watch, time::timeout};

/// Highest schema version that a scheduler has reported. It only grows, so an admitted worker stays
/// admitted.
#[derive(Debug)]
pub(crate) struct Admission {
    needed: u32,
    reported: watch::Sender<Reported>,
}

impl Default for Admission {
    fn default() -> Self {
        Self { needed: SCHEMA_VERSION, reported: watch::Sender::new(Reported::Nothing) }
    }
}

impl Admission {
    /// Records the version of a scheduler's answer, if it has one. Returns whether it admits the
    /// worker for the first time.
    pub(crate) fn report(&self, version: Option<u32>) -> bool {
        let (was_admitted, reported) = (self.check().is_ok(), Reported::of_answer(version));
        self.reported.send_if_modified(|highest| {
            let is_higher = reported > *highest;
            if is_higher {
                *highest = reported;
            }
            is_higher
        });
        !was_admitted && self.check().is_ok()
    }

    /// Checks whether the worker is admitted; the error names what it waits for.
    pub(crate) fn check(&self) -> Result<(), WaitsFor> {
        schema::admit_worker(*self.reported.borrow(), self.needed)
    }

    /// Waits until the worker is admitted.
    pub(crate) async fn granted(&self) {
        let mut reported = self.reported.subscribe();
        let is_admitted = |reported: &Reported| schema::admit_worker(*reported, self.needed).is_ok();
        // The sender lives as long as this borrow.
        drop(reported.wait_for(is_admitted).await);
    }

    /// Waits until the worker is admitted, at most for `patience`.
    pub(crate) async fn granted_within(&self, patience: Duration) -> Result<(), WaitsFor> {
        drop(timeout(patience, self.granted()).await);
        self.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn admission_follows_the_highest_reported_schema() {
        let admission = Admission { needed: 3, ..Admission::default() };
        assert_eq!(admission.check(), Err(WaitsFor::Scheduler));
        assert!(!admission.report(None));
        assert_eq!(admission.check(), Err(WaitsFor::NewerScheduler { needed: 3 }));
        assert!(!admission.report(Some(0)) && !admission.report(None));
        assert_eq!(admission.check(), Err(WaitsFor::Migration { needed: 3 }));
        assert!(!admission.report(Some(2)));
        let waits = WaitsFor::Schema { reported: 2, needed: 3 };
        assert_eq!(admission.granted_within(Duration::ZERO).await, Err(waits));
        assert!(admission.report(Some(3)), "the first fitting answer admits");
        admission.granted().await;
        // A scheduler of the previous version still runs.
        assert!(!admission.report(Some(2)) && !admission.report(Some(3)));
        assert_eq!(admission.check(), Ok(()));
    }
}
