//! Settings of the scheduler.

use serde::Deserialize;

/// `[scheduler]` of the configuration. All times are in milliseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Listen address for workers and gRPC admin clients.
    pub listen: String,
    /// Maximum number of open connections from workers and admin clients; further ones are closed.
    pub max_connections: usize,
    /// Lifetime of a batch lease without a renewal.
    pub lease_ms: u32,
    /// Interval at which workers send heartbeats.
    pub heartbeat_ms: u32,
    /// Time without a heartbeat after which a worker loses its desktops and its leases.
    pub worker_timeout_ms: u32,
    /// Interval at which every loop runs without a wake-up.
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
    /// Checks the limits of the settings; the error names the setting and its limit.
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
