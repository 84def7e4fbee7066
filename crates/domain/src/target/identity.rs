//! Identity of agents: which process may be connected as a desktop.
//!
//! A target that may have started is given only to the agent id that may have started it, because
//! the journal of that agent knows the start. So an id must belong to one journal, from its first
//! start on. A cloned or restored data directory breaks that: it brings an id back together with an
//! older journal. The agent therefore counts its starts beside its id, and the control plane
//! accepts each start once.

use crate::{desktop::DesktopFacts, ids::DesktopId};

/// Maximum number of former agent ids of a desktop that are remembered. The oldest are forgotten.
pub const MAX_FORMER_AGENTS: u16 = 64;

/// Identity that one start of an agent presents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentIdentity {
    /// Id that stands for the journal; empty for an agent without one.
    pub agent_id: String,
    /// Number of starts with this id, from 1; 0 if the agent does not count them.
    pub incarnation: u64,
    /// Random id of the start; empty if the agent has none.
    pub run_id: String,
}

impl AgentIdentity {
    /// Returns whether this start is as old as `last` or older, and another one. Its journal then
    /// lacks what happened since.
    fn is_replayed(&self, last: &Self) -> bool {
        self.incarnation > 0
            && self.agent_id == last.agent_id
            && (self.incarnation < last.incarnation
                || self.incarnation == last.incarnation && self.run_id != last.run_id)
    }
}

/// The last accepted connection of a desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Identity of its agent.
    pub identity: AgentIdentity,
    /// Whether the agent was connected before.
    pub is_connected: bool,
    /// Whether the claiming agent was an agent of this desktop before the holder.
    pub has_replaced_claimant: bool,
    /// Host name in the operating system.
    pub os_host_name: String,
    /// IP address, as the agent sees it.
    pub ip_address: String,
}

/// Refusal of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Human-readable reason.
    pub reason: String,
    /// Whether the agent must make a new identity before it connects again.
    pub identity_is_outdated: bool,
}

/// Returns why a connection is refused that the store did not accept. A connected agent stays:
/// otherwise two machines with one identity would replace each other for ever.
pub fn refusal(claimant: &AgentIdentity, holder: &Holder) -> Refusal {
    let is_other_process = holder.identity != *claimant;
    let is_replayed = claimant.is_replayed(&holder.identity) || holder.has_replaced_claimant;
    if is_replayed && !(holder.is_connected && is_other_process) {
        return Refusal {
            reason: "the identity in the data directory is outdated: the directory was copied or restored"
                .to_owned(),
            identity_is_outdated: true,
        };
    }
    let reason = if is_other_process {
        in_use(&holder.os_host_name, &holder.ip_address)
    } else {
        "this agent has a newer connection".to_owned()
    };
    Refusal { reason, identity_is_outdated: false }
}

/// Returns the message for an agent whose desktop is in use by another machine.
pub fn in_use(os_host_name: &str, ip_address: &str) -> String {
    format!(
        "another machine is connected as this desktop: {os_host_name} ({ip_address}); give each machine a \
         desktop id and a data directory of its own"
    )
}

/// Returns the refusal of an id that differs from that of an existing desktop only in case or
/// Unicode form.
pub fn similar_id(claimed: &DesktopId, existing: &DesktopId) -> Refusal {
    let reason = format!(
        "desktop {claimed} exists as {existing}: ids that differ only in upper and lower case or in their Unicode \
         form name one desktop; use the existing id"
    );
    Refusal { reason, identity_is_outdated: false }
}

impl DesktopFacts {
    /// Returns the identity that the agent presents.
    pub fn identity(&self) -> AgentIdentity {
        let (agent_id, incarnation, run_id) = (self.agent_id.clone(), self.incarnation, self.run_id.clone());
        AgentIdentity { agent_id, incarnation, run_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(agent_id: &str, incarnation: u64, run_id: &str) -> AgentIdentity {
        AgentIdentity { agent_id: agent_id.into(), incarnation, run_id: run_id.into() }
    }

    fn holder(is_connected: bool) -> Holder {
        Holder {
            identity: identity("a", 5, "r"),
            is_connected,
            has_replaced_claimant: false,
            os_host_name: "host-1".into(),
            ip_address: "10.0.0.7".into(),
        }
    }

    #[test]
    fn connected_agent_stays_and_is_named() {
        for claimant in [identity("a", 5, "other"), identity("a", 4, "r"), identity("b", 9, "s")] {
            let refusal = refusal(&claimant, &holder(true));
            assert!(!refusal.identity_is_outdated, "{claimant:?}");
            assert!(refusal.reason.contains("host-1 (10.0.0.7)"), "{}", refusal.reason);
        }
        assert!(refusal(&identity("a", 5, "r"), &holder(true)).reason.contains("newer connection"));
    }

    #[test]
    fn replayed_start_needs_a_new_identity() {
        for (claimant, is_outdated) in [
            (identity("a", 4, "q"), true),
            (identity("a", 5, "other"), true),
            (identity("a", 5, "r"), false),
            (identity("a", 0, ""), false),
        ] {
            assert_eq!(refusal(&claimant, &holder(false)).identity_is_outdated, is_outdated, "{claimant:?}");
        }
        let replaced = Holder { has_replaced_claimant: true, ..holder(false) };
        assert!(refusal(&identity("b", 9, "s"), &replaced).identity_is_outdated);
    }
}
