//! Desktops: what is known of them, and the traits that the canary sample is stratified over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Error, FieldPath, Timestamp,
    ids::{DesktopId, ProjectId},
    limits::{MAX_DESKTOP_TEXT_CHARS, MAX_TAGS_PER_DESKTOP},
};

/// What an agent is told whose desktop is out of service.
pub const RETIRED: &str =
    "this desktop is retired: its agent is let in again when an operator has unretired it";

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
    /// The certificate that it was made with; `None` without TLS.
    pub certificate: Option<Certificate>,
}

/// A certificate as it was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its serial number in hex.
    pub serial: String,
    /// When it begins to be good, which is somewhat before it is made.
    pub not_before: Timestamp,
    /// Until when it is good.
    pub not_after: Timestamp,
}

impl DesktopFacts {
    /// Whether all of it is within its limits: what strangers say is kept in memory and stored.
    pub fn check(&self) -> Result<(), Error> {
        let texts = [
            ("computer_name", &self.computer_name),
            ("os_host_name", &self.os_host_name),
            ("os_type", &self.os_type),
            ("ip_address", &self.ip_address),
            ("pool_id", &self.pool_id),
            ("availability_zone", &self.availability_zone),
            ("agent_version", &self.agent_version),
            ("time_zone", &self.time_zone),
            ("agent_id", &self.agent_id),
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

/// The tags that a text like `k=v` or `k=v,k2=v2` asks for; the path of the field is for the error.
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
            ip_address: text(),
            pool_id: text(),
            availability_zone: text(),
            agent_version: text(),
            tags: (0..MAX_TAGS_PER_DESKTOP).map(|number| (number.to_string(), text())).collect(),
            time_zone: text(),
            agent_id: text(),
            connected_at: Timestamp::UNIX_EPOCH,
            certificate: None,
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
