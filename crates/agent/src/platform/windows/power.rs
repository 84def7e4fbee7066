//! Users by their sessions, and power by the program `shutdown`.

use std::{ffi::OsString, io};

use win32::session;

use crate::{blocking::blocking, way_down::Way};

/// Names of the users with an active session; `None` if the system refuses the list.
pub(crate) async fn active_users() -> Option<Vec<String>> {
    let users = blocking(session::active_users).await;
    users.inspect_err(|error| tracing::warn!(%error, "reading the sessions failed")).ok()
}

/// Shows a message in each active session.
pub(crate) async fn show_message(message: &str) -> io::Result<()> {
    let message = message.to_owned();
    blocking(move || session::show_message("Graywave", &message)).await
}

/// Command that lets the desktop go down. A restart is never a fast startup, and `/s` without
/// `/hybrid` is a whole shutdown.
pub(crate) fn power_command(way: Way) -> (&'static str, Vec<OsString>) {
    let flag = if way == Way::Reboot { "/r" } else { "/s" };
    ("shutdown.exe", [flag, "/t", "0", "/f", "/d", "p:4:1"].map(OsString::from).to_vec())
}
