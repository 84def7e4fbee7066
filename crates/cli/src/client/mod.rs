//! The client of the control plane: addresses, credentials, contexts and calls.

mod address;
mod certificates;
mod connect_failure;
mod connect_options;
mod connection_args;
mod contexts;
mod probe;
mod recognition;
mod server_kind;
mod session;
mod tasks;
mod wrong_server;

pub(crate) use address::Address;
pub(crate) use certificates::own_identity;
pub(crate) use connect_options::ConnectOptions;
pub(crate) use connection_args::{ConnectionArgs, DEFAULT_GRPC};
pub(crate) use contexts::{Context, Contexts, offered};
pub(crate) use session::{Session, repeated};
pub(crate) use tasks::{get_task, newest_tasks};
pub(crate) use wrong_server::WrongServer;
