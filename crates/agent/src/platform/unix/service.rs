//! Services belong to the service manager of the system, such as systemd.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use tokio_util::sync::CancellationToken;

/// Data directory without `--data-dir`: there is no default.
pub fn default_data_dir() -> Option<PathBuf> {
    None
}

/// Registers nothing.
///
/// # Errors
///
/// Always.
pub fn install_service(_arguments: Vec<OsString>, _data_dir: &Path) -> io::Result<()> {
    Err(no_services())
}

/// Enters nothing.
///
/// # Errors
///
/// Always.
pub fn enter_data_dir(_data_dir: &Path, _log: &str) -> io::Result<PathBuf> {
    Err(no_services())
}

/// Removes nothing.
///
/// # Errors
///
/// Always.
pub fn uninstall_service() -> io::Result<()> {
    Err(no_services())
}

/// Runs nothing.
///
/// # Errors
///
/// Always.
pub fn run_service<E: ToString>(
    _main: impl FnOnce(CancellationToken, &dyn Fn()) -> Result<(), E> + Send + 'static,
) -> io::Result<()> {
    Err(no_services())
}

fn no_services() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "services exist only on Windows; use a unit of systemd here")
}
