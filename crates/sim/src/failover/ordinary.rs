//! Whom Postgres and Patroni run as: never root.

use std::{
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
    process::Command,
};

use pgcluster::User;

/// An ordinary user; `None` when this one is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ordinary(Option<User>);

impl Ordinary {
    pub(crate) fn find() -> anyhow::Result<Self> {
        Ok(Self(pgcluster::ordinary_user()?))
    }

    /// A file or directory becomes its own.
    pub(crate) fn give(self, path: &Path) -> anyhow::Result<()> {
        if let Some(User { uid, gid }) = self.0 {
            chown(path, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// A program runs as this user.
    pub(crate) fn run(self, command: &mut Command) {
        if let Some(User { uid, gid }) = self.0 {
            command.uid(uid).gid(gid);
        }
    }
}
