//! The web console: its built files, embedded in the binary, and their HTTP answers.

mod answer;
mod files;
mod headers;

pub use answer::answer;
pub use headers::{ContentPolicy, secure};
