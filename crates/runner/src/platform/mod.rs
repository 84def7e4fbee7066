//! Everything that differs between operating systems.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::Host;
#[cfg(unix)]
pub(crate) use unix::run_as;
#[cfg(unix)]
pub use unix::{boot_id, contain_processes, kill_processes, running_ids};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::Host;
#[cfg(windows)]
pub(crate) use windows::run_as;
#[cfg(windows)]
pub use windows::{boot_id, contain_processes, kill_processes, running_ids};

use crate::End;

/// Event of a running execution.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The script's own process ended.
    Exited(End),
    /// The last writer closed the output.
    OutputClosed,
    /// The agent forwards a stop request.
    Stop,
    /// The agent ends its scripts.
    AgentEnds,
    /// The machine or the container stops: the runner was asked to terminate.
    MachineStops,
    /// The deadline passed.
    Deadline,
}
