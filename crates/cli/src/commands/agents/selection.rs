//! Desktops of an upgrade: by operating system, without those that have the version.

use clap::ValueEnum;
use domain::version::{Move, Version, direction};
use proto::admin::Desktop;

use crate::{Error, format::many, sanitize::sanitize_line};

/// Number of desktops that a message names.
const NAMED: usize = 3;

/// An operating system with a built-in script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum System {
    /// apt, dnf, yum or zypper
    #[value(name = "Linux")]
    Linux,
    /// msiexec
    #[value(name = "Windows")]
    Windows,
}

impl System {
    /// Every system, in the order of their rollouts.
    pub(super) const ALL: [Self; 2] = [Self::Linux, Self::Windows];

    /// Name, as agents report it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Windows => "Windows",
        }
    }
}

/// Desktops of one system that an upgrade changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) system: System,
    pub(super) desktop_ids: Vec<String>,
}

/// Result of a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    /// Groups in the order of their rollouts; none is empty.
    pub(super) groups: Vec<Group>,
    /// Number of desktops that have the version and are left out.
    pub(super) current: u32,
    /// Number of desktops that get an older version.
    pub(super) downgrades: u32,
}

/// Splits the selected desktops.
///
/// # Errors
///
/// A desktop would get an older version without `allow_downgrade`, or no script is for its system.
pub(super) fn select(
    desktops: Vec<Desktop>,
    target: &Version,
    only: Option<System>,
    allow_downgrade: bool,
) -> Result<Selection, Error> {
    let (mut groups, mut current) = (System::ALL.map(|system| Group { system, desktop_ids: Vec::new() }), 0);
    let (mut newer, mut foreign) = (Vec::new(), Vec::new());
    for Desktop { desktop_id, os_type, agent_version, .. } in desktops {
        if only.is_some_and(|only| only.name() != os_type) {
            continue;
        }
        let Some(group) = groups.iter_mut().find(|group| group.system.name() == os_type) else {
            foreign.push(format!("{desktop_id} ({os_type})"));
            continue;
        };
        match direction(&agent_version, target) {
            Move::None => {
                current += 1;
                continue;
            }
            Move::Down => newer.push(format!("{desktop_id} ({agent_version})")),
            Move::Up => {}
        }
        group.desktop_ids.push(desktop_id);
    }
    if !foreign.is_empty() {
        return Err(Error::misused(format!("no upgrade script is for the system of {}", names(&foreign)))
            .try_next("--os Linux or --os Windows: only desktops of this system"));
    }
    if !newer.is_empty() && !allow_downgrade {
        return Err(Error::misused(format!(
            "an agent would get an older version than it has, {target}: {}",
            names(&newer)
        ))
        .try_next("--allow-downgrade: installs the older version"));
    }
    let downgrades = u32::try_from(newer.len()).unwrap_or(u32::MAX);
    let groups = groups.into_iter().filter(|group| !group.desktop_ids.is_empty()).collect();
    Ok(Selection { groups, current, downgrades })
}

/// Names the first desktops of a list.
fn names(desktops: &[String]) -> String {
    let named: Vec<String> = desktops.iter().take(NAMED).map(|it| sanitize_line(it)).collect();
    let more = desktops.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", named.join(", "))
}

impl Selection {
    /// Returns lines about the desktops that are left out, and about the order of several rollouts.
    pub(super) fn notes(&self, target: &Version) -> Vec<String> {
        let mut notes = Vec::new();
        match self.current {
            0 => {}
            1 => notes.push(format!("1 desktop has {target} already and is left out")),
            current => notes.push(format!("{current} desktops have {target} already and are left out")),
        }
        if self.downgrades > 0 {
            notes.push(format!("{} with a newer version: downgrade", many(self.downgrades, "desktop")));
        }
        if let [first, rest @ ..] = self.groups.as_slice()
            && !rest.is_empty()
        {
            let then: Vec<&str> = rest.iter().map(|group| group.system.name()).collect();
            notes.push(format!(
                "one rollout for each system: {} first, then {} if all of it succeeded",
                first.system.name(),
                then.join(", ")
            ));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desktop(desktop_id: &str, os_type: &str, agent_version: &str) -> Desktop {
        Desktop {
            desktop_id: desktop_id.into(),
            os_type: os_type.into(),
            agent_version: agent_version.into(),
            ..Desktop::default()
        }
    }

    fn fleet() -> Vec<Desktop> {
        vec![
            desktop("w-1", "Windows", "1.3.0"),
            desktop("l-1", "Linux", "1.3.9"),
            desktop("l-2", "Linux", "1.4.0"),
            desktop("l-3", "Linux", "unreadable"),
        ]
    }

    fn to(target: &str) -> Version {
        Version::parse("to", target).unwrap()
    }

    #[test]
    fn each_system_is_a_group_without_current_desktops() {
        let found = select(fleet(), &to("1.4.0"), None, false).unwrap();
        let groups: Vec<_> = found.groups.iter().map(|it| (it.system, it.desktop_ids.join(" "))).collect();
        assert_eq!(groups, [(System::Linux, "l-1 l-3".to_owned()), (System::Windows, "w-1".to_owned())]);
        let expected = [
            "1 desktop has 1.4.0 already and is left out",
            "one rollout for each system: Linux first, then Windows if all of it succeeded",
        ];
        assert_eq!(found.notes(&to("1.4.0")), expected);
        let windows = select(fleet(), &to("1.4.0"), Some(System::Windows), false).unwrap();
        assert_eq!((windows.groups.len(), windows.current), (1, 0));
        assert!(windows.notes(&to("1.4.0")).is_empty());
    }

    #[test]
    fn downgrade_names_the_desktops_and_needs_its_flag() {
        let refused = select(fleet(), &to("1.3.5"), None, false).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("1.3.5: l-1 (1.3.9), l-2 (1.4.0)\n") && text.contains("--allow-downgrade"),
            "{text}"
        );
        let allowed = select(fleet(), &to("1.3.5"), None, true).unwrap();
        assert_eq!(allowed.downgrades, 2);
        assert!(allowed.notes(&to("1.3.5"))[0].starts_with("2 desktops with a newer version"));
    }

    #[test]
    fn system_without_a_script_is_refused_unless_left_out() {
        let mut desktops = fleet();
        desktops.extend((0..5).map(|number| desktop(&format!("m-{number}"), "macOS", "1.3.0")));
        let refused = select(desktops.clone(), &to("1.4.0"), None, false).unwrap_err().to_string();
        assert!(refused.contains("m-0 (macOS), m-1 (macOS), m-2 (macOS) and 2 more"), "{refused}");
        assert_eq!(select(desktops, &to("1.4.0"), Some(System::Linux), false).unwrap().groups.len(), 1);
    }
}
