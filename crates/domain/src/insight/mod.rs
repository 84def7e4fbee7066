//! Explanations of what happened, and what other thresholds would have done.

pub mod explain;
pub mod what_if;
