//! Desktops: what is known of them, and the traits that the canary sample is stratified over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    ids::{DesktopId, ProjectId},
};

/// A desktop as its agent describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesktopFacts {
    /// The tenant it belongs to.
    pub project_id: ProjectId,
    /// Unique within the project.
    pub desktop_id: DesktopId,
    /// The name people know it by.
    pub computer_name: String,
    /// What the operating system calls it.
    pub os_host_name: String,
    /// Linux, Windows or macOS.
    pub os_type: String,
    /// As the agent sees it.
    pub ip_address: String,
    /// Pool it belongs to; empty for none.
    pub pool_id: String,
    /// Zone it stands in; empty when not known.
    pub availability_zone: String,
    /// Version of its agent.
    pub agent_version: String,
    /// Free tags.
    pub tags: BTreeMap<String, String>,
    /// Like Europe/Berlin; empty when not known.
    pub time_zone: String,
    /// Which agent it is, by the id that it made for itself when it first started; empty for one that has none.
    pub agent_id: String,
    /// When its connection was made.
    pub connected_at: Timestamp,
}

/// The traits that a canary sample should cover.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stratum {
    /// Operating system.
    pub os_type: String,
    /// Pool.
    pub pool_id: String,
    /// Availability zone.
    pub availability_zone: String,
}
