//! Shared harness of tests and tools: a database per test, use cases over it, clusters of
//! processes, and a client of the REST API.

#[cfg(feature = "in-process")]
mod build;
#[cfg(feature = "in-process")]
mod clock;
#[cfg(feature = "in-process")]
mod database;
#[cfg(feature = "in-process")]
mod database_roles;
mod dev_cluster;
#[cfg(feature = "in-process")]
mod environment;
mod fuzz;
mod process;
mod rest;
#[cfg(feature = "in-process")]
mod seed_large;

#[cfg(feature = "in-process")]
pub use build::{Submit, desktop, desktop_id, project, submit};
#[cfg(feature = "in-process")]
pub use clock::TestClock;
#[cfg(feature = "in-process")]
pub use database::{TestDatabase, database, empty_database};
#[cfg(feature = "in-process")]
pub use database_roles::DatabaseRoles;
pub use dev_cluster::{DevCluster, Ready};
#[cfg(feature = "in-process")]
pub use environment::{TestEnvironment, script_report};
pub use fuzz::fuzz;
pub use process::{Process, binary, directory, graywave, role};
pub use rest::{Answer, Rest};
#[cfg(feature = "in-process")]
pub use seed_large::{LargeDatabase, LargeSize, seed_large};
