//! Working directories of scripts, from their creation to their removal.
//!
//! Each script runs in `DATA_DIR/scripts/run-*`. It may put any entries there and damage the
//! directories above, so both are opened by descriptor and checked each time.

mod directory;
mod names;
mod removal;
mod remover;
mod run_dir;

pub(crate) use run_dir::{RunDir, Scratch};
