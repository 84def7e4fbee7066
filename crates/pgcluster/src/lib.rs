//! Private Postgres cluster on the installed binaries: created, started and stopped by this
//! process.
//!
//! `graywave dev` keeps one under its data directory; tests and benchmarks discard theirs. The
//! server refuses to run as root, so for a root caller the cluster belongs to an ordinary user. A
//! machine without Postgres gets one: [`provide_binaries`].

pub mod apt;
mod binaries;
mod cluster;
mod embedded;
mod error;
mod installation;
mod port;
mod provide;
mod user;

pub use binaries::{Wanted, find_binaries, find_wanted};
pub use cluster::{Cluster, Durability, Options, check_directory};
pub use embedded::download_binaries;
pub use error::Error;
pub use installation::{ARCHIVE_VARIABLE, BINARIES_VARIABLE, Binaries, OLDEST_MAJOR};
pub use port::{free_addresses, free_ports};
pub use provide::provide_binaries;
pub use user::{User, ordinary_user};
