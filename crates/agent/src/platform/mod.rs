//! Everything that differs between operating systems.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;

use std::{io, path::PathBuf};

/// Entries of a directory that could not be removed.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// First entries with their causes; each path begins with the name of the directory.
    pub(crate) reported: Vec<(PathBuf, io::Error)>,
    /// Number of all unremovable entries.
    pub(crate) count: u64,
}

/// Interpreter of scripts of one type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Absolute path.
    pub(crate) path: String,
    /// Arguments before the script's file.
    pub(crate) args: Vec<String>,
    /// All arguments as the program reads them, for a program with rules of its own.
    pub(crate) raw_args: Option<String>,
}

#[cfg(test)]
pub(crate) use system::full_disk;
pub(crate) use system::{
    ControlStream, LocalListener, ScriptsDir, account, active_users, add_permissions, batch, connect,
    connect_local, control_pair, create_private_dir, create_private_subdirectory, create_run_directory,
    detach, environment, host_name, is_noexec, is_obstacle, leads_nowhere, lock_directory, look_up,
    make_usable, new_private_file, notify_ready, notify_status, notify_stopping, occupied, open_lock_file,
    os_version, power_command, powershell, replace_file, shell, show_message, write_script,
};
pub use system::{
    default_data_dir, enter_data_dir, install_service, is_supervised, run_as_init, run_service,
    stop_requested, uninstall_service,
};
