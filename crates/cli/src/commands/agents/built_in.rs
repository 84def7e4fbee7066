//! Built-in scripts that upgrade an agent, and their parameters.

use std::collections::BTreeMap;

use domain::version::Version;
use proto::admin::{Parameter, ParameterType, ScriptType};

use super::selection::System;
use crate::args::LocalScript;

/// Upgrades by apt, dnf, yum or zypper.
const LINUX: &str = include_str!("../../../scripts/agent-upgrade.sh");
/// Upgrades by msiexec.
const WINDOWS: &str = include_str!("../../../scripts/agent-upgrade.ps1");

/// Package of an agent for Windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Msi {
    /// URL or network path.
    pub(super) location: String,
    /// SHA-256 of the file, in hex.
    pub(super) sha256: String,
}

/// Settings of an upgrade that become parameters of its script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) version: Version,
    pub(super) allow_downgrade: bool,
    pub(super) override_hold: bool,
    pub(super) rollback: bool,
    /// `None` if no package for Windows is named.
    pub(super) msi: Option<Msi>,
}

/// Returns the built-in script for a system.
pub(super) fn script(system: System) -> LocalScript {
    let (name, content, kind, parameters) = match system {
        System::Linux => ("graywave-agent-upgrade.sh", LINUX, ScriptType::Shell, of_linux()),
        System::Windows => ("graywave-agent-upgrade.ps1", WINDOWS, ScriptType::Powershell, of_windows()),
    };
    LocalScript { name: name.to_owned(), content: content.to_owned(), kind, parameters }
}

/// Returns the values of the script's parameters that the settings set.
pub(super) fn values(system: System, settings: &Settings) -> BTreeMap<String, String> {
    let Settings { version, allow_downgrade, override_hold, rollback, msi } = settings;
    let mut values = vec![("version", version.to_string()), ("allow_downgrade", allow_downgrade.to_string())];
    match system {
        System::Linux => {
            values.extend([("override_hold", override_hold.to_string()), ("rollback", rollback.to_string())]);
        }
        System::Windows => {
            let msi = msi.iter();
            values.extend(
                msi.flat_map(|msi| [("msi", msi.location.clone()), ("msi_sha256", msi.sha256.clone())]),
            );
        }
    }
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn of_linux() -> Vec<Parameter> {
    vec![
        required("version", "version of the agent, such as 1.4.0"),
        defaulted("package", ParameterType::String, "graywave-agent", "name of the package"),
        defaulted("allow_downgrade", ParameterType::Boolean, "false", "install an older version"),
        defaulted("override_hold", ParameterType::Boolean, "false", "change a package that is on hold"),
        defaulted(
            "rollback",
            ParameterType::Boolean,
            "true",
            "return to the former version if the new one ends",
        ),
        defaulted("lock_seconds", ParameterType::Integer, "900", "wait for the lock of the package manager"),
    ]
}

fn of_windows() -> Vec<Parameter> {
    vec![
        required("version", "version of the agent, such as 1.4.0"),
        required("msi", "https URL or network path of the MSI package"),
        required("msi_sha256", "SHA-256 of the MSI package, in hex"),
        defaulted("allow_downgrade", ParameterType::Boolean, "false", "install an older version"),
        defaulted("lock_seconds", ParameterType::Integer, "900", "wait for another installation"),
    ]
}

fn required(name: &str, description: &str) -> Parameter {
    Parameter {
        name: name.to_owned(),
        parameter_type: ParameterType::String.into(),
        is_required: true,
        description: description.to_owned(),
        ..Parameter::default()
    }
}

fn defaulted(name: &str, kind: ParameterType, value: &str, description: &str) -> Parameter {
    Parameter {
        name: name.to_owned(),
        parameter_type: kind.into(),
        default_value: Some(value.to_owned()),
        description: description.to_owned(),
        ..Parameter::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn settings() -> Settings {
        Settings {
            version: Version::parse("to", "1.4.0").unwrap(),
            allow_downgrade: true,
            override_hold: false,
            rollback: true,
            msi: Some(Msi { location: "https://packages/agent.msi".into(), sha256: "ab".repeat(32) }),
        }
    }

    #[test]
    fn scripts_read_the_parameters_that_they_declare() {
        for system in [System::Linux, System::Windows] {
            let script = script(system);
            let read: BTreeSet<String> = script
                .content
                .split("GRAYWAVE_PARAM_")
                .skip(1)
                .map(|rest| {
                    rest.chars().take_while(|c| c.is_ascii_uppercase() || "_2356".contains(*c)).collect()
                })
                .map(|name: String| name.to_lowercase())
                .collect();
            let declared: BTreeSet<String> = script.parameters.iter().map(|it| it.name.clone()).collect();
            assert_eq!(read, declared, "{}", script.name);
            let values = values(system, &settings());
            assert!(values.keys().all(|name| declared.contains(name)), "{values:?}");
            let missing =
                script.parameters.iter().find(|it| it.is_required && !values.contains_key(&it.name));
            assert_eq!(missing, None);
        }
    }

    #[test]
    fn scripts_fit_the_limits_of_the_control_plane() {
        for system in [System::Linux, System::Windows] {
            let script = script(system);
            domain::script::check_content("content", &script.content).unwrap();
            assert!(script.parameters.iter().all(|it| it.description.chars().count() <= 256));
        }
    }

    #[test]
    fn settings_become_values() {
        let of =
            |system| values(system, &settings()).into_iter().map(|(name, value)| format!("{name}={value}"));
        let linux: Vec<_> = of(System::Linux).collect();
        assert_eq!(linux, ["allow_downgrade=true", "override_hold=false", "rollback=true", "version=1.4.0"]);
        let windows: Vec<_> = of(System::Windows).collect();
        let sha256 = format!("msi_sha256={}", "ab".repeat(32));
        let expected = ["allow_downgrade=true", "msi=https://packages/agent.msi", &*sha256, "version=1.4.0"];
        assert_eq!(windows, expected);
    }
}
