//! Quarantine: isolates targets whose workers die, in steps.
//!
//! A dying worker loses all its batches, and none of them can be identified as the cause. A batch
//! therefore comes under suspicion only after several workers died while they held its targets.
//! Targets under suspicion are dispatched in smaller batches, and each worker gets one such batch
//! at a time. Harmless parts finish and leave suspicion, until a single target remains. A single
//! target is quarantined after two more workers died while they held it. It is dispatched no more,
//! and waits until its deadline for a result that its agent may still report.

use crate::limits::MAX_TARGETS_PER_BATCH;

/// Number of worker deaths after which targets come under suspicion.
pub const SUSPECT_AFTER: u16 = 2;
/// Size of the first batches under suspicion; about the square root of a full batch.
const SUSPECT_BATCH_TARGETS: usize = 25;
/// Number of worker deaths after which targets under suspicion are dispatched one by one.
const ALONE_AFTER: u16 = 3;
/// Number of worker deaths after which a target is quarantined.
pub const QUARANTINE_AFTER: u16 = 5;

/// Returns whether this number of worker deaths puts targets under suspicion.
pub const fn is_suspect(worker_deaths: u16) -> bool {
    worker_deaths >= SUSPECT_AFTER
}

/// Returns whether this number of worker deaths quarantines targets.
pub const fn is_quarantined(worker_deaths: u16) -> bool {
    worker_deaths >= QUARANTINE_AFTER
}

/// Returns the maximum number of targets in a batch after this number of worker deaths.
pub const fn batch_size(worker_deaths: u16) -> usize {
    if worker_deaths >= ALONE_AFTER {
        1
    } else if is_suspect(worker_deaths) {
        SUSPECT_BATCH_TARGETS
    } else {
        MAX_TARGETS_PER_BATCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_shrink_a_batch_to_one_target_and_then_to_none() {
        let sizes: Vec<usize> = (0..6).map(batch_size).collect();
        assert_eq!(sizes, [500, 500, 25, 1, 1, 1]);
        let suspected: Vec<bool> = (0..6).map(is_suspect).collect();
        assert_eq!(suspected, [false, false, true, true, true, true]);
        let isolated: Vec<bool> = (0..6).map(is_quarantined).collect();
        assert_eq!(isolated, [false, false, false, false, false, true]);
    }
}
