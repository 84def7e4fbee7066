//! What an agent needs to know, and what it can say of its machine.

use std::{fmt, path::PathBuf, time::Duration};

use mtls::Identity;
use proto::types::Desktop;

use crate::Error;

/// The variable that may hold a token. Scripts do not get it.
pub const TOKEN_VARIABLE: &str = "GRAYWAVE_AGENT_ENROLMENT_TOKEN";

/// What an agent needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Workers to dial, as `http://host:port`; the next is tried when one fails.
    pub worker_urls: Vec<String>,
    /// The certificate that says whose agent this is; without one only workers on this machine are dialled.
    pub tls: Option<mtls::Files>,
    /// How the agent gets its certificate where it was given none.
    pub enrolment: Option<Enrolment>,
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

/// How the agent gets its certificate, and keeps it in its data directory.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// The certificates of the CAs whose workers are trusted.
    pub ca_file: PathBuf,
    /// What is shown once; a certificate that is there already needs none.
    pub token: Option<Token>,
}

/// Where the enrolment token is.
#[derive(Clone)]
pub enum Token {
    /// In a file, which is read when it is needed.
    File(PathBuf),
    /// Here.
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
    /// A configuration with the defaults: 4 orders at once, 200 ms to 30 s between reconnects.
    pub fn new(worker_urls: Vec<String>, desktop: Desktop, data_dir: PathBuf) -> Self {
        Self {
            worker_urls,
            tls: None,
            enrolment: None,
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
        } else if self.tls.is_some() && self.enrolment.is_some() {
            "either a certificate or an enrolment, and not both"
        } else if !self.has_certificate() && self.desktop.project_id.is_empty() {
            "no project id"
        } else if !self.has_certificate() && self.desktop.desktop_id.is_empty() {
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

    /// Whether it has one or will get one, which says who it is.
    pub(crate) fn has_certificate(&self) -> bool {
        self.tls.is_some() || self.enrolment.is_some()
    }

    /// Takes who it is from its certificate, where the configuration does not say. One that was enrolled goes by its certificate
    /// whatever name was proposed; its project cannot be another than was meant.
    pub(crate) fn take_identity(&mut self, identity: &Identity, is_enrolled: bool) -> Result<(), Error> {
        let Identity::Desktop { project_id, desktop_id } = identity else {
            return Err(Error::Config(format!("the certificate is of {identity}, which is no desktop")));
        };
        let desktop = &mut self.desktop;
        if is_enrolled && !desktop.project_id.is_empty() && desktop.project_id != *project_id {
            let wrong =
                format!("the certificate is of project {project_id}, and not of {}", desktop.project_id);
            return Err(Error::Config(wrong));
        }
        if is_enrolled && !desktop.desktop_id.is_empty() && desktop.desktop_id != *desktop_id {
            let proposed = &desktop.desktop_id;
            tracing::warn!(desktop_id, proposed, "the desktop's id is that of its certificate");
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
