//! `graywave dev` as a process, with a client of its REST API.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::{Process, Rest, graywave};

/// The line of JSON that `graywave dev` prints when it is ready.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// URL of the REST API, such as `http://127.0.0.1:8080`.
    pub http: String,
    /// Id of the only project.
    pub project_id: String,
    /// Bearer token of the project.
    pub token: String,
    /// URL that signs a browser in to the console once; `None` without the console.
    pub console: Option<String>,
}

/// A dev cluster. Dropping the value stops the cluster.
#[derive(Debug)]
pub struct DevCluster {
    /// The process with all roles.
    pub process: Process,
    /// Client of the REST API.
    pub rest: Rest,
    /// Addresses and token of the cluster.
    pub ready: Ready,
    /// The ready line as printed.
    pub ready_line: String,
}

impl DevCluster {
    /// Starts a cluster on free ports and waits until it is ready. Its log is beside the data
    /// directory.
    pub fn start(data_dir: &Path, desktops: u32, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let log = data_dir.with_extension("log");
        let mut command = graywave()?;
        command
            .args(["dev", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--agents", "127.0.0.1:0"])
            .args(["--desktops", &desktops.to_string(), "--data-dir"])
            .arg(data_dir)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped());
        let mut process = Process::start(&mut command, &log)?;
        let mut line = String::new();
        let stdout = process.child().stdout.take().context("no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() {
            let status = process.child().wait()?;
            bail!("graywave dev ended: {status}\n{}", fs::read_to_string(&log)?);
        }
        let ready: Ready =
            serde_json::from_str(&line).with_context(|| format!("not the ready line: {line:?}"))?;
        let rest = Rest::new(&ready.http, &ready.project_id, &ready.token);
        Ok(Self { process, rest, ready, ready_line: line.trim().to_owned() })
    }
}
