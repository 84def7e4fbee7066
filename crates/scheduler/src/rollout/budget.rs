//! Size budget of a pull response, counted while its batches are chosen.
//!
//! A response over the message limit would be lost after its leases are committed. That would
//! repeat until all its targets are UNKNOWN.

use std::collections::HashSet;

use domain::{
    ids::ScriptId,
    limits,
    script::parameter::{self, ParameterValues},
};
use store::task::RunnableScript;

use crate::spec_cache::Spec;

/// Bytes of a batch without scripts and targets: ids, numbers, trace context and signed terms.
const BATCH_BYTES: usize = 2_048;
/// Bytes of a target without its ids: numbers and signed terms.
const TARGET_BYTES: usize = 64;
/// Bytes of a script without its content: metadata and signed terms.
const SCRIPT_BYTES: usize = 256;

/// Bytes of a parameter without its name and value: tags and lengths.
const PARAMETER_BYTES: usize = 16;

fn parameters_bytes(values: &ParameterValues) -> usize {
    parameter::size_bytes(values) + PARAMETER_BYTES * values.len()
}

/// Size of a response so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    bytes: usize,
    /// Script id and content hash: the key that deduplicates scripts in a response.
    scripts: HashSet<(Option<ScriptId>, [u8; 32])>,
}

impl Budget {
    /// Adds a batch and returns true, unless the response would exceed [`limits::SOFT_PULL_BYTES`].
    /// The first batch always fits.
    ///
    /// `ids_bytes` is the total length of the desktop and agent ids of the batch's `targets`.
    pub(super) fn admits(&mut self, spec: &Spec, targets: usize, ids_bytes: usize) -> bool {
        let key = |script: &RunnableScript| (script.script_id, script.sha256);
        let new: Vec<&RunnableScript> =
            spec.scripts.iter().filter(|script| !self.scripts.contains(&key(script))).collect();
        let scripts_bytes: usize = new.iter().map(|script| script.content.len()).sum();
        // Ids and the exit codes of a task also appear in the signed terms.
        let spec_bytes =
            2 * 11 * spec.facts.policy.success_exit_codes.len() + SCRIPT_BYTES * spec.scripts.len();
        // Values of parameters are sent with each batch, and again in its signed terms.
        let values_bytes: usize =
            spec.scripts.iter().map(|script| parameters_bytes(&script.parameters)).sum();
        let batch_bytes = BATCH_BYTES
            + 2 * values_bytes
            + spec_bytes
            + scripts_bytes
            + 2 * ids_bytes
            + TARGET_BYTES * targets;
        if self.bytes > 0 && self.bytes + batch_bytes > limits::SOFT_PULL_BYTES {
            return false;
        }
        self.bytes += batch_bytes;
        self.scripts.extend(new.into_iter().map(key));
        true
    }
}
