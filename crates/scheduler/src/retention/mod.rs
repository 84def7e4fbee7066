//! Retention: settings, and the sweep that deletes expired data.

mod settings;
mod sweep;

pub use settings::Retention;
