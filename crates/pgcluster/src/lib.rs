//! Private Postgres cluster on the installed binaries: created, started and stopped by this
//! process.
//!
//! `graywave dev` keeps one under its data directory; tests and benchmarks discard theirs. The
//! server refuses to run as root, so for a root caller the cluster belongs to an ordinary user.

mod binaries;
mod cluster;
mod error;
mod port;

pub use binaries::{User, find_binaries, ordinary_user};
pub use cluster::{Cluster, Durability, Options};
pub use error::Error;
pub use port::{free_addresses, free_ports};
