//! The agent's binary as a separate process: under another user, in a private mount namespace,
//! without an environment.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::fake_worker::FakeWorker;

/// User of unprivileged agents: `nobody` on most systems.
const UNPRIVILEGED_ID: u32 = 65_534;

/// Data directory and the files around it.
pub(crate) struct AgentHome {
    pub(crate) dir: TempDir,
    unprivileged: bool,
}

/// Running agent process. Dropping this kills it.
pub(crate) struct AgentProcess {
    child: Child,
    log: PathBuf,
}

impl AgentHome {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), unprivileged: false }
    }

    /// Creates a place whose agents have no privileges.
    pub(crate) fn unprivileged() -> Self {
        let place = Self { unprivileged: true, ..Self::new() };
        if geteuid().is_root() {
            chown(place.dir.path(), Some(UNPRIVILEGED_ID), Some(UNPRIVILEGED_ID)).unwrap();
        }
        place
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Runs a shell command as the agent's user, in the place.
    pub(crate) fn shell(&self, text: &str) {
        let mut command = Command::new("sh");
        self.drop_privileges(&mut command);
        let status = command.args(["-ec", text]).current_dir(self.dir.path()).status().unwrap();
        assert!(status.success(), "{text}");
    }

    fn drop_privileges(&self, command: &mut Command) {
        if self.unprivileged && geteuid().is_root() {
            command.uid(UNPRIVILEGED_ID).gid(UNPRIVILEGED_ID);
        }
    }

    /// Starts the agent. `setup` runs first, in the same mount namespace and with the place as its
    /// working directory.
    ///
    /// `None` if the user of this place cannot execute the binary.
    pub(crate) fn start(&self, worker: &FakeWorker, setup: &str) -> Option<AgentProcess> {
        self.start_with(worker, setup, |_| {})
    }

    pub(crate) fn start_with(
        &self,
        worker: &FakeWorker,
        setup: &str,
        change: impl FnOnce(&mut Command),
    ) -> Option<AgentProcess> {
        let mut command = if setup.is_empty() {
            Command::new(env!("CARGO_BIN_EXE_graywave-agent"))
        } else {
            let mut command = Command::new("unshare");
            let script = format!("{setup}\nexec \"$0\" \"$@\"");
            command.args(["--mount", "--propagation", "private", "sh", "-ec", &script]);
            command.arg(env!("CARGO_BIN_EXE_graywave-agent"));
            command
        };
        let log = self.dir.path().join("agent.log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        command
            .args(["--project", "p1", "--desktop-id", "d1", "--worker", &worker.url, "--data-dir"])
            .arg(self.data_dir())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(stderr.try_clone().unwrap())
            .stderr(stderr);
        change(&mut command);
        self.drop_privileges(&mut command);
        match command.spawn() {
            Ok(child) => Some(AgentProcess { child, log }),
            Err(error) if self.unprivileged && error.kind() == ErrorKind::PermissionDenied => {
                leave_out("another user cannot execute the agent's binary");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl AgentProcess {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Stops the agent and waits for its end.
    pub(crate) fn stop(mut self) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(id, Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// Whether this process may mount in a private namespace. A test that needs mounts returns early if
/// not.
pub(crate) fn mounts_are_permitted() -> bool {
    let dir = tempfile::tempdir().unwrap();
    let mount = "mount --bind . .";
    let permitted = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", mount])
        .current_dir(dir.path())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !permitted {
        leave_out("this user may not mount");
    }
    permitted
}

#[expect(clippy::print_stderr, reason = "a skipped test reports its reason")]
pub(crate) fn leave_out(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// Polls until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(30), "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Names in a directory, sorted. Empty if the directory cannot be read.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
