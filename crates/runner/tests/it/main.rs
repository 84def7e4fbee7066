//! The runner's binary as a process.

#![expect(clippy::unwrap_used, reason = "test helpers panic on failure")]

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
