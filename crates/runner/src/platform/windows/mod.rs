//! Windows: job objects, named pipes and sessions.

mod boot;
mod control;
mod host;

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::{self, Path, PathBuf},
    process::ExitCode,
};

pub use boot::boot_id;
pub(crate) use host::Host;

use crate::{Containment, LeftProcess, text::CodePage};

/// Exit codes of a process that the machine ended: `STATUS_CONTROL_C_EXIT`, which a stop of the
/// machine gives to console programs, and `DBG_TERMINATE_PROCESS`.
pub(crate) const TERMINATED_CODES: [i32; 2] = [0xC000_013A_u32.cast_signed(), 0x4001_0004];

/// Scripts are tracked by a job object.
pub fn contain_processes() -> Containment {
    Containment::Job
}

/// Finds no runner: a process does not show its environment to another one.
pub fn running_ids(_prefixes: &[String], _entry: &str) -> Vec<String> {
    Vec::new()
}

/// Finds no process: the job of a script kills them together with the runner.
pub fn kill_processes(_id: &str, _cgroup: Option<&Path>) -> Vec<LeftProcess> {
    Vec::new()
}

/// Runs nothing: the runner itself starts a script as its user.
pub(crate) fn run_as(_arguments: &[OsString]) -> Option<ExitCode> {
    None
}

/// Absolute path of a run directory. The working directory stays: no directory can be removed while
/// a process works in it.
pub(crate) fn enter(run_dir: &Path) -> io::Result<PathBuf> {
    path::absolute(run_dir)
}

/// Makes a new file with its name durable: no directory can be synced.
pub(crate) fn sync_new_file(file: &File, _dir: &Path) -> io::Result<()> {
    file.sync_all()
}

/// Reserves space for a file by its length. Best effort.
pub(crate) fn reserve(file: &File, bytes: u64) {
    drop(file.set_len(bytes));
}

/// OEM code page, in which console programs write by default.
pub(crate) const LOCAL_TEXT: Option<CodePage> = Some(win32::text::from_oem);
