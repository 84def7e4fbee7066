//! A dev cluster as a child process, and its REST API.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::{process, rest::Rest};

/// What `graywave dev` prints when it serves.
#[derive(Debug, Deserialize)]
pub(crate) struct Ready {
    pub(crate) http: String,
    pub(crate) project_id: String,
    pub(crate) token: String,
}

/// A running dev cluster; stopped when dropped.
#[derive(Debug)]
pub(crate) struct DevCluster {
    child: Child,
    pub(crate) rest: Rest,
    pub(crate) ready: Ready,
    /// The same, as it was printed.
    pub(crate) ready_line: String,
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| crate::root().join("target"), PathBuf::from)
}

/// A temporary directory that the private Postgres's user can come to.
pub(crate) fn directory(prefix: &str) -> anyhow::Result<tempfile::TempDir> {
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    Ok(tempfile::Builder::new().prefix(prefix).permissions(open).tempdir()?)
}

/// Runs a client's program against a dev cluster of its own; the last argument is the cluster's ready line.
pub(crate) fn run_client(program: &mut Command, desktops: u32) -> anyhow::Result<()> {
    let directory = directory("graywave-client-")?;
    let cluster = DevCluster::start(&directory.path().join("data"), desktops)?;
    program.arg(&cluster.ready_line).current_dir(directory.path());
    // The SDKs leave files in the working directory and in the home directory.
    process::run(program.env("HOME", directory.path()))?;
    cluster.stop()
}

impl DevCluster {
    /// Starts one on free ports and waits until it serves. Its log goes to a file.
    pub(crate) fn start(data_dir: &Path, desktops: u32) -> anyhow::Result<Self> {
        let binary = target_directory().join("debug/graywave");
        let log = data_dir.with_extension("log");
        let mut child = Command::new(&binary)
            .args(["dev", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--agents", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--desktops", &desktops.to_string()])
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() {
            let status = child.wait()?;
            bail!("graywave dev ended: {status}\n{}", std::fs::read_to_string(&log)?);
        }
        let ready: Ready =
            serde_json::from_str(&line).with_context(|| format!("not the ready line: {line:?}"))?;
        let rest = Rest::new(&ready.http, &ready.project_id, &ready.token);
        Ok(Self { child, rest, ready, ready_line: line.trim().to_owned() })
    }

    /// Waits until it ends by itself: a person's Ctrl-C reaches it too.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        self.child.wait()?;
        Ok(())
    }

    /// Stops it as a person would and waits for it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.terminate()?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("graywave dev did not stop cleanly: {status}");
        }
        Ok(())
    }

    fn terminate(&self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no process id")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.terminate().is_ok() {
            // Its Postgres goes with it, in order.
            drop(self.child.wait());
        }
    }
}
