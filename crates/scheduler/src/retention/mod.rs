//! Retention: how long things are kept, and the sweep that deletes what is over its age.

mod settings;
mod sweep;

pub use settings::Retention;
