//! `graywave man`: manual pages of all commands.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

/// Arguments of `graywave man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  graywave man --dir /usr/local/share/man/man1 && man graywave-run")]
pub(crate) struct ManArgs {
    /// Output directory, one page per command; created if missing
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Writes the manual pages.
pub(crate) fn write(arguments: &ManArgs, command: clap::Command) -> anyhow::Result<()> {
    let dir = &arguments.dir;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    clap_mangen::generate_to(command, dir)
        .with_context(|| format!("cannot write manual pages to {}", dir.display()))
}
