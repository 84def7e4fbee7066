//! Targets whose workers die: handed out in ever smaller batches, one batch at a time, and in the end no more.
//!
//! A worker that dies takes all its batches with it, and nobody can tell which of them was to blame, if any. So a batch is
//! suspected only when several workers died that held its targets. What is suspected goes out in small parts, so that
//! parts without fault end well and are out of it, and what is left of suspicion is one target in the end. One that two
//! workers more died of, although it was alone, is isolated: it is asked for no more, and waits for what its agent may
//! still report, until its deadline.

use crate::limits::MAX_TARGETS_PER_BATCH;

/// Workers that died before their targets are suspected.
pub const SUSPECT_AFTER: u16 = 2;
/// Targets of the first batch under suspicion; about the square root of a whole batch.
const SUSPECT_BATCH_TARGETS: usize = 25;
/// Workers that died before suspected targets go out one by one.
const ALONE_AFTER: u16 = 3;
/// Workers that died before a target is handed out no more.
pub const QUARANTINE_AFTER: u16 = 5;

/// Whether so many dead workers make their targets suspect.
pub const fn is_suspect(worker_deaths: u16) -> bool {
    worker_deaths >= SUSPECT_AFTER
}

/// Whether targets that so many workers died of are handed out no more.
pub const fn is_quarantined(worker_deaths: u16) -> bool {
    worker_deaths >= QUARANTINE_AFTER
}

/// Targets that one batch holds at most when so many workers died of them.
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
    fn a_few_losses_lead_from_a_whole_batch_to_one_target_and_to_none() {
        let sizes: Vec<usize> = (0..6).map(batch_size).collect();
        assert_eq!(sizes, [500, 500, 25, 1, 1, 1]);
        let suspected: Vec<bool> = (0..6).map(is_suspect).collect();
        assert_eq!(suspected, [false, false, true, true, true, true]);
        let isolated: Vec<bool> = (0..6).map(is_quarantined).collect();
        assert_eq!(isolated, [false, false, false, false, false, true]);
    }
}
