//! Operator commands, one module each.

mod access;
mod approve;
mod audit;
mod certificates;
mod command;
mod common_args;
mod config;
mod confirm;
mod desktop_filter;
mod desktop_tags;
mod desktop_view;
mod desktops;
mod failure_summary;
mod guard;
mod insight;
mod lifecycle;
mod limits;
mod login;
mod logs;
mod plan;
mod preview;
mod project;
mod project_status;
mod record_stream;
mod records;
mod retry;
mod run;
mod scripts;
mod task_totals;
mod task_watch;
mod tasks;
mod what_if;
mod workers;

pub use audit::{AuditVerifyArgs, VerdictFormat};
pub use command::Command;
use common_args::{CommonArgs, TaskArgs};
