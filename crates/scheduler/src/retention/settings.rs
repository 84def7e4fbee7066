//! Settings of the retention periods.

use domain::limits::MAX_KEEP_DAYS;
use serde::Deserialize;

/// `[retention]` of the configuration. 0 days means forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days that an ended task and its rows are kept. Default: 90.
    pub tasks_days: u32,
    /// Days that an audit entry is kept. Default: 400.
    pub audit_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { tasks_days: 90, audit_days: 400 }
    }
}

impl Retention {
    /// Checks the limits of the settings; the error names the setting and its limit.
    pub fn check(&self) -> Result<(), String> {
        if self.tasks_days > MAX_KEEP_DAYS || self.audit_days > MAX_KEEP_DAYS {
            return Err(format!(
                "retention.tasks_days and retention.audit_days must be at most {MAX_KEEP_DAYS}; 0 means forever"
            ));
        }
        Ok(())
    }
}
