//! Explanations of past events, and replays under other thresholds.

pub mod explain;
pub mod what_if;
