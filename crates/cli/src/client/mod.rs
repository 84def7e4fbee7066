//! The client of the control plane: addresses, credentials, contexts and calls.

mod connect_options;
mod connection_args;
mod contexts;
mod session;
mod tasks;

pub(crate) use connect_options::ConnectOptions;
pub(crate) use connection_args::{ConnectionArgs, DEFAULT_GRPC};
pub(crate) use contexts::{Context, Contexts, offered};
pub(crate) use session::{Session, repeated, tls};
pub(crate) use tasks::{get_task, newest_tasks, tasks_of};
