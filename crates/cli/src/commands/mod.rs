//! Operator commands, one module each.

mod audit;
mod certificates;
mod command;
mod common_args;
mod config;
mod desktops;
mod insight;
mod lifecycle;
mod login;
mod logs;
mod logs_all;
mod preview;
mod project;
mod record_stream;
mod records;
mod retry;
mod run;
mod run_output;
mod scripts;
mod tasks;
mod what_if;
mod workers;

pub use audit::{AuditVerifyArgs, VerdictFormat};
pub use command::Command;
use common_args::{CommonArgs, TaskArgs};
