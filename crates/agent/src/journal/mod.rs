//! Journal of orders: events written before and after a script runs.

mod agent_id;
mod event;
mod file;
mod state;

pub(crate) use agent_id::renew;
pub(crate) use event::{Event, GoDown, IfUserActive, Key, Record, RunFacts, Span};
pub(crate) use file::{DataDir, Journal, open_data_dir};
pub(crate) use state::{JournalState, RunningOrder};
