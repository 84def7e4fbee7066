//! Distributions of durations.

use serde::Serialize;

/// Distribution of measurements in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) tries: u32,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latency {
    /// Sorts the measurements, in milliseconds.
    pub(crate) fn new(mut ms: Vec<f64>) -> Self {
        ms.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            ms.get((ms.len() * percent / 100).min(ms.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        Self { tries: u32::try_from(ms.len()).unwrap_or(u32::MAX), p50: at(50), p99: at(99), max: at(100) }
    }
}
