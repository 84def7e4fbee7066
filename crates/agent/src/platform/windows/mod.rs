//! Windows: access control lists, named pipes, sessions and the registry.

mod account;
mod facts;
mod files;
mod interpreter;
mod pipe;
mod power;
mod process;
mod scripts_dir;
mod service;
mod supervision;

pub(crate) use account::{account, environment, look_up};
pub(crate) use facts::{host_name, is_noexec, os_version};
#[cfg(test)]
pub(crate) use files::full_disk;
pub(crate) use files::{
    add_permissions, create_private_dir, create_private_subdirectory, leads_nowhere, lock_directory,
    make_usable, new_private_file, open_lock_file, replace_file, write_script,
};
pub(crate) use interpreter::{batch, powershell, shell};
pub(crate) use pipe::{ControlStream, LocalListener, connect, connect_local, control_pair};
pub(crate) use power::{active_users, power_command, show_message};
pub(crate) use process::detach;
pub use process::{run_as_init, stop_requested};
pub(crate) use scripts_dir::{ScriptsDir, create_run_directory, is_obstacle, occupied};
pub use service::{default_data_dir, enter_data_dir, install_service, run_service, uninstall_service};
pub use supervision::is_supervised;
pub(crate) use supervision::{notify_ready, notify_status, notify_stopping};
