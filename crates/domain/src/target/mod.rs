//! Targets of a task and the desktops behind them.

pub mod claim;
pub mod cut;
pub mod deadline;
pub mod desktop;
pub mod stratum;
pub mod suspect;
pub mod tags;
