//! Orders: taken in, kept waiting in a bounded queue, run a few at once, stopped, finished in the journal.

mod decision;
mod dispatcher;
mod inbox;
mod queue;
mod run;
mod setup;
mod state;
mod stop_point;
mod traces;

#[cfg(test)]
mod tests;

pub(crate) use inbox::{Answer, Orders};
pub(crate) use setup::new;
