//! A private Postgres cluster on the installed binaries: made, started and stopped by this process.
//!
//! Used by `graywave dev` (kept under its data directory) and by tests and benchmarks (thrown away). The server
//! refuses to run as root, so when the caller is root the cluster belongs to an ordinary user.

mod binaries;
mod cluster;
mod error;
mod port;

pub use binaries::{User, find_binaries, ordinary_user};
pub use cluster::{Cluster, Durability, Options};
pub use error::Error;
pub use port::{free_addresses, free_ports};
