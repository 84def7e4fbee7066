//! The client of the control plane: addresses, credentials, contexts and calls.

mod address;
mod certificates;
mod comparison;
mod connect_failure;
mod connect_options;
mod connection_args;
mod contexts;
mod probe;
mod recognition;
mod session;
mod target;
mod tasks;

pub(crate) use address::Address;
pub(crate) use certificates::{load as load_certificates, own_identity};
pub(crate) use connect_options::ConnectOptions;
pub(crate) use connection_args::{ConnectionArgs, DEFAULT_GRPC};
pub(crate) use contexts::{Context, Contexts, offered};
pub(crate) use session::{Session, repeated};
pub(crate) use tasks::{get_task, newest_tasks, tasks_of};
