//! The connection of a desktop, as joined by several statements.

use domain::Timestamp;
use engine::row::{OutOfService, Presence};

use crate::{Error, codec::text_id};

/// Columns of a desktop and its worker. All are `None` without a desktop.
pub(crate) struct RawPresence {
    pub(crate) worker_id: Option<String>,
    pub(crate) draining: Option<bool>,
    pub(crate) time_zone: Option<String>,
    pub(crate) agent_id: Option<String>,
    pub(crate) boot_id: Option<String>,
    pub(crate) agent_version: Option<String>,
    pub(crate) changed_at: Option<Timestamp>,
    pub(crate) full_until: Option<Timestamp>,
    pub(crate) is_retired: Option<bool>,
    pub(crate) is_revoked: Option<bool>,
    pub(crate) has_backlog: Option<bool>,
}

impl RawPresence {
    /// Converts the columns to a presence; `None` if the desktop is unknown.
    pub(crate) fn presence(self) -> Result<Option<Presence>, Error> {
        let Some(changed_at) = self.changed_at else { return Ok(None) };
        Ok(Some(Presence {
            worker_id: self.worker_id.map(|id| text_id("worker", id)).transpose()?,
            is_draining: self.draining.unwrap_or(false),
            time_zone: self.time_zone.unwrap_or_default(),
            agent_id: self.agent_id.unwrap_or_default(),
            boot_id: self.boot_id.unwrap_or_default(),
            agent_version: self.agent_version.unwrap_or_default(),
            changed_at,
            full_until: self.full_until,
            out_of_service: match (self.is_retired, self.is_revoked) {
                (Some(true), _) => Some(OutOfService::Retired),
                (_, Some(true)) => Some(OutOfService::Revoked),
                _ => None,
            },
            has_backlog: self.has_backlog.unwrap_or(false),
        }))
    }
}
