//! Safe functions over the Windows API, for the runner and the agent.
//!
//! The only crate of the workspace with unsafe code. A function takes and returns owned or borrowed
//! handles of the standard library, so no caller can use a closed one.
#![cfg(windows)]
#![expect(unsafe_code, reason = "the Windows API is foreign code")]

pub mod access;
pub mod account;
pub mod console;
pub mod event_log;
pub mod file;
pub mod job;
pub mod pipe;
pub mod process;
pub mod registry;
pub mod service;
pub mod session;
pub mod text;

use std::{ffi::OsStr, io, os::windows::ffi::OsStrExt as _};

use windows_sys::core::BOOL;

/// Result of a function that returns zero on failure.
fn check(result: BOOL) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Text as the API takes it: UTF-16 with a final zero.
fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}

/// Length of a value as the API takes it.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
