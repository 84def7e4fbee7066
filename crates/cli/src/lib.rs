//! Operator commands over admin gRPC.

mod actions;
mod args;
mod client;
mod commands;
mod completion;
mod error;
mod exit_status;
mod field_flags;
mod follow;
mod format;
mod live;
mod number;
mod output;
mod sanitize;
mod task_arg;
mod tui;

pub use args::pair;
pub use commands::{AuditVerifyArgs, Command, VerdictFormat};
pub use error::Error;
pub use exit_status::ExitStatus;
pub use number::number;
pub use output::{plain_table, print};
