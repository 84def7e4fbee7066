//! The roles, each one process. They are composed only here.

mod api;
pub(crate) mod certificates;
mod check;
mod database;
mod grpc;
pub(crate) mod health;
pub(crate) mod healthcheck;
mod http;
mod memory;
mod operators;
mod scheduler;
mod worker;

pub(crate) use api::{api, serve_api};
pub(crate) use check::check;
pub(crate) use database::{MigrateArgs, bind, control, database_seen, migrate, migrate_store, watched};
pub(crate) use operators::OperatorListener;
pub(crate) use scheduler::{Admin, RoleServer, scheduler, serve_scheduler};
pub(crate) use worker::worker;
