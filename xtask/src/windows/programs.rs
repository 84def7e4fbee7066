//! The agent's programs on the drive of Wine, as an installation puts them.

use std::{fs, path::PathBuf};

use super::{toolchain::Toolchain, wine::Wine};

/// The agent's programs.
pub(super) struct Programs {
    pub(super) agent: PathBuf,
}

impl Programs {
    pub(super) fn of(toolchain: &Toolchain, wine: &Wine) -> anyhow::Result<Self> {
        let directory = wine.drive().join("Program Files/Graywave");
        fs::create_dir_all(&directory)?;
        for name in ["graywave-agent.exe", "graywave-runner.exe"] {
            fs::copy(toolchain.output().join(name), directory.join(name))?;
        }
        Ok(Self { agent: directory.join("graywave-agent.exe") })
    }
}
