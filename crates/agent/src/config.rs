//! What an agent needs to know, and what it can say of its machine.

use std::{path::PathBuf, time::Duration};

use proto::types::Desktop;

use crate::Error;

/// What an agent needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Workers to dial, as `http://host:port`; the next is tried when one fails.
    pub worker_urls: Vec<String>,
    /// The certificate that says whose agent this is; without one only workers on this machine are dialled.
    pub tls: Option<identity::Files>,
    /// The desktop as the agent presents it.
    pub desktop: Desktop,
    /// Holds the journal and the scripts while they run; one agent at a time.
    pub data_dir: PathBuf,
    /// Orders that run at once.
    pub max_parallel: usize,
    /// The shortest pause before a reconnect.
    pub reconnect_min: Duration,
    /// The longest pause before a reconnect.
    pub reconnect_max: Duration,
}

impl Config {
    /// A configuration with the defaults: 4 orders at once, 200 ms to 30 s between reconnects.
    pub fn new(worker_urls: Vec<String>, desktop: Desktop, data_dir: PathBuf) -> Self {
        Self {
            worker_urls,
            tls: None,
            desktop,
            data_dir,
            max_parallel: 4,
            reconnect_min: Duration::from_millis(200),
            reconnect_max: Duration::from_secs(30),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = if self.worker_urls.is_empty() {
            "no worker URL"
        } else if self.desktop.project_id.is_empty() {
            "no project id"
        } else if self.desktop.desktop_id.is_empty() {
            "no desktop id"
        } else if self.max_parallel == 0 {
            "max_parallel is 0"
        } else if self.reconnect_min > self.reconnect_max {
            "reconnect_min is longer than reconnect_max"
        } else {
            return Ok(());
        };
        Err(Error::Config(wrong.to_owned()))
    }
}

/// This machine as a desktop. Its computer name is the desktop's id until the caller knows better.
pub fn this_machine(project_id: String, desktop_id: String) -> Desktop {
    let os_type = match std::env::consts::OS {
        "windows" => "Windows",
        "macos" => "macOS",
        _ => "Linux",
    };
    Desktop {
        project_id,
        computer_name: desktop_id.clone(),
        desktop_id,
        os_host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        os_type: os_type.to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        // Where it cannot be told, windows are read in UTC.
        time_zone: iana_time_zone::get_timezone().unwrap_or_default(),
        ..Desktop::default()
    }
}
