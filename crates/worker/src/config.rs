//! Settings of the worker.

use domain::limits;
use serde::Deserialize;

/// `[worker]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Listen address for agents.
    pub listen: String,
    /// URLs of the schedulers, as `http://host:port`; all of them are used.
    pub scheduler_urls: Vec<String>,
    /// Maximum number of targets in flight.
    pub capacity: u32,
    /// Maximum number of connected agents; further agents are refused and dial another worker.
    pub max_agents: usize,
    /// Time in milliseconds that a shutdown waits for running scripts.
    pub drain_timeout_ms: u64,
    /// Whether machines without a certificate may enrol here with a token. They may call only the
    /// enrolment service.
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
    /// Checks the limits of the settings; the error names the setting and its limit.
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
