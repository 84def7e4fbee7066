//! Everything that differs between operating systems.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;

pub(crate) use system::{Host, LOCAL_TEXT, TERMINATED_CODES, enter, reserve, run_as, sync_new_file};
pub use system::{boot_id, contain_processes, kill_processes, running_ids};
