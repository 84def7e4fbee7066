//! Settings of the worker.

use domain::{
    limits,
    worker_memory::{self, DEFAULT_MAX_AGENTS, DoesNotFit, MemoryLimit},
};
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
    /// Maximum number of connected agents; further agents are refused and dial another worker. If
    /// unset, as many as fit into the memory.
    pub max_agents: Option<usize>,
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
            max_agents: None,
            drain_timeout_ms: 30_000,
            enrolment: false,
        }
    }
}

impl Config {
    /// Returns the maximum number of connected agents.
    pub(crate) fn max_agents(&self) -> usize {
        self.max_agents.unwrap_or(DEFAULT_MAX_AGENTS)
    }

    /// Derives the maximum number of connected agents from the memory, or checks that the
    /// configured one fits.
    ///
    /// # Errors
    ///
    /// The configured number does not fit, or none fits.
    pub fn with_memory(self, limit: Option<MemoryLimit>) -> Result<Self, DoesNotFit> {
        let max_agents = worker_memory::max_agents(self.max_agents, limit)?;
        Ok(Self { max_agents: Some(max_agents), ..self })
    }

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
