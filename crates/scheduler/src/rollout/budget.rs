//! The bytes of an answer to a pull, counted while its batches are chosen.
//!
//! An answer that no message holds would be lost after its leases are committed, again and again, until all its targets
//! are UNKNOWN.

use std::collections::HashSet;

use domain::{ids::ScriptId, limits};
use store::task::RunnableScript;

use crate::spec_cache::Spec;

/// Bytes of a batch beside its scripts and targets: ids, numbers, trace context, and the terms that are signed.
const BATCH_BYTES: usize = 2_048;
/// Bytes of a target beside its ids: numbers, and the terms that are signed.
const TARGET_BYTES: usize = 64;
/// Bytes of a script beside its content, and of its part of the terms that are signed.
const SCRIPT_BYTES: usize = 256;

/// What an answer holds so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    bytes: usize,
    /// Script and content, as the answer tells scripts apart.
    scripts: HashSet<(Option<ScriptId>, [u8; 32])>,
}

impl Budget {
    /// Counts a batch in, unless the answer would exceed [`limits::SOFT_PULL_BYTES`] by it; the first batch always fits.
    ///
    /// `ids_bytes` are those of the desktop and agent ids of the batch's `targets`.
    pub(super) fn admits(&mut self, spec: &Spec, targets: usize, ids_bytes: usize) -> bool {
        let key = |script: &RunnableScript| (script.script_id, script.sha256);
        let new: Vec<&RunnableScript> =
            spec.scripts.iter().filter(|script| !self.scripts.contains(&key(script))).collect();
        let scripts_bytes: usize = new.iter().map(|script| script.content.len()).sum();
        // Ids, and the exit codes of a task, are written once more as they are signed.
        let spec_bytes =
            2 * 11 * spec.facts.policy.success_exit_codes.len() + SCRIPT_BYTES * spec.scripts.len();
        let batch_bytes = BATCH_BYTES + spec_bytes + scripts_bytes + 2 * ids_bytes + TARGET_BYTES * targets;
        if self.bytes > 0 && self.bytes + batch_bytes > limits::SOFT_PULL_BYTES {
            return false;
        }
        self.bytes += batch_bytes;
        self.scripts.extend(new.into_iter().map(key));
        true
    }
}
