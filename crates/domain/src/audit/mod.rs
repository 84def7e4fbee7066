//! The audit: details of an entry, seals over entries, and the verification of seals.

mod chain;
mod details;
pub mod justification;
mod seal;

pub use chain::{Broken, Chain, Fault, Head, Origin, SealedBy, Unsigned};
pub use details::{
    DesktopSelection, ExecutionDetails, NO_DETAILS, ScriptDetails, changed, justified, read, signed_in,
};
pub use seal::{Checkpoint, ENTRIES_PER_SEAL, EntryFields, Seal, SealedEntry, is_cluster};
