//! The scheduler's settings.

use serde::Deserialize;

/// `[scheduler]` of the configuration. All times in milliseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address on which workers and gRPC admin clients are waited for.
    pub listen: String,
    /// Connections open at once, of workers and admin clients; more are closed.
    pub max_connections: usize,
    /// How long a worker may hold a batch without renewing its lease.
    pub lease_ms: u32,
    /// How often workers are asked to send a heartbeat.
    pub heartbeat_ms: u32,
    /// A worker that was not heard of for this long has lost its desktops and its leases.
    pub worker_timeout_ms: u32,
    /// How often every loop runs although nothing woke it.
    pub period_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "0.0.0.0:9090".into(),
            max_connections: 2_000,
            lease_ms: 30_000,
            heartbeat_ms: 3_000,
            worker_timeout_ms: 15_000,
            period_ms: 1_000,
        }
    }
}

impl Config {
    /// What is wrong with the settings, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.max_connections == 0 {
            return Err("scheduler.max_connections must be at least 1".into());
        }
        if self.period_ms == 0 || self.heartbeat_ms == 0 {
            return Err("scheduler.period_ms and scheduler.heartbeat_ms must be at least 1".into());
        }
        if self.worker_timeout_ms < self.heartbeat_ms.saturating_mul(2) {
            return Err("scheduler.worker_timeout_ms must be at least twice scheduler.heartbeat_ms".into());
        }
        if self.lease_ms < self.period_ms.saturating_mul(2) {
            return Err("scheduler.lease_ms must be at least twice scheduler.period_ms".into());
        }
        Ok(())
    }
}
