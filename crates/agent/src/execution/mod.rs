//! Execution of one script by its runner.

mod interpreter;
mod judge;
mod launch;
mod live_output;
mod prepare;
mod program;
mod runs;
mod supervised;

pub(crate) use judge::{StopCause, append_survivors, judge};
pub(crate) use launch::launch;
pub(crate) use live_output::LiveOutput;
pub(crate) use prepare::{DESKTOP_ID, Terms, prepare};
pub use program::RunnerProgram;
pub(crate) use runs::Runs;
pub(crate) use supervised::{AgentStop, Finish, Supervised};
