//! The event log of Windows.

use std::{
    io,
    ptr::{null, null_mut},
};

use windows_registry::LOCAL_MACHINE;
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE,
    RegisterEventSourceW, ReportEventW,
};

use crate::{check, wide};

/// Key of the sources of the log for applications.
const SOURCES: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application";
/// Program of Windows whose messages 1 to 1000 are the given text alone.
const MESSAGES: &str = r"%SystemRoot%\System32\EventCreate.exe";
/// Kinds of events: error, warning, information.
const KINDS: u32 = 7;

/// Importance of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The program failed.
    Error,
    /// The program goes on, and a person should look.
    Warning,
    /// A step of the program's life.
    Information,
}

/// Registers a source, so that the log shows its texts.
///
/// # Errors
///
/// If the user may not write this part of the registry.
pub fn install_source(name: &str) -> io::Result<()> {
    let key = LOCAL_MACHINE.create(format!(r"{SOURCES}\{name}"))?;
    key.set_expand_string("EventMessageFile", MESSAGES)?;
    key.set_u32("TypesSupported", KINDS)?;
    Ok(())
}

/// Removes a source.
///
/// # Errors
///
/// If there is no such source, or the user may not remove it.
pub fn uninstall_source(name: &str) -> io::Result<()> {
    Ok(LOCAL_MACHINE.remove_tree(format!(r"{SOURCES}\{name}"))?)
}

/// Writes an event. `id` is between 1 and 1000.
///
/// # Errors
///
/// If the log does not answer.
pub fn report(source: &str, level: Level, id: u32, text: &str) -> io::Result<()> {
    let kind = match level {
        Level::Error => EVENTLOG_ERROR_TYPE,
        Level::Warning => EVENTLOG_WARNING_TYPE,
        Level::Information => EVENTLOG_INFORMATION_TYPE,
    };
    let (source, text) = (wide(source), wide(text.replace('\0', "\u{fffd}")));
    // SAFETY: the name ends with a zero; a null server is this machine.
    let log = unsafe { RegisterEventSourceW(null(), source.as_ptr()) };
    if log.is_null() {
        return Err(io::Error::last_os_error());
    }
    let texts = [text.as_ptr()];
    // SAFETY: the handle is open, and the only text ends with a zero.
    let written = check(unsafe { ReportEventW(log, kind, 0, id, null_mut(), 1, 0, texts.as_ptr(), null()) });
    // SAFETY: the handle is open, and nothing uses it any more.
    let closed = check(unsafe { DeregisterEventSource(log) });
    written.and(closed)
}
