//! Clock of the operating system.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::since_start;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::since_start;
