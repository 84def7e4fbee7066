//! Operator commands, one module each.

mod approve;
mod audit;
mod certificates;
mod command;
mod common_args;
mod config;
mod confirm;
mod desktops;
mod guard;
mod insight;
mod lifecycle;
mod limits;
mod login;
mod logs;
mod preview;
mod project;
mod record_stream;
mod records;
mod retry;
mod run;
mod scripts;
mod tasks;
mod what_if;
mod workers;

pub use audit::{AuditVerifyArgs, VerdictFormat};
pub use command::Command;
use common_args::{CommonArgs, TaskArgs};
