//! The worker's settings.

use domain::limits;
use serde::Deserialize;

/// `[worker]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address on which agents are waited for.
    pub listen: String,
    /// Schedulers to talk to, `http://host:port`; all of them are used.
    pub scheduler_urls: Vec<String>,
    /// Targets held at once.
    pub capacity: u32,
    /// Agents connected at once; more are refused and go elsewhere.
    pub max_agents: usize,
    /// How long running scripts are waited for at a stop, in milliseconds.
    pub drain_timeout_ms: u64,
    /// Whether machines without a certificate may enrol here, with a token. It lets strangers in for that alone.
    pub enrolment: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:9443".into(),
            scheduler_urls: vec!["http://127.0.0.1:9090".into()],
            capacity: 10_000,
            max_agents: 50_000,
            drain_timeout_ms: 30_000,
            enrolment: false,
        }
    }
}

impl Config {
    /// What is wrong with the settings, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.scheduler_urls.is_empty() {
            return Err("worker.scheduler_urls is empty: name at least one scheduler".into());
        }
        if self.capacity == 0 || self.capacity > limits::MAX_WORKER_CAPACITY {
            return Err(format!("worker.capacity must be 1 to {}", limits::MAX_WORKER_CAPACITY));
        }
        Ok(())
    }
}
