//! Leased batches, as a pull returns them.

use std::{collections::HashMap, sync::Arc};

use domain::Timestamp;
use store::batch::BatchRow;

use crate::spec_cache::Spec;

/// Leased batch with everything that its targets run.
#[derive(Debug, Clone)]
pub struct Leased {
    /// Leased batch row.
    pub batch: BatchRow,
    /// Specification that its targets run.
    pub spec: Arc<Spec>,
    /// Position of the first script to run, by ordinal; targets that start at the first script are
    /// missing.
    pub first_scripts: HashMap<u32, u16>,
    /// Maximum number of scripts that run on one desktop at the same time, by the project's limit.
    pub max_running: Option<u16>,
    /// Stopped targets: position from which no script may start, by ordinal.
    pub stops: HashMap<u32, u16>,
    /// End of the lease, unless it is renewed.
    pub lease_until: Timestamp,
    /// Trace context for the worker; `None` unless sampled.
    pub trace_context: Option<String>,
}

/// Result of a pull.
#[derive(Debug, Clone, Default)]
pub struct Pulled {
    /// Leased batches.
    pub leased: Vec<Leased>,
    /// Whether batches are ready although none was leased: the worker has only places left that are
    /// reserved for other tasks.
    pub waits_for_room: bool,
}
