//! The return of a desktop: the condition that a target with stored results still has to meet, and
//! the end of the wait for it.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A condition on the agent that is attached after the scripts. All parts must hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnCondition {
    /// Boot id before the reboot: the desktop must be connected with another one. An empty id is
    /// never met. `None` without a reboot.
    pub another_boot_than: Option<String>,
    /// Version of the agent that must be connected; `None` for any.
    pub agent_version: Option<String>,
}

impl ReturnCondition {
    /// Returns whether nothing is required.
    pub const fn is_empty(&self) -> bool {
        self.another_boot_than.is_none() && self.agent_version.is_none()
    }

    /// Returns whether a connected desktop meets the condition. Only another boot id proves a
    /// reboot: a lost connection, hibernation and a restarted agent keep the id. `boot_id` is
    /// `None` or empty if the agent does not know its boot.
    pub fn is_met(&self, boot_id: Option<&str>, agent_version: &str) -> bool {
        let has_rebooted = self.another_boot_than.as_deref().is_none_or(|before| {
            !before.is_empty() && boot_id.is_some_and(|now| !now.is_empty() && now != before)
        });
        has_rebooted && self.agent_version.as_deref().is_none_or(|wanted| wanted == agent_version)
    }

    /// Returns the missing part as a phrase: `with another boot id`.
    pub fn phrase(&self) -> String {
        match (&self.another_boot_than, &self.agent_version) {
            (Some(_), Some(version)) => format!("with another boot id and agent version {version}"),
            (None, Some(version)) => format!("with agent version {version}"),
            (Some(before), None) if before.is_empty() => {
                "with another boot id: its agent announced no reboot, so update the agent".to_owned()
            }
            (Some(_), None) | (None, None) => "with another boot id".to_owned(),
        }
    }
}

/// A connected agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachedAgent<'a> {
    /// Boot id of its desktop; empty if unknown.
    pub boot_id: &'a str,
    /// Version of the agent.
    pub version: &'a str,
}

/// State of a wait for a desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// The desktop is back.
    Met,
    /// The desktop still has time.
    Awaited,
    /// The deadline has passed.
    Missed,
}

/// Decides on a wait. A desktop that is back counts, also after the deadline. Absence counts only
/// up to `observed_until`: later connections could not be stored.
pub fn decide(
    condition: &ReturnCondition,
    attached: Option<AttachedAgent<'_>>,
    return_by: Timestamp,
    observed_until: Timestamp,
) -> Return {
    if attached.is_some_and(|agent| condition.is_met(Some(agent.boot_id), agent.version)) {
        Return::Met
    } else if return_by <= observed_until {
        Return::Missed
    } else {
        Return::Awaited
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn boot(before: &str) -> ReturnCondition {
        ReturnCondition { another_boot_than: Some(before.into()), agent_version: None }
    }

    #[test]
    fn only_another_known_boot_is_a_reboot() {
        assert!(boot("a").is_met(Some("b"), ""));
        for same in [Some("a"), Some(""), None] {
            assert!(!boot("a").is_met(same, ""), "{same:?}");
        }
        // The agent did not know its boot: nothing proves the reboot.
        assert!(!boot("").is_met(Some("b"), ""));
    }

    #[test]
    fn version_must_be_equal_and_both_parts_hold() {
        let version = ReturnCondition { agent_version: Some("1.2.0".into()), ..ReturnCondition::default() };
        assert!(version.is_met(None, "1.2.0"));
        assert!(!version.is_met(None, "1.2"));
        let both = ReturnCondition { agent_version: Some("1.2.0".into()), ..boot("a") };
        assert!(both.is_met(Some("b"), "1.2.0"));
        assert!(!both.is_met(Some("a"), "1.2.0") && !both.is_met(Some("b"), "1.1.0"));
    }

    #[test]
    fn wait_ends_with_the_return_or_at_its_deadline() {
        let return_by = Timestamp::UNIX_EPOCH + TimeDelta::seconds(900);
        let just_before = return_by - TimeDelta::milliseconds(1);
        let agent = |boot_id| Some(AttachedAgent { boot_id, version: "1" });
        let decide = |attached, now| decide(&boot("a"), attached, return_by, now);
        assert_eq!(decide(None, just_before), Return::Awaited);
        assert_eq!(decide(agent("a"), just_before), Return::Awaited);
        assert_eq!(decide(agent("b"), just_before), Return::Met);
        assert_eq!(decide(agent("a"), return_by), Return::Missed);
        assert_eq!(decide(None, return_by), Return::Missed);
        assert_eq!(decide(agent("b"), return_by), Return::Met, "a desktop that is back is no failure");
    }

    proptest! {
        #[test]
        fn every_wait_ends_at_its_deadline(
            before in proptest::option::of("[ab]{0,1}"),
            version in proptest::option::of("[12]"),
            agent in proptest::option::of(("[ab]{0,1}", "[12]")),
            late_ms in 0i64..1_000_000,
        ) {
            let condition = ReturnCondition { another_boot_than: before, agent_version: version };
            let attached = agent.as_ref().map(|(boot_id, version)| AttachedAgent { boot_id, version });
            let now = Timestamp::UNIX_EPOCH + TimeDelta::milliseconds(late_ms);
            prop_assert_ne!(decide(&condition, attached, Timestamp::UNIX_EPOCH, now), Return::Awaited);
        }

        #[test]
        fn desktop_in_the_same_boot_is_never_back(boot_id in "[a-c]{0,2}", version in "[12]") {
            prop_assert!(!boot(&boot_id).is_met(Some(&boot_id), &version));
        }
    }
}
