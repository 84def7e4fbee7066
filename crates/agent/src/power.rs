//! Power of the desktop: its boot, its users, and how it goes down.

use std::{io, path::PathBuf};

use crate::{blocking::blocking, platform, system_command::output, way_down::Way};

/// How an agent reboots its desktop and powers it off.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Power {
    /// By the commands of the operating system.
    #[default]
    System,
    /// By a program with one argument: `boot-id` prints the id of the present boot, `users` prints
    /// the names of active users, one per line, `ask` shows a message to them, `reboot` and `stop`
    /// let the desktop go down.
    Program(PathBuf),
    /// Not at all: orders that would need it are rejected.
    Forbidden,
}

impl Power {
    /// Id of the present boot; `None` if it is unknown or the desktop may not go down.
    pub(crate) async fn boot_id(&self) -> Option<String> {
        match self {
            Self::System => blocking(runner::boot_id).await,
            Self::Program(program) => {
                let id = output(program, &["boot-id"]).await;
                let id = id.inspect_err(|error| tracing::error!(%error, "reading the boot id failed"));
                id.ok().map(|id| id.trim().to_owned())
            }
            Self::Forbidden => None,
        }
        .filter(|id| !id.is_empty())
    }

    /// Names of the users that use the desktop now; `None` if this cannot be told.
    pub(crate) async fn active_users(&self) -> Option<Vec<String>> {
        match self {
            Self::System => platform::active_users().await,
            Self::Program(program) => {
                let users = output(program, &["users"]).await;
                let users = users.inspect_err(|error| tracing::warn!(%error, "reading the users failed"));
                let lines = users.ok()?;
                let names = lines.lines().map(str::trim).filter(|name| !name.is_empty());
                Some(names.map(str::to_owned).collect())
            }
            Self::Forbidden => None,
        }
    }

    /// Shows a message to the users.
    pub(crate) async fn ask(&self, message: &str) -> io::Result<()> {
        match self {
            Self::System => platform::show_message(message).await,
            Self::Program(program) => output(program, &["ask", message]).await.map(drop),
            Self::Forbidden => Ok(()),
        }
    }

    /// Begins to reboot the desktop, or to power it off.
    pub(crate) async fn go_down(&self, way: Way) -> io::Result<()> {
        match self {
            Self::System => {
                let (program, arguments) = platform::power_command(way);
                output(program, &arguments).await.map(drop)
            }
            Self::Program(program) => {
                let argument = if way == Way::Reboot { "reboot" } else { "stop" };
                output(program, &[argument]).await.map(drop)
            }
            Self::Forbidden => Err(io::Error::other("this agent may not let its desktop go down")),
        }
    }
}
