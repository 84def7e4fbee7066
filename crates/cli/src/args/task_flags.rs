//! Flags that describe a task.

use clap::Args;

use super::{DesktopFlags, PayloadFlags, RolloutFlags};

/// Flags of a task: its payload, its desktops and its rollout.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TaskFlags {
    #[command(flatten)]
    pub(crate) payload: PayloadFlags,
    #[command(flatten)]
    pub(crate) desktops: DesktopFlags,
    #[command(flatten)]
    pub(crate) rollout: RolloutFlags,
}
