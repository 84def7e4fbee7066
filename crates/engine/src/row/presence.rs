//! Where a desktop is connected.

use domain::{Timestamp, ids::WorkerId};

/// The connection of a desktop, as its worker reported it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Worker that holds the connection; `None` while the desktop is offline.
    pub worker_id: Option<WorkerId>,
    /// Whether that worker takes no more work.
    pub is_draining: bool,
    /// Time zone of the desktop, an IANA name; empty when the agent reports none.
    pub time_zone: String,
    /// Agent that connected last.
    pub agent_id: String,
    /// Time at which the desktop came online or went offline.
    pub changed_at: Timestamp,
}

impl Presence {
    /// The worker that takes work for the desktop.
    pub fn holder(&self) -> Option<&WorkerId> {
        self.worker_id.as_ref().filter(|_| !self.is_draining)
    }
}
