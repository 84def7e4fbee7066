//! The stop of the machine, as a process without a window learns it.

use std::{io, sync::OnceLock};

use windows_sys::{
    Win32::System::Console::{
        CTRL_BREAK_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT, SetConsoleCtrlHandler,
    },
    core::BOOL,
};

use crate::check;

static ON_STOP: OnceLock<Box<dyn Fn() + Send + Sync>> = OnceLock::new();

/// Calls a function when this process is asked to end: the machine stops, or its console is closed.
/// Ctrl-C is ignored, because a script could send it. Only the first call counts.
///
/// The system ends the process when the function returns, so it may block.
///
/// # Errors
///
/// If the system refuses the handler.
pub fn on_stop(stop: impl Fn() + Send + Sync + 'static) -> io::Result<()> {
    if ON_STOP.set(Box::new(stop)).is_err() {
        return Ok(());
    }
    // SAFETY: the handler is a function of this program, and may run on any thread.
    check(unsafe { SetConsoleCtrlHandler(Some(handle), 1) })
}

extern "system" fn handle(event: u32) -> BOOL {
    match event {
        CTRL_BREAK_EVENT | CTRL_CLOSE_EVENT | CTRL_SHUTDOWN_EVENT => {
            if let Some(stop) = ON_STOP.get() {
                stop();
            }
            1
        }
        // A service lives on when a user leaves. Without this answer the process would end.
        CTRL_LOGOFF_EVENT => 1,
        _ => 1,
    }
}
