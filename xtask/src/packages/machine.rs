//! A Debian in namespaces of its own, with systemd or without.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use testkit::Process;

use crate::{debian, process};

/// Time limit of each wait.
const TIMEOUT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Mounts that programs expect, then a first process that only reaps.
const PLAIN: &str = "mount --rbind /dev \"$1/dev\"\nmount --rbind /sys \"$1/sys\"\n\
                     mount -t proc proc \"$1/proc\"\n\
                     exec chroot \"$1\" bash -c 'while :; do sleep 3600 & wait $!; done'";

/// A running system. Dropping the value ends all its processes.
#[derive(Debug)]
pub(super) struct Machine {
    root: PathBuf,
    /// Namespaces of the system, in the words of nsenter.
    namespaces: &'static [&'static str],
    /// First process of the system.
    leader: u32,
    outer: Process,
}

impl Machine {
    /// Starts a system without an init, as in a container or an image builder.
    pub(super) fn plain(directory: &Path) -> anyhow::Result<Self> {
        let root = directory.join("plain");
        debian::unpack(&root)?;
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]);
        unshare.args(["sh", "-ec", PLAIN, "sh"]).arg(&root).stdout(Stdio::null());
        Self::start(root, &["--mount", "--pid"], &mut unshare, directory)
    }

    /// Boots a system with systemd; `None` if this machine cannot boot one, with the reason.
    pub(super) fn booted(directory: &Path) -> anyhow::Result<Result<Self, String>> {
        let root = directory.join("booted");
        debian::unpack(&root)?;
        fs::copy("/etc/resolv.conf", root.join("etc/resolv.conf"))?;
        let install = "apt-get update && apt-get install --yes --no-install-recommends systemd systemd-sysv";
        let mut chroot = Command::new("chroot");
        chroot.arg(&root).args(["sh", "-ec", install]).env("DEBIAN_FRONTEND", "noninteractive");
        process::output(&mut chroot).context("installing systemd failed")?;
        let mut nspawn = Command::new("systemd-nspawn");
        nspawn.args(["--quiet", "--register=no", "--keep-unit", "--console=pipe", "--boot", "--directory"]);
        nspawn.arg(&root).stdout(fs::File::create(directory.join("console.log"))?);
        let namespaces = &["--mount", "--pid", "--uts", "--ipc", "--cgroup"];
        let mut machine = match Self::start(root, namespaces, &mut nspawn, directory) {
            Ok(machine) => machine,
            Err(error) => return Ok(Err(format!("{error:#}"))),
        };
        let begun = Instant::now();
        loop {
            if !machine.outer.is_running()? || begun.elapsed() > TIMEOUT {
                let log = fs::read_to_string(directory.join("machine.log")).unwrap_or_default();
                return Ok(Err(format!("systemd does not boot: {}", log.trim())));
            }
            let state = machine.command(&["systemctl", "is-system-running"]).output()?;
            // Units of a container may fail, and concern no package of ours.
            if matches!(String::from_utf8_lossy(&state.stdout).trim(), "running" | "degraded") {
                return Ok(Ok(machine));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn start(
        root: PathBuf,
        namespaces: &'static [&'static str],
        command: &mut Command,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let log = directory.join("machine.log");
        let mut outer = Process::start(command, &log)?;
        let children = format!("/proc/{0}/task/{0}/children", outer.id());
        let begun = Instant::now();
        let leader = loop {
            let text = fs::read_to_string(&children).unwrap_or_default();
            // The first process has the root of the system once it is set up.
            if let Some(pid) = text.split_whitespace().next_back().and_then(|pid| pid.parse().ok())
                && has_root(pid, &root)
            {
                break pid;
            }
            if !outer.is_running()? || begun.elapsed() > TIMEOUT {
                bail!("the system does not start: {}", fs::read_to_string(&log).unwrap_or_default().trim());
            }
            thread::sleep(POLL_INTERVAL);
        };
        Ok(Self { root, namespaces, leader, outer })
    }

    /// Command in the system.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.leader)).args(self.namespaces).arg("--root");
        command.args(words).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// Output of a shell command, which must succeed.
    pub(super) fn shell(&self, text: &str) -> anyhow::Result<String> {
        process::output(&mut self.command(&["sh", "-ec", text]))
    }

    /// Output of dpkg, which must succeed and ask nothing.
    pub(super) fn dpkg(&self, arguments: &[&str]) -> anyhow::Result<String> {
        process::output(&mut self.command(&[&["dpkg"], arguments].concat()))
    }

    /// Number of running processes of a program.
    pub(super) fn count(&self, program: &str) -> anyhow::Result<usize> {
        Ok(self.shell(&format!("grep -lsx {program} /proc/[0-9]*/comm || true"))?.lines().count())
    }

    /// Copies a package into the system and returns its path there.
    pub(super) fn take(&self, package: &Path) -> anyhow::Result<String> {
        let name = package.file_name().context("a package without a name")?.to_string_lossy().into_owned();
        fs::copy(package, self.path("/root").join(&name))?;
        Ok(format!("/root/{name}"))
    }

    /// Path of a file of the system on this machine.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether a file or directory exists in the system. A link counts, wherever it leads.
    pub(super) fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// Checks the permissions of a file that belongs to root.
    pub(super) fn check_file(&self, path: &str, mode: u32) -> anyhow::Result<()> {
        let metadata = self.path(path).symlink_metadata().with_context(|| format!("{path} is missing"))?;
        let found = metadata.mode() & 0o7777;
        ensure!(found == mode, "{path} has the mode {found:o}, not {mode:o}");
        ensure!(metadata.uid() == 0 && metadata.size() > 0, "{path} is empty, or of user {}", metadata.uid());
        Ok(())
    }
}

impl Drop for Machine {
    /// Kills the first process, and with it all others. unshare ignores SIGTERM.
    fn drop(&mut self) {
        // Fails only if the process has ended.
        drop(self.outer.kill());
    }
}

/// Whether the root of a process is a directory.
fn has_root(pid: u32, root: &Path) -> bool {
    let id = |path: &Path| -> Option<u64> {
        let release = path.join("var/lib/dpkg/status");
        Some(fs::metadata(release).ok()?.ino())
    };
    let of_process = id(Path::new(&format!("/proc/{pid}/root")));
    of_process.is_some() && of_process == id(root)
}
