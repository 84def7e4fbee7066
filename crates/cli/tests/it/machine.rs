//! A machine of stub programs on which a built-in script runs.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const STUB: &str = include_str!("stubs/manager");
/// Real programs that the script and the stubs call.
const REAL: [&str; 15] = [
    "sh", "cat", "sed", "grep", "awk", "sort", "head", "tail", "tee", "mkdir", "rm", "cp", "mv", "setsid",
    "env",
];
/// Stubs of every machine.
const ALL_MACHINES: [&str; 5] = ["id", "readlink", "sleep", "systemctl", "systemd-run"];

/// Package manager of a machine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manager {
    Apt,
    Dnf,
    Zypper,
}

impl Manager {
    const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Apt => &["apt-get", "apt-cache", "apt-mark", "dpkg", "dpkg-query"],
            Self::Dnf => &["dnf", "rpm"],
            Self::Zypper => &["zypper", "rpm"],
        }
    }
}

/// A machine with a package manager, systemd, and an agent of version 0.1.0 that runs.
pub(crate) struct Machine {
    directory: tempfile::TempDir,
}

/// Exit code and output of a script.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) output: String,
}

impl Machine {
    pub(crate) fn new(manager: Manager) -> Self {
        let machine = Self { directory: tempfile::tempdir().unwrap() };
        for directory in ["bin", "state", "root/run/systemd/system", "work"] {
            fs::create_dir_all(machine.path(directory)).unwrap();
        }
        let stub = machine.path("stub");
        fs::write(&stub, STUB).unwrap();
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
        for program in manager.programs().iter().chain(&ALL_MACHINES) {
            symlink(&stub, machine.path("bin").join(program)).unwrap();
        }
        for program in REAL {
            let real = ["/usr/bin", "/bin"].map(|directory| Path::new(directory).join(program));
            let real = real.iter().find(|path| path.exists()).unwrap();
            symlink(real, machine.path("bin").join(program)).unwrap();
        }
        machine.set("uid", "0");
        machine.set("package", "installed 0.1.0-1");
        machine.set("available", "0.3.0-1\n0.2.0-2\n0.2.0-1\n0.2.0~rc.1-1\n0.1.0-1\n0.0.9-1");
        machine.set("pid", "100");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Sets a fact of the machine; the stub names them.
    pub(crate) fn set(&self, fact: &str, value: &str) {
        fs::write(self.path("state").join(fact), format!("{value}\n")).unwrap();
    }

    /// Removes a fact of the machine.
    pub(crate) fn unset(&self, fact: &str) {
        fs::remove_file(self.path("state").join(fact)).unwrap();
    }

    /// Returns a fact of the machine; `None` if it is not set.
    pub(crate) fn fact(&self, fact: &str) -> Option<String> {
        fs::read_to_string(self.path("state").join(fact)).ok().map(|text| text.trim().to_owned())
    }

    /// Makes a machine without systemd, such as a container.
    pub(crate) fn without_systemd(&self) {
        fs::remove_dir(self.path("root/run/systemd/system")).unwrap();
    }

    /// Reports whether a program was called with these words.
    pub(crate) fn was_called(&self, words: &str) -> bool {
        self.fact("calls").unwrap_or_default().lines().any(|call| call.contains(words))
    }

    /// Starts a script with parameters, as an agent does.
    pub(crate) fn start(&self, script: &str, parameters: &[(&str, &str)]) -> Child {
        let file = self.path("work/script.sh");
        fs::write(&file, script).unwrap();
        let shell = ["/usr/bin/dash", "/bin/dash"].into_iter().find(|shell| Path::new(shell).exists());
        let mut command = Command::new(shell.unwrap_or("/bin/sh"));
        command.arg(&file).current_dir(self.path("work")).env_clear();
        command.env("PATH", self.path("bin")).env("MACHINE", self.path("state"));
        command.env("GRAYWAVE_UPGRADE_ROOT", self.path("root")).env("GRAYWAVE_UPGRADE_SETTLE", "0");
        for (name, value) in parameters {
            command.env(format!("GRAYWAVE_PARAM_{}", name.to_uppercase()), value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap()
    }

    /// Runs a script with parameters to its end.
    pub(crate) fn run(&self, script: &str, parameters: &[(&str, &str)]) -> Ended {
        let ended = self.start(script, parameters).wait_with_output().unwrap();
        let output = String::from_utf8(ended.stdout).unwrap();
        Ended { code: ended.status.code().unwrap_or(-1), output }
    }
}
