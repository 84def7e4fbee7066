//! Flags that describe a task.

use clap::Args;

use super::{DesktopFlags, GuardFlags, PayloadFlags, RolloutFlags};
use crate::reason_flags::ReasonFlags;

/// Flags of a task: its payload, its desktops, its rollout and its reason.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TaskFlags {
    #[command(flatten)]
    pub(crate) payload: PayloadFlags,
    #[command(flatten)]
    pub(crate) desktops: DesktopFlags,
    #[command(flatten)]
    pub(crate) rollout: RolloutFlags,
    #[command(flatten)]
    pub(crate) guard: GuardFlags,
    #[command(flatten)]
    pub(crate) reason: ReasonFlags,
}
