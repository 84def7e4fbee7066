//! The .msi of the agent: built with wixl from deploy/windows/agent.wxs, checked by its tables, and
//! installed, upgraded and removed under Wine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use super::wine::Wine;
use crate::{process, root, say};

/// Code that joins all versions of the agent.
const UPGRADE_CODE: &str = "{6F1D2B0A-6B58-4C53-9B0B-0E6B5E1A7C31}";
const PROGRAMS: [&str; 2] = ["graywave-agent.exe", "graywave-runner.exe"];
const STANDIN: &str = include_str!("standin.c");
const COMPILER: &str = "x86_64-w64-mingw32-gcc";

/// Message of an installation without the address of a worker.
const NEEDS_SERVER: &str = "SERVER is not set. Use: msiexec /i FILE SERVER=https://worker.example:9443 \
                            CAFILE=C:\\ca.pem TOKENFILE=C:\\token";

/// Places of our actions among the standard ones. wixl orders them in different ways.
const PLACES: [(&str, u16); 7] = [
    ("UseSavedServer", 51),
    ("UseSavedDesktopId", 52),
    ("UseKeptCa", 1001),
    ("UseKeptToken", 1002),
    // Before anything of the new version, so that the old service has stopped.
    ("RemoveExistingProducts", 1501),
    ("Unregister", 1901),
    ("Register", 5801),
];

/// Rows that a table must have, as tab-separated columns.
const ROWS: [(&str, &str); 13] = [
    ("Property", "ALLUSERS\t1"),
    ("Property", "UpgradeCode\t{6F1D2B0A-6B58-4C53-9B0B-0E6B5E1A7C31}"),
    (
        "Property",
        "SecureCustomProperties\tCAFILE;DESKTOPID;SAVEDDESKTOPID;SAVEDSERVER;SERVER;TOKENFILE;WIX_UPGRADE_DETECTED",
    ),
    // Stopped before files change and after the removal, started at the end of an installation.
    ("ServiceControl", "AgentService\tgraywave-agent\t35\t\t1\tAgent"),
    // Deferred, and as the system; the second one may fail.
    ("CustomAction", "Register\t3090\tAgentProgram\t--worker=\"[SERVER]\" --desktop-id=\"[DESKTOPID]\""),
    ("CustomAction", "Unregister\t3154\tAgentProgram\tservice uninstall"),
    ("InstallExecuteSequence", "Register\tNOT (REMOVE=\"ALL\")\t5801"),
    ("InstallExecuteSequence", "Unregister\tREMOVE=\"ALL\" AND NOT UPGRADINGPRODUCTCODE\t1901"),
    ("InstallExecuteSequence", "RemoveExistingProducts\t\t1501"),
    ("Upgrade", "{6F1D2B0A-6B58-4C53-9B0B-0E6B5E1A7C31}\t0.0.0\t\t\t257\t\tWIX_UPGRADE_DETECTED"),
    ("LaunchCondition", "Installed OR SERVER OR SAVEDSERVER\tSERVER is not set."),
    ("RegLocator", "SavedServer\t2\tSOFTWARE\\Graywave\\Agent\tServer\t18"),
    ("Directory", "GraywaveFolder\tProgramFiles64Folder\tGraywave"),
];

/// Builds the package of these programs, checks its tables, and tests a package of stand-ins under
/// Wine. Returns the package.
pub(super) fn run(wine: &Wine, programs: &Path, output: &Path) -> anyhow::Result<PathBuf> {
    let version = env!("CARGO_PKG_VERSION");
    fs::create_dir_all(output)?;
    let package = output.join(format!("graywave-agent-{version}-x86_64.msi"));
    build(version, programs, &package)?;
    check_tables(&package, version)?;
    check_files(&package, programs, version)?;
    install(wine, output)?;
    say(&format!("-- {}", package.display()));
    Ok(package)
}

/// Builds a package of the programs in a directory.
fn build(version: &str, programs: &Path, package: &Path) -> anyhow::Result<()> {
    // Windows compares three numbers.
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let mut wixl = Command::new("wixl");
    wixl.args(["--arch", "x64", "-D", &format!("Version={numbers}.0"), "-D", &format!("Folder={version}")]);
    wixl.arg("--output").arg(package).arg(root().join("deploy/windows/agent.wxs")).current_dir(programs);
    process::run(&mut wixl)?;
    for query in changes() {
        process::run(Command::new("msibuild").arg(package).args(["-q", &query]))?;
    }
    Ok(())
}

/// Changes of tables that wixl cannot describe.
fn changes() -> Vec<String> {
    let secure = "CAFILE;DESKTOPID;SAVEDDESKTOPID;SAVEDSERVER;SERVER;TOKENFILE;WIX_UPGRADE_DETECTED";
    let mut changes = vec![
        "DELETE FROM LaunchCondition".to_owned(),
        format!(
            "INSERT INTO LaunchCondition (Condition, Description) VALUES ('Installed OR SERVER OR SAVEDSERVER', \
             '{NEEDS_SERVER}')"
        ),
        // Any other version is replaced, also a newer one: a rollout may go back.
        "DELETE FROM Upgrade WHERE ActionProperty = 'WIX_UPGRADE_DETECTED'".to_owned(),
        "DELETE FROM Upgrade WHERE ActionProperty = 'WIX_DOWNGRADE_DETECTED'".to_owned(),
        format!(
            "INSERT INTO Upgrade (UpgradeCode, VersionMin, Attributes, ActionProperty) VALUES ('{UPGRADE_CODE}', \
             '0.0.0', 257, 'WIX_UPGRADE_DETECTED')"
        ),
        format!("UPDATE Property SET Value = '{secure}' WHERE Property = 'SecureCustomProperties'"),
        "UPDATE CustomAction SET Type = 51 WHERE Type = 2099".to_owned(),
    ];
    changes.extend(PLACES.map(|(action, place)| {
        format!("UPDATE InstallExecuteSequence SET Sequence = {place} WHERE Action = '{action}'")
    }));
    changes
}

fn table(package: &Path, name: &str) -> anyhow::Result<String> {
    let text = process::output(Command::new("msiinfo").arg("export").arg(package).arg(name))?;
    Ok(text.replace('\r', ""))
}

fn check_tables(package: &Path, version: &str) -> anyhow::Result<()> {
    let folder = ("Directory", format!("INSTALLDIR\tGraywaveFolder\t{version}"));
    let rows = ROWS.map(|(name, row)| (name, row.to_owned())).into_iter().chain([folder]);
    for (name, row) in rows {
        let text = table(package, name)?;
        ensure!(
            text.lines().any(|line| line.starts_with(&row)),
            "table {name} of {} has no row {row:?}:\n{text}",
            package.display()
        );
    }
    let custom = table(package, "CustomAction")?;
    // A property of the installer would be in its log.
    ensure!(!custom.contains("[TOKEN]"), "an action has a token among its arguments:\n{custom}");
    let downgrade = table(package, "Upgrade")?;
    ensure!(!downgrade.contains("DOWNGRADE"), "a downgrade is refused:\n{downgrade}");
    let summary = process::output(Command::new("msiinfo").arg("suminfo").arg(package))?;
    ensure!(summary.contains("Template: x64;1033"), "the package is not for x64:\n{summary}");
    Ok(())
}

/// Checks that the package has the programs, byte by byte, in the folder of the version.
fn check_files(package: &Path, programs: &Path, version: &str) -> anyhow::Result<()> {
    let tree = tempfile::tempdir()?;
    process::output(Command::new("msiextract").arg("--directory").arg(tree.path()).arg(package))?;
    for name in PROGRAMS {
        let packed = find(tree.path(), name)?;
        let parent = packed.parent().and_then(Path::file_name).unwrap_or_default();
        ensure!(parent == version, "{} is not in the folder {version}", packed.display());
        ensure!(fs::read(&packed)? == fs::read(programs.join(name))?, "{name} differs in the package");
    }
    Ok(())
}

fn find(directory: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.file_name().is_some_and(|file| file == name) {
                return Ok(path);
            }
        }
    }
    bail!("the package has no {name}")
}

/// Installs, upgrades, downgrades and removes packages of stand-ins.
fn install(wine: &Wine, output: &Path) -> anyhow::Result<()> {
    let standins = output.join("standins");
    fs::create_dir_all(&standins)?;
    let source = standins.join("standin.c");
    fs::write(&source, STANDIN)?;
    for name in PROGRAMS {
        process::run(Command::new(COMPILER).arg("-o").arg(standins.join(name)).arg(&source))?;
    }
    let (old, new) = (standins.join("old.msi"), standins.join("new.msi"));
    build("1.0.0", &standins, &old)?;
    build("1.1.0-rc.1", &standins, &new)?;
    let machine = Machine { wine };
    fs::write(wine.drive().join("ca.pem"), "a CA")?;
    fs::write(wine.drive().join("token"), "a token")?;

    ensure!(!machine.msiexec("/i", &old, &[])?, "installed without SERVER");
    machine.expect("nothing", None, "")?;
    let given = ["SERVER=https://w:9443", "CAFILE=C:\\ca.pem", "TOKENFILE=C:\\token", "DESKTOPID=pc-1"];
    ensure!(machine.msiexec("/i", &old, &given)?, "the installation failed");
    let arguments = "[--worker=https://w:9443][--desktop-id=pc-1][--ca-file=C:\\ca.pem]\
                     [--enrolment-token-file=C:\\token][service][install][--keep-files]";
    machine.expect("installation", Some("1.0.0"), arguments)?;
    // Settings of the installed version.
    let arguments = "[--worker=https://w:9443][--desktop-id=pc-1][--ca-file=C:\\ProgramData\\Graywave\\ca.pem]\
                     [--enrolment-token-file=C:\\ProgramData\\Graywave\\enrolment-token][service][install]";
    ensure!(machine.msiexec("/i", &new, &[])?, "the upgrade failed");
    machine.expect("upgrade", Some("1.1.0-rc.1"), arguments)?;
    ensure!(machine.msiexec("/i", &old, &[])?, "the downgrade failed");
    machine.expect("downgrade", Some("1.0.0"), arguments)?;
    ensure!(machine.msiexec("/x", &old, &[])?, "the removal failed");
    machine.expect("removal", None, "[service][uninstall]")
}

/// A prefix of Wine in which packages are installed.
struct Machine<'a> {
    wine: &'a Wine,
}

impl Machine<'_> {
    /// Runs the installer silently. Returns whether it succeeded.
    fn msiexec(&self, verb: &str, package: &Path, properties: &[&str]) -> anyhow::Result<bool> {
        let path = format!("Z:{}", package.display()).replace('/', "\\");
        let mut command = self.wine.program(Path::new("msiexec"));
        let status = command.args([verb, &path, "/qn"]).args(properties).status();
        Ok(status.context("cannot start Wine")?.success())
    }

    /// Checks the folder of the only installed version, the program of the service, and arguments
    /// of the stand-in since the last check.
    fn expect(&self, step: &str, version: Option<&str>, arguments: &str) -> anyhow::Result<()> {
        let folder = self.wine.drive().join("Program Files/Graywave");
        let entries = fs::read_dir(folder).into_iter().flatten();
        let found: Vec<_> =
            entries.flatten().map(|it| it.file_name().to_string_lossy().into_owned()).collect();
        ensure!(found == Vec::from_iter(version), "after the {step}, the folders are {found:?}");
        let log = self.wine.drive().join("ran.txt");
        let ran = fs::read_to_string(&log).unwrap_or_default();
        ensure!(ran.contains(arguments), "the {step} ran {ran:?} instead of {arguments:?}");
        drop(fs::remove_file(log));
        let key = "HKLM\\System\\CurrentControlSet\\Services\\graywave-agent";
        let mut query = self.wine.program(Path::new("reg"));
        let answer = query.args(["query", key, "/v", "ImagePath"]).output().context("cannot start Wine")?;
        let service = String::from_utf8_lossy(&answer.stdout).into_owned();
        let program = |version: &str| format!("\\Graywave\\{version}\\graywave-agent.exe\" service run");
        match version {
            Some(version) => {
                ensure!(service.contains(&program(version)), "after the {step}, the service is {service:?}");
            }
            None => ensure!(!answer.status.success(), "after the {step}, a service is left: {service:?}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs Wine and wixl; `cargo xtask windows` does the same"]
    fn package_is_installed_upgraded_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let wine = Wine::new(directory.path()).unwrap();
        install(&wine, directory.path()).unwrap();
        let standins = directory.path().join("standins");
        let package = run(&wine, &standins, &directory.path().join("package")).unwrap();
        assert!(package.is_file());
    }
}
