//! Desktops: their reported attributes, and the attributes over which a canary sample is
//! stratified.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Error, FieldPath, Timestamp,
    containment::Containment,
    ids::{DesktopId, ProjectId},
    limits::{MAX_DESKTOP_TEXT_CHARS, MAX_TAGS_PER_DESKTOP},
};

/// Message to the agent of a retired desktop.
pub const RETIRED: &str =
    "this desktop is retired: its agent can connect again after an operator unretires it";

/// Attributes of a desktop, as its agent reports them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesktopFacts {
    /// Project of the desktop.
    pub project_id: ProjectId,
    /// Id of the desktop, unique within the project.
    pub desktop_id: DesktopId,
    /// Name of the desktop for people.
    pub computer_name: String,
    /// Host name in the operating system.
    pub os_host_name: String,
    /// Operating system: Linux, Windows or macOS.
    pub os_type: String,
    /// Name, version and kernel of the operating system; empty if unknown.
    pub os_version: String,
    /// Means of tracking the processes of scripts; `None` if unknown.
    pub containment: Option<Containment>,
    /// IP address, as the agent sees it.
    pub ip_address: String,
    /// Pool of the desktop; empty for none.
    pub pool_id: String,
    /// Availability zone of the desktop; empty if unknown.
    pub availability_zone: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Tags that the agent reports.
    pub tags: BTreeMap<String, String>,
    /// Time zone, an IANA name like Europe/Berlin; empty if unknown.
    pub time_zone: String,
    /// Id that the agent generated at its first start; empty for an agent without one.
    pub agent_id: String,
    /// Number of starts of the agent with this id, from 1; 0 if the agent does not count them.
    pub incarnation: u64,
    /// Random id of this start of the agent; empty if it has none.
    pub run_id: String,
    /// Id of the present boot of the operating system; empty if unknown.
    pub boot_id: String,
    /// Time at which the connection was made.
    pub connected_at: Timestamp,
    /// Certificate of the connection; `None` without TLS.
    pub certificate: Option<Certificate>,
    /// Verified attach that the agent signed; `None` without TLS.
    pub attach: Option<Attach>,
}

/// A verified attach: the agent signed that it is attached to the worker that reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// Number of the statement in this start of the agent, from 1.
    pub number: u64,
    /// SHA-256 of the statement.
    pub sha256: [u8; 32],
    /// X25519 public key with which the scheduler answers.
    pub public_key: [u8; 32],
    /// Stored form of the new session key; `None` if the statement was answered before.
    pub session_key: Option<Vec<u8>>,
}

/// A presented certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Serial number, in hex.
    pub serial: String,
    /// Start of validity, which is slightly before the time of issue.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

impl DesktopFacts {
    /// Checks all texts and tags against their limits, because agents are untrusted and the values
    /// are stored.
    pub fn check(&self) -> Result<(), Error> {
        let texts = [
            ("computer_name", &self.computer_name),
            ("os_host_name", &self.os_host_name),
            ("os_type", &self.os_type),
            ("os_version", &self.os_version),
            ("ip_address", &self.ip_address),
            ("pool_id", &self.pool_id),
            ("availability_zone", &self.availability_zone),
            ("agent_version", &self.agent_version),
            ("time_zone", &self.time_zone),
            ("agent_id", &self.agent_id),
            ("run_id", &self.run_id),
            ("boot_id", &self.boot_id),
        ];
        let serial = self.certificate.iter().map(|shown| ("certificate.serial", &shown.serial));
        let tags = self.tags.iter().flat_map(|(key, value)| [("tags", key), ("tags", value)]);
        for (name, text) in texts.into_iter().chain(serial).chain(tags) {
            if text.chars().count() > MAX_DESKTOP_TEXT_CHARS {
                let message = format!("a text has at most {MAX_DESKTOP_TEXT_CHARS} characters");
                return Err(Error::out_of_range(name, message));
            }
        }
        if self.tags.len() > MAX_TAGS_PER_DESKTOP {
            let message = format!("a desktop has at most {MAX_TAGS_PER_DESKTOP} tags");
            return Err(Error::out_of_range("tags", message));
        }
        Ok(())
    }
}

/// The attributes that a canary sample should cover.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stratum {
    /// Operating system.
    pub os_type: String,
    /// Pool id; empty for none.
    pub pool_id: String,
    /// Availability zone; empty if unknown.
    pub availability_zone: String,
}

/// Parses a tag selection like `k=v` or `k=v,k2=v2`. Errors name `field`.
pub fn parse_tags(field: impl Into<FieldPath> + Copy, text: &str) -> Result<BTreeMap<String, String>, Error> {
    text.split(',')
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() && !text.contains('\0') => {
                Ok((key.to_owned(), value.to_owned()))
            }
            _ => Err(Error::invalid(field, "must be k=v or k=v,k2=v2")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desktop() -> DesktopFacts {
        let text = || "ä".repeat(MAX_DESKTOP_TEXT_CHARS);
        DesktopFacts {
            project_id: "p".parse().unwrap(),
            desktop_id: "d".parse().unwrap(),
            computer_name: text(),
            os_host_name: text(),
            os_type: text(),
            os_version: text(),
            containment: Some(Containment::Mark),
            ip_address: text(),
            pool_id: text(),
            availability_zone: text(),
            agent_version: text(),
            tags: (0..MAX_TAGS_PER_DESKTOP).map(|number| (number.to_string(), text())).collect(),
            time_zone: text(),
            agent_id: text(),
            incarnation: 1,
            run_id: text(),
            boot_id: text(),
            connected_at: Timestamp::UNIX_EPOCH,
            certificate: None,
            attach: None,
        }
    }

    #[test]
    fn what_an_agent_says_is_bounded() {
        assert!(desktop().check().is_ok());
        type Change = fn(&mut DesktopFacts);
        let changes: [(&str, Change); 5] = [
            ("computer_name", |desktop| desktop.computer_name.push('x')),
            ("agent_id", |desktop| desktop.agent_id.push('x')),
            ("tags: a text has at most", |desktop| desktop.tags.values_mut().next().unwrap().push('x')),
            ("tags: a text has at most", |desktop| drop(desktop.tags.insert("x".repeat(257), String::new()))),
            ("at most 50 tags", |desktop| drop(desktop.tags.insert("one more".into(), String::new()))),
        ];
        for (named, change) in changes {
            let mut wrong = desktop();
            change(&mut wrong);
            let message = wrong.check().unwrap_err().to_string();
            assert!(message.contains(named), "{message}");
        }
    }
}
