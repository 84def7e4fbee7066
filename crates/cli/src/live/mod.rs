//! Output of scripts, printed while they run.

mod follower;
mod lines;

pub(crate) use follower::{LiveOutput, MAX_DESKTOPS};
