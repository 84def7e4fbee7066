//! Working directories of scripts, from their creation to their removal.
//!
//! Each script runs in `DATA_DIR/scripts/run-*`. It may put any entries there and damage the
//! directories above, so both are opened by descriptor and checked each time.

mod names;
mod remover;
mod work_dir;

pub(crate) use names::{SCRIPTS_DIRS, is_unremovable};
pub(crate) use work_dir::{Scratch, WorkDir};
