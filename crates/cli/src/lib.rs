//! Operator commands over admin gRPC.

mod actions;
mod args;
mod client;
mod commands;
mod completion;
mod duration;
mod error;
mod exit_status;
mod field_flags;
mod follow;
mod format;
mod id_prefix;
mod live;
mod number;
mod output;
mod reason_flags;
mod sanitize;
mod script_arg;
mod server_kind;
mod task_arg;
mod tui;
mod wrong_server;

pub use args::pair;
pub use commands::{AuditVerifyArgs, Command, DatabaseFormat};
pub use duration::{DAYS_OR_HOURS, duration, enrolment_hours};
pub use error::Error;
pub use exit_status::ExitStatus;
pub use number::number;
pub use output::{plain_table, print};
