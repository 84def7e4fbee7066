//! Orders: accepted, queued, run several at the same time, stopped, and finished in the journal.

mod decision;
mod dispatcher;
mod earlier;
mod going_down;
mod inbox;
mod queue;
mod reboot;
mod run;
mod setup;
mod state;
mod stop_point;
mod traces;

#[cfg(test)]
#[cfg(unix)]
mod tests;

pub(crate) use inbox::{Answer, Orders};
pub(crate) use setup::new;
