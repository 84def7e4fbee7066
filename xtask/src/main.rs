//! The project's own commands: `cargo xtask <command>`.

mod database;
mod layers;
mod process;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check that every crate imports only what ARCHITECTURE.md allows it
    Layers,
    /// Describe the checked queries anew in .sqlx, on a private Postgres
    SqlxPrepare {
        /// Change nothing; fail when the committed descriptions are not current
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Layers => layers::check(),
        Command::SqlxPrepare { check } => database::prepare(check),
    }
}

/// The workspace's top directory.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}
