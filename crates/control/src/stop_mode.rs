//! Treatment of running scripts by a stop.

/// Treatment of running scripts by a stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StopMode {
    /// Running scripts run to their end.
    Drain,
    /// Running scripts are killed. The default.
    #[default]
    Kill,
}
