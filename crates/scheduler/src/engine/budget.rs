//! The bytes of an answer to a pull, counted while its batches are chosen.
//!
//! An answer that no message holds would be lost after its leases are committed, again and again, until every target of it
//! is UNKNOWN.

use std::collections::HashSet;

use domain::limits;
use store::task::RunnableScript;

use super::Spec;

/// Bytes of a batch beside its scripts and targets: ids, numbers, trace context, and the terms that are signed.
const BATCH_BYTES: usize = 2_048;
/// Bytes of a target beside its desktop's id: numbers, its agent's id of 32 digits, and the terms that are signed.
const TARGET_BYTES: usize = 128;
/// Bytes of a script beside its content, and of its part of the terms that are signed.
const SCRIPT_BYTES: usize = 256;

/// What an answer holds so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    bytes: usize,
    scripts: HashSet<[u8; 32]>,
}

impl Budget {
    /// Counts a batch in, unless the answer would exceed [`limits::SOFT_PULL_BYTES`] by it; the first batch always fits.
    ///
    /// `ids_bytes` are those of the desktop ids of the batch's `targets`.
    pub(super) fn admits(&mut self, spec: &Spec, targets: usize, ids_bytes: usize) -> bool {
        let new: Vec<&RunnableScript> =
            spec.scripts.iter().filter(|script| !self.scripts.contains(&script.sha256)).collect();
        let scripts_bytes: usize = new.iter().map(|script| script.content.len()).sum();
        // Ids, and the exit codes of a task, are written once more as they are signed.
        let spec_bytes =
            2 * 11 * spec.facts.policy.success_exit_codes.len() + SCRIPT_BYTES * spec.scripts.len();
        let batch_bytes = BATCH_BYTES + spec_bytes + scripts_bytes + 2 * ids_bytes + TARGET_BYTES * targets;
        if self.bytes > 0 && self.bytes + batch_bytes > limits::SOFT_PULL_BYTES {
            return false;
        }
        self.bytes += batch_bytes;
        self.scripts.extend(new.into_iter().map(|script| script.sha256));
        true
    }
}
