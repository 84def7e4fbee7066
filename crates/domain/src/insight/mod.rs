//! Explanations of past events, and replays under other thresholds.

pub mod attention;
pub mod explain;
pub mod map;
pub mod what_if;
