//! How long things are kept.

use domain::limits::MAX_KEEP_DAYS;
use serde::Deserialize;

/// `[retention]` of the configuration. 0 days is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days that a task is kept after its end, with all that belongs to it.
    pub tasks_days: u32,
    /// Days that an entry of the audit is kept.
    pub audit_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { tasks_days: 90, audit_days: 400 }
    }
}

impl Retention {
    /// What is wrong with the settings, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.tasks_days > MAX_KEEP_DAYS || self.audit_days > MAX_KEEP_DAYS {
            return Err(format!(
                "retention.tasks_days and retention.audit_days must be at most {MAX_KEEP_DAYS}; 0 is for ever"
            ));
        }
        Ok(())
    }
}
