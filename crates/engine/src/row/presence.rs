//! The connection of a desktop.

use chrono::TimeDelta;
use domain::{Timestamp, ids::WorkerId};

/// Time in which a desktop moves from one worker to another.
pub(super) const RECONNECTS: TimeDelta = TimeDelta::seconds(30);

/// The connection of a desktop, as its worker last reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Worker that holds the connection; `None` while the desktop is offline.
    pub worker_id: Option<WorkerId>,
    /// Whether that worker accepts no more work.
    pub is_draining: bool,
    /// Time zone of the desktop, an IANA name; empty when the agent reports none.
    pub time_zone: String,
    /// Agent that connected last.
    pub agent_id: String,
    /// Boot id of the desktop; empty if the agent reports none, or where it was not requested.
    pub boot_id: String,
    /// Version of the agent; empty where it was not requested.
    pub agent_version: String,
    /// Time at which the desktop last connected or disconnected.
    pub changed_at: Timestamp,
    /// Time until which the desktop has no room for orders; `None` if it never lacked room.
    pub full_until: Option<Timestamp>,
    /// Why the desktop cannot connect any more; `None` if it can, or where it was not requested.
    pub out_of_service: Option<OutOfService>,
    /// Whether earlier targets wait for the desktop, which lacked room before. False where it was
    /// not requested.
    pub has_backlog: bool,
}

impl Presence {
    /// Returns whether the desktop is connected, or was so until it moved to another worker.
    pub fn was_connected(&self, now: Timestamp) -> bool {
        self.out_of_service.is_none() && (self.worker_id.is_some() || now < self.changed_at + RECONNECTS)
    }

    /// Returns whether the agent takes orders at `now`.
    pub fn has_room(&self, now: Timestamp) -> bool {
        self.full_until.is_none_or(|until| until <= now)
    }

    /// Returns the worker that accepts work for the desktop; `None` while it is offline or its
    /// worker drains.
    pub fn holder(&self) -> Option<&WorkerId> {
        self.worker_id.as_ref().filter(|_| !self.is_draining)
    }
}

/// A reason why a desktop cannot connect any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutOfService {
    /// A person retired the desktop.
    Retired,
    /// Its certificates are revoked, and it has not enrolled again.
    Revoked,
}

impl OutOfService {
    /// Returns the reason of a target that therefore ends.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Retired => "the desktop was retired before the target was delivered",
            Self::Revoked => "the certificates of the desktop were revoked before the target was delivered",
        }
    }
}
