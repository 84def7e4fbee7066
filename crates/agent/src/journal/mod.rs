//! The journal of orders: what is written down before and after a script runs.

mod agent_id;
mod book;
mod event;
mod file;

pub(crate) use book::Book;
pub(crate) use event::{Event, Key, Record, Span};
pub(crate) use file::{DataDir, Journal, blocking, open_data_dir};
