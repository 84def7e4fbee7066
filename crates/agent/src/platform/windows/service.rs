//! The agent as a service of Windows.

use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use tokio_util::sync::CancellationToken;
use win32::{
    event_log::{self, Level},
    service::{self, Registration, Service},
};

use super::files;

/// Name of the service and of its source in the event log.
const NAME: &str = "graywave-agent";
const DISPLAY_NAME: &str = "Graywave agent";
const DESCRIPTION: &str = "Runs the scripts that Graywave rolls out to this desktop.";

/// Ids of events.
const STARTED: u32 = 1;
const STOPPED: u32 = 2;
const FAILED: u32 = 3;

/// Data directory without `--data-dir`: `%ProgramData%\Graywave`.
pub fn default_data_dir() -> Option<PathBuf> {
    env::var_os("ProgramData").map(|directory| Path::new(&directory).join("Graywave"))
}

/// Registers this program as a service with these arguments, and its source in the event log.
/// Creates the data directory with its access rights.
///
/// # Errors
///
/// If the user is no administrator.
pub fn install_service(arguments: Vec<OsString>, data_dir: &Path) -> io::Result<()> {
    files::create_private_dir(data_dir)?;
    event_log::install_source(NAME)?;
    let registration = Registration {
        name: NAME,
        display_name: DISPLAY_NAME,
        description: DESCRIPTION,
        program: env::current_exe()?,
        arguments,
    };
    registration.install()
}

/// Creates the data directory of a service with its access rights, and in it a directory for log
/// files. The process works there from then on. Call it before anything writes to the directory.
///
/// # Errors
///
/// If the directory or one above it is a link or belongs to another user.
pub fn enter_data_dir(data_dir: &Path, log: &str) -> io::Result<PathBuf> {
    let log_dir = data_dir.join(log);
    files::create_private_dir(data_dir)?;
    files::create_private_dir(&log_dir)?;
    // A service starts in the directory of Windows, where nothing of it belongs.
    env::set_current_dir(data_dir)?;
    Ok(log_dir)
}

/// Removes the service and its source in the event log. The data directory stays.
///
/// # Errors
///
/// If there is no service, or the user is no administrator.
pub fn uninstall_service() -> io::Result<()> {
    service::uninstall(NAME)?;
    match event_log::uninstall_source(NAME) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Runs as the service that the service control manager has started. `main` gets the token of the
/// stop, and a function that tells the manager that the service runs. Its error is written to the
/// event log.
///
/// # Errors
///
/// If the service control manager has not started this process.
pub fn run_service<E: ToString>(
    main: impl FnOnce(CancellationToken, &dyn Fn()) -> Result<(), E> + Send + 'static,
) -> io::Result<()> {
    let stop = CancellationToken::new();
    let of_main = stop.clone();
    service::run(
        NAME,
        move || stop.cancel(),
        move |service| {
            let set_running = || running(service);
            match main(of_main, &set_running) {
                Ok(()) => {
                    report(Level::Information, STOPPED, "The agent has stopped.");
                    true
                }
                Err(error) => {
                    report(Level::Error, FAILED, &format!("The agent failed: {}", error.to_string()));
                    false
                }
            }
        },
    )
}

fn running(service: &Service) {
    if let Err(error) = service.set_running() {
        tracing::error!(%error, "the service control manager does not answer");
    }
    report(Level::Information, STARTED, "The agent has started.");
}

fn report(level: Level, id: u32, text: &str) {
    if let Err(error) = event_log::report(NAME, level, id, text) {
        tracing::warn!(%error, "writing to the event log failed");
    }
}
