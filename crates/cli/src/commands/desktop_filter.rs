//! Filters of desktops.

use clap::Args;
use clap_complete::ArgValueCompleter;
use domain::version::Version;
use proto::admin::{ListDesktopsRequest, Presence, RetiredFilter};

use crate::{args::pair, completion};

/// Filters of desktops. A desktop must match all of them.
#[derive(Debug, Clone, PartialEq, Args)]
pub(super) struct FilterArgs {
    /// Only desktops whose id starts with this text
    #[arg(long, value_name = "TEXT", default_value_t, hide_default_value = true)]
    prefix: String,
    /// Only desktops with this tag; repeat to require several tags
    #[arg(long, short, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = pair,
          add = ArgValueCompleter::new(completion::tags))]
    tag: Vec<(String, String)>,
    /// Only desktops of these pools; repeat or separate by commas
    #[arg(long, short, value_name = "ID", value_delimiter = ',',
          add = ArgValueCompleter::new(completion::pools))]
    pool: Vec<String>,
    /// Only desktops with this operating system: Linux, Windows or macOS
    #[arg(long, value_name = "NAME", value_parser = system)]
    os: Option<String>,
    /// Only desktops in this availability zone
    #[arg(long, value_name = "ZONE", default_value_t, hide_default_value = true)]
    zone: String,
    /// Only desktops whose agent has one of these versions
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    agent_version: Vec<String>,
    /// Only desktops whose agent is older than the control plane
    #[arg(long, conflicts_with = "older_than")]
    outdated: bool,
    /// Only desktops whose agent is older than this version: 1.4.0
    #[arg(long, value_name = "VERSION", value_parser = version)]
    older_than: Option<Version>,
    /// Only connected desktops
    #[arg(long, conflicts_with = "offline")]
    online: bool,
    /// Only disconnected desktops
    #[arg(long)]
    offline: bool,
    /// Include retired desktops
    #[arg(long, conflicts_with = "only_retired")]
    with_retired: bool,
    /// Only retired desktops
    #[arg(long)]
    only_retired: bool,
}

/// Parses an operating system in any letter case, and returns the spelling of the agents.
fn system(text: &str) -> Result<String, String> {
    const SYSTEMS: [&str; 3] = ["Linux", "Windows", "macOS"];
    let known = SYSTEMS.iter().find(|system| system.eq_ignore_ascii_case(text));
    known
        .map(|&it| it.to_owned())
        .ok_or_else(|| format!("invalid operating system {text:?}: expected one of {}", SYSTEMS.join(", ")))
}

/// Parses a version.
fn version(text: &str) -> Result<Version, String> {
    Version::parse("older_than", text).map_err(|error| error.message)
}

impl FilterArgs {
    /// Returns the request for the first page of the matching desktops.
    pub(super) fn request(self) -> ListDesktopsRequest {
        let presence = match (self.online, self.offline) {
            (true, _) => Presence::Active,
            (_, true) => Presence::Shutoff,
            _ => Presence::Unspecified,
        };
        let retired = match (self.with_retired, self.only_retired) {
            (true, _) => RetiredFilter::Included,
            (_, true) => RetiredFilter::Only,
            _ => RetiredFilter::Unspecified,
        };
        ListDesktopsRequest {
            desktop_id_prefix: self.prefix,
            retired: retired.into(),
            tags: self.tag.into_iter().collect(),
            desktop_pool_ids: self.pool,
            os_type: self.os.unwrap_or_default(),
            availability_zone: self.zone,
            agent_versions: self.agent_version,
            agent_older_than: self.older_than.map_or_else(String::new, |version| version.to_string()),
            outdated: self.outdated,
            presence: presence.into(),
            ..ListDesktopsRequest::default()
        }
    }

    /// Reports whether no filter is given.
    pub(super) fn is_empty(&self) -> bool {
        self.clone().request() == ListDesktopsRequest::default()
    }
}
