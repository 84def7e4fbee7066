//! The user of Postgres and Patroni, which is never root.

use std::{
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
    process::Command,
};

use pgcluster::User;

/// A user without privileges; `None` if the current user has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnprivilegedUser(Option<User>);

impl UnprivilegedUser {
    pub(crate) fn find() -> anyhow::Result<Self> {
        Ok(Self(pgcluster::ordinary_user()?))
    }

    /// Makes the user own a file or directory.
    pub(crate) fn give(self, path: &Path) -> anyhow::Result<()> {
        if let Some(User { uid, gid }) = self.0 {
            chown(path, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// Makes a program run as the user.
    pub(crate) fn run(self, command: &mut Command) {
        if let Some(User { uid, gid }) = self.0 {
            command.uid(uid).gid(gid);
        }
    }
}
