//! Events of a running execution.

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
