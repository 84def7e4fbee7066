//! `graywave agents upgrade`: a rollout of the built-in script for each operating system.

use std::{path::PathBuf, time::SystemTime};

use clap::Args;
use clap_complete::{ArgValueCompleter, PathCompleter};
use domain::version::{Compatibility, Link, PROGRAM, Version, judge};
use proto::admin::{ScriptType, TaskSpec};

use super::{
    built_in::{self, Msi, Settings},
    selection::{Group, System, select},
};
use crate::{
    Error, ExitStatus,
    args::{DesktopFlags, GuardFlags, LocalScript, Payload, RolloutFlags, name_of, read_script},
    client::Session,
    commands::{
        CommonArgs, preview,
        run::{self, EXIT_CODES, Submission, SubmitFlags},
    },
    field_flags::Overrides,
    output::Console,
    reason_flags::ReasonFlags,
};

const HEADING: &str = "Version";

/// Run time of the script: it waits for the lock of the package manager, downloads and installs.
const EXECUTION_TIMEOUT_MINUTES: i64 = 30;

const EXAMPLES: &str = "\
Examples:
  graywave agents upgrade --to 1.4.0 --all --canary 1% --soak 30m
  graywave agents upgrade --to 1.4.0 --pool p1 --canary 5 --dry-run
  graywave agents upgrade --to 1.4.0 --all --os Windows --canary 5 \\
    --msi https://packages.example/graywave-agent-1.4.0.msi --msi-sha256 HEX
  graywave agents upgrade --to 1.3.2 --all --canary 5 --allow-downgrade

A desktop succeeds when its agent is attached with the version. Running scripts go on.
docs/upgrade.md: the order of an upgrade, and the exit codes of the script.";

/// Arguments of `graywave agents upgrade`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub(super) struct UpgradeArgs {
    /// Version of the agents: 1.4.0. Desktops that have it are left out
    #[arg(long, value_name = "VERSION", value_parser = version, help_heading = HEADING)]
    to: Version,
    /// Install the version on desktops that have a newer one
    #[arg(long, help_heading = HEADING)]
    allow_downgrade: bool,
    /// Change the package also where apt-mark holds it
    #[arg(long, help_heading = HEADING)]
    override_hold: bool,
    /// Leave a version that does not start installed [default: the former one is installed again]
    #[arg(long, help_heading = HEADING)]
    no_rollback: bool,
    /// Only desktops of this operating system [default: a rollout for each]
    #[arg(long, value_enum, value_name = "NAME", ignore_case = true, help_heading = HEADING)]
    os: Option<System>,
    /// MSI package for Windows: https URL or network path
    #[arg(long, value_name = "URL", requires = "msi_sha256", help_heading = HEADING)]
    msi: Option<String>,
    /// SHA-256 of the MSI package, in hex
    #[arg(long, value_name = "HEX", requires = "msi", value_parser = sha256, help_heading = HEADING)]
    msi_sha256: Option<String>,
    /// Own script instead of the built-in one, for agents without a package
    #[arg(long, value_name = "FILE", help_heading = HEADING, conflicts_with_all = ["msi", "override_hold", "no_rollback"],
          add = ArgValueCompleter::new(PathCompleter::file()))]
    installer: Option<PathBuf>,
    #[command(flatten)]
    desktops: DesktopFlags,
    #[command(flatten)]
    rollout: RolloutFlags,
    #[command(flatten)]
    guard: GuardFlags,
    #[command(flatten)]
    reason: ReasonFlags,
    #[command(flatten)]
    how: SubmitFlags,
    #[command(flatten)]
    common: CommonArgs,
}

fn version(text: &str) -> Result<Version, String> {
    Version::parse("to", text).map_err(|error| error.message)
}

/// Checks that workers of the version `control_plane` would admit the agents. Returns a warning
/// about a pair of versions that is not tested.
///
/// The command line stands for the control plane, whose version it normally has.
///
/// # Errors
///
/// Workers would refuse the agents, and no rollout could reach them any more.
fn check_target(target: &Version, control_plane: &str) -> Result<Option<String>, Error> {
    match judge(Link::AgentToWorker, &target.to_string(), control_plane) {
        Compatibility::Tested | Compatibility::Unknown => Ok(None),
        Compatibility::Untested(mismatch) => Ok(Some(format!("warning: {mismatch}"))),
        Compatibility::Refused(mismatch) => {
            Err(Error::misused(format!("workers would refuse agents of version {target}: {mismatch}"))
                .try_next("graywave version: use the command line of the control plane's version"))
        }
    }
}

fn sha256(text: &str) -> Result<String, String> {
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(format!("{} characters: expected 64 hex digits, as sha256sum prints", text.len())),
    }
}

/// What the rollouts of an upgrade have in common.
struct Upgrade {
    /// Task without desktops and payload.
    task: TaskSpec,
    settings: Settings,
    /// Own script; `None` for the built-in ones.
    installer: Option<LocalScript>,
    guard: GuardFlags,
    flags: &'static Overrides,
    how: SubmitFlags,
}

pub(super) async fn upgrade(arguments: UpgradeArgs) -> Result<ExitStatus, Error> {
    let UpgradeArgs { desktops, os, common, .. } = &arguments;
    let (desktops, os, common) = (desktops.clone(), *os, common.clone());
    // Check the local input before the connection, so that a mistake in it is reported first.
    let upgrade = Upgrade::read(arguments)?;
    let target = &upgrade.settings.version;
    let untested = check_target(target, PROGRAM)?;
    let (session, mut console) = common.open().await?;
    untested.iter().for_each(|warning| console.say(warning));
    let desktops = desktops.read(&session).await?;
    let selection = select(desktops, target, os, upgrade.settings.allow_downgrade)?;
    selection.notes(target).iter().for_each(|note| console.say(note));
    let groups = selection.groups;
    if groups.is_empty() {
        console.say(&format!("nothing to upgrade: every selected desktop has {target}"));
        return Ok(ExitStatus::Success);
    }
    upgrade.check(&groups)?;
    let several = groups.len() > 1;
    for group in groups {
        if several {
            console.say(&format!("{}:", group.system.name()));
        }
        let ended = upgrade.run(&session, &mut console, group).await?;
        if ended != ExitStatus::Success {
            return Ok(ended);
        }
    }
    console.finish()?;
    Ok(ExitStatus::Success)
}

impl Upgrade {
    /// Reads the flags and the local files.
    fn read(arguments: UpgradeArgs) -> Result<Self, Error> {
        let UpgradeArgs { to, allow_downgrade, override_hold, no_rollback, installer, rollout, .. } =
            arguments;
        let ReasonFlags { reason, ticket } = arguments.reason;
        let mut task = TaskSpec { reason, ticket, ..TaskSpec::default() };
        let flags = rollout.overrides();
        rollout.apply(&mut task, SystemTime::now())?;
        task.execution_timeout = task.execution_timeout.or(Some(EXECUTION_TIMEOUT_MINUTES));
        let rollout = task.rollout.get_or_insert_default();
        let wanted = std::mem::replace(&mut rollout.agent_version, to.to_string());
        if !wanted.is_empty() && wanted != rollout.agent_version {
            return Err(Error::misused(format!(
                "--agent-version {wanted} differs from --to {to}, which the agents must have"
            ))
            .try_next("--to alone"));
        }
        let msi = arguments.msi.zip(arguments.msi_sha256).map(|(location, sha256)| Msi { location, sha256 });
        let settings = Settings { version: to, allow_downgrade, override_hold, rollback: !no_rollback, msi };
        let installer = installer.map(|path| {
            let (content, kind) = read_script(&path, None)?;
            Ok::<_, Error>(LocalScript { name: name_of(&path), content, kind, parameters: Vec::new() })
        });
        let installer = installer.transpose()?;
        Ok(Self { task, settings, installer, guard: arguments.guard, flags, how: arguments.how })
    }

    /// Checks that the flags fit the systems of the desktops.
    fn check(&self, groups: &[Group]) -> Result<(), Error> {
        if self.how.detach && groups.len() > 1 {
            return Err(Error::misused(
                "--detach starts one rollout, and these desktops need one for each system",
            )
            .try_next("--os Linux: only desktops of this system"));
        }
        for system in groups.iter().map(|group| group.system) {
            match &self.installer {
                Some(script) if !runs_on(script.kind, system) => {
                    return Err(Error::misused(format!(
                        "{} cannot run on {}, which selected desktops have",
                        script.name,
                        system.name()
                    ))
                    .try_next("--os: only desktops of one system"));
                }
                None if system == System::Windows && self.settings.msi.is_none() => {
                    return Err(Error::misused("desktops with Windows need a package")
                        .try_next("--msi URL --msi-sha256 HEX: the MSI package of this version")
                        .try_next("--os Linux: leaves them out"));
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    /// Runs the rollout of one group to its end, or shows its plan.
    async fn run(&self, session: &Session, console: &mut Console, group: Group) -> Result<ExitStatus, Error> {
        let Group { system, desktop_ids } = group;
        let mut task = TaskSpec { desktop_ids, ..self.task.clone() };
        let payload = match &self.installer {
            Some(script) => Payload::File(script.clone()),
            None => {
                task.parameters = built_in::values(system, &self.settings);
                Payload::File(built_in::script(system))
            }
        };
        if self.how.dry_run {
            let asked = (self.guard, self.flags);
            preview::show(session, console, (task, &payload), asked, false).await?;
            return Ok(ExitStatus::Success);
        }
        let Self { guard, flags, how, .. } = *self;
        run::submit(session, console, Submission { task, payload, guard, flags, how, key: None }).await
    }
}

/// Reports whether a system has the interpreter of a script.
fn runs_on(kind: ScriptType, system: System) -> bool {
    (kind == ScriptType::Shell) == (system == System::Linux)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: UpgradeArgs,
    }

    fn read(line: &str) -> Result<Upgrade, String> {
        let line = Line::try_parse_from(std::iter::once("it").chain(line.split_whitespace()));
        Upgrade::read(line.map_err(|error| error.to_string())?.arguments).map_err(|error| error.to_string())
    }

    fn group(system: System) -> Group {
        Group { system, desktop_ids: vec!["d-1".into()] }
    }

    #[test]
    fn rollout_flags_are_those_of_a_run_with_the_version() {
        let upgrade = read("--to 1.4.0 --all --canary 1% --soak 30m --strict --return-timeout 5m").unwrap();
        let rollout = upgrade.task.rollout.unwrap();
        assert_eq!((rollout.agent_version.as_str(), rollout.return_timeout_seconds), ("1.4.0", Some(300)));
        assert_eq!((rollout.waves.len(), rollout.soak_seconds, rollout.strict), (2, Some(1_800), true));
        assert_eq!(upgrade.task.execution_timeout, Some(30));
        assert!(read("--to 1.4.0 --all --agent-version 1.4.0").is_ok());
        assert!(read("--to 1.4.0 --all --agent-version 1.3.0").is_err(), "two versions");
        let own = read("--to 1.4.0 --all --timeout 2h").unwrap();
        assert_eq!(own.task.execution_timeout, Some(120));
    }

    #[test]
    fn version_is_checked_before_any_call() {
        for wrong in ["latest", "v1.4.0", "1.4", "1.4.0;reboot"] {
            let refused = read(&format!("--to {wrong} --all")).map(|_| ()).unwrap_err();
            assert!(refused.contains("MAJOR.MINOR.PATCH"), "{refused}");
        }
    }

    #[test]
    fn version_that_workers_refuse_is_refused() {
        let check = |target: &str| check_target(&Version::parse("to", target).unwrap(), "1.4.2");
        for target in ["1.3.0", "1.4.2", "1.5.0-rc.1"] {
            assert_eq!(check(target).unwrap(), None, "{target}");
        }
        assert!(check("1.1.0").unwrap().unwrap().starts_with("warning: agent 1.1.0 is too much older"));
        for target in ["1.6.0", "2.0.0"] {
            let refused = check(target).unwrap_err();
            assert_eq!(refused.exit_status, ExitStatus::Misused);
            assert!(refused.to_string().contains("upgrade the control plane before its agents"), "{refused}");
        }
    }

    #[test]
    fn windows_needs_a_package_with_its_hash() {
        let without = read("--to 1.4.0 --all").unwrap();
        assert!(without.check(&[group(System::Linux)]).is_ok());
        let refused = without.check(&[group(System::Linux), group(System::Windows)]).unwrap_err();
        assert!(refused.to_string().contains("--msi URL --msi-sha256 HEX"), "{refused}");
        assert!(read("--to 1.4.0 --all --msi https://p/a.msi").is_err(), "no hash");
        assert!(read("--to 1.4.0 --all --msi https://p/a.msi --msi-sha256 ab").is_err(), "a short hash");
        let hash = "AB".repeat(32);
        let with = read(&format!("--to 1.4.0 --all --msi https://p/a.msi --msi-sha256 {hash}")).unwrap();
        assert!(with.check(&[group(System::Windows)]).is_ok());
        assert_eq!(with.settings.msi.unwrap().sha256, hash.to_lowercase());
    }

    #[test]
    fn detached_upgrade_has_one_system() {
        let upgrade = read("--to 1.4.0 --all --detach --msi \\\\s\\a.msi --msi-sha256 ");
        assert!(upgrade.is_err());
        let hash = "ab".repeat(32);
        let upgrade =
            read(&format!("--to 1.4.0 --all --detach --msi \\\\s\\a.msi --msi-sha256 {hash}")).unwrap();
        assert!(upgrade.check(&[group(System::Windows)]).is_ok());
        let refused = upgrade.check(&[group(System::Linux), group(System::Windows)]).unwrap_err();
        assert!(refused.to_string().contains("--os Linux"), "{refused}");
    }

    #[test]
    fn own_script_must_run_on_the_selected_system() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("upgrade.sh");
        std::fs::write(&path, "true\n").unwrap();
        let upgrade = read(&format!("--to 1.4.0 --all --installer {}", path.display())).unwrap();
        assert!(upgrade.check(&[group(System::Linux)]).is_ok());
        let refused = upgrade.check(&[group(System::Windows)]).unwrap_err();
        assert!(refused.to_string().starts_with("upgrade.sh cannot run on Windows"), "{refused}");
    }
}
