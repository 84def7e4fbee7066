//! Configuration of an agent, and the facts about its machine.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use mtls::Identity;
use proto::types::Desktop;

use crate::{Error, Power, RunnerProgram, facts};

/// Environment variable that may hold the enrolment token. It is not passed to scripts.
pub const TOKEN_VARIABLE: &str = "GRAYWAVE_AGENT_ENROLMENT_TOKEN";

/// Configuration of an agent.
#[derive(Debug, Clone)]
pub struct Config {
    /// URLs of workers, as `http://host:port`; the agent tries the next one after a failure.
    pub worker_urls: Vec<String>,
    /// Certificate that identifies the agent; without one, only workers on this machine are
    /// dialled.
    pub tls: Option<mtls::Files>,
    /// Enrolment settings, for an agent without a given certificate.
    pub enrolment: Option<Enrolment>,
    /// Proxy between this machine and its workers.
    pub proxies: mtls::ProxySettings,
    /// Desktop that the agent presents.
    pub desktop: Desktop,
    /// Directory of the journal and of running scripts; used by one agent at a time.
    pub data_dir: PathBuf,
    /// Maximum number of orders that run at the same time.
    pub max_parallel: usize,
    /// Program that runs the scripts.
    pub runner: RunnerProgram,
    /// User that runs scripts whose order names none; `None` for the agent's own.
    pub run_as_user: Option<String>,
    /// PowerShell; `None` for the one of the system.
    pub powershell: Option<PathBuf>,
    /// How the desktop reboots and is powered off.
    pub power: Power,
    /// Whether scripts end with the agent; otherwise they go on under their runners.
    pub ends_scripts: bool,
    /// Whether a service manager learns the state of this process and starts it again after its
    /// end.
    pub is_supervised: bool,
    /// Minimum pause before a reconnect.
    pub reconnect_min: Duration,
    /// Maximum pause before a reconnect.
    pub reconnect_max: Duration,
}

/// Settings with which the agent obtains a certificate, which it keeps in its data directory.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// Certificates of the CAs that the agent trusts.
    pub ca_file: PathBuf,
    /// Enrolment token; not needed while a valid certificate is stored.
    pub token: Option<Token>,
}

/// Source of the enrolment token.
#[derive(Clone)]
pub enum Token {
    /// File that holds the token; read at each use.
    File(PathBuf),
    /// Token text.
    Text(String),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the token in {}", path.display()),
            Self::Text(_) => f.write_str("a token"),
        }
    }
}

impl Config {
    /// Creates a configuration with the defaults: 4 parallel orders, scripts that outlive the
    /// agent, 200 ms to 30 s between reconnects, no proxy.
    pub fn new(worker_urls: Vec<String>, desktop: Desktop, data_dir: PathBuf, runner: RunnerProgram) -> Self {
        Self {
            worker_urls,
            tls: None,
            enrolment: None,
            proxies: mtls::ProxySettings::default(),
            desktop,
            data_dir,
            max_parallel: 4,
            runner,
            run_as_user: None,
            powershell: None,
            power: Power::default(),
            ends_scripts: false,
            is_supervised: false,
            reconnect_min: Duration::from_millis(200),
            reconnect_max: Duration::from_secs(30),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = if self.worker_urls.is_empty() {
            "no worker URL: set --worker"
        } else if self.tls.is_some() && self.enrolment.is_some() {
            "a certificate and an enrolment exclude each other"
        } else if !self.has_certificate() && self.desktop.project_id.is_empty() {
            "no project id: set --project"
        } else if !self.has_certificate() && self.desktop.desktop_id.is_empty() {
            "no desktop id: set --desktop-id"
        } else if self.max_parallel == 0 {
            "max_parallel is 0; it must be at least 1"
        } else if self.reconnect_min > self.reconnect_max {
            "reconnect_min is longer than reconnect_max"
        } else {
            return Ok(());
        };
        Err(Error::Config(wrong.to_owned()))
    }

    /// Whether the agent has a certificate or will enrol for one.
    pub(crate) fn has_certificate(&self) -> bool {
        self.tls.is_some() || self.enrolment.is_some()
    }

    /// Takes project and desktop ids from the certificate where the configuration has none. After
    /// an enrolment the certificate's desktop id wins over the proposed one; a different project is
    /// an error.
    pub(crate) fn take_identity(&mut self, identity: &Identity, is_enrolled: bool) -> Result<(), Error> {
        let Identity::Desktop { project_id, desktop_id } = identity else {
            return Err(Error::Config(format!("the certificate names {identity}, which is not a desktop")));
        };
        let desktop = &mut self.desktop;
        if is_enrolled && !desktop.project_id.is_empty() && desktop.project_id != *project_id {
            let wrong =
                format!("the certificate is for project {project_id}, not for {}", desktop.project_id);
            return Err(Error::Config(wrong));
        }
        if is_enrolled && !desktop.desktop_id.is_empty() && desktop.desktop_id != *desktop_id {
            let proposed = &desktop.desktop_id;
            tracing::warn!(desktop_id, proposed, "the certificate's desktop id replaces the proposed one");
        }
        if desktop.computer_name.is_empty() || desktop.computer_name == desktop.desktop_id {
            desktop.computer_name.clone_from(desktop_id);
        }
        if is_enrolled || desktop.project_id.is_empty() {
            desktop.project_id.clone_from(project_id);
        }
        if is_enrolled || desktop.desktop_id.is_empty() {
            desktop.desktop_id.clone_from(desktop_id);
        }
        Ok(())
    }
}

/// Environment variable with the version that an agent of a test reports. No release reads it.
#[cfg(debug_assertions)]
const VERSION_VARIABLE: &str = "GRAYWAVE_TEST_AGENT_VERSION";

/// Version that the agent reports: its own.
fn reported_version() -> String {
    #[cfg(debug_assertions)]
    if let Ok(version) = std::env::var(VERSION_VARIABLE) {
        return version;
    }
    env!("CARGO_PKG_VERSION").to_owned()
}

/// This machine as a desktop. Its computer name is the desktop id until the caller sets another
/// one. Facts that change are read for each connection.
pub fn this_machine(project_id: String, desktop_id: String) -> Desktop {
    let os_type = match std::env::consts::OS {
        "windows" => "Windows",
        "macos" => "macOS",
        _ => "Linux",
    };
    let desktop = Desktop {
        live_output: true,
        project_id,
        computer_name: desktop_id.clone(),
        desktop_id,
        os_type: os_type.to_owned(),
        agent_version: reported_version(),
        ..Desktop::default()
    };
    facts::refresh(&desktop, Path::new("/"), None)
}
