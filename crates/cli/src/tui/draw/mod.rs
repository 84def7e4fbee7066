//! Drawing of the full-screen view: a frame with the panes of waves, events and failures.

mod events;
mod failures;
mod frame;
#[cfg(test)]
mod tests;
mod theme;
mod waves;

pub(super) use frame::draw;
