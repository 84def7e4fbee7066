//! `graywave dev` as a process, and its REST API.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::{Process, Rest, graywave};

/// The line that `graywave dev` prints when it serves.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// Address of the REST API, with its scheme.
    pub http: String,
    /// The one project.
    pub project_id: String,
    /// A bearer token of the project.
    pub token: String,
}

/// A dev cluster that ends with this value.
#[derive(Debug)]
pub struct DevCluster {
    /// All of it.
    pub process: Process,
    /// Its API.
    pub rest: Rest,
    /// Where it serves.
    pub ready: Ready,
    /// The same, as it was printed.
    pub ready_line: String,
}

impl DevCluster {
    /// Starts a cluster on free ports and waits until it serves. Its log is beside the data directory.
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
