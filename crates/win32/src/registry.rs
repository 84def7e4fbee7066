//! The registry.

use std::{io, ptr::null_mut};

use windows_registry::Key;
use windows_sys::Win32::{
    Foundation::{ERROR_SUCCESS, FILETIME},
    System::Registry::RegQueryInfoKeyW,
};

/// Time of the last change to the values and direct subkeys of a key, in units of 100 ns since
/// 1601, by the system's clock at the change.
///
/// # Errors
///
/// If the key is deleted, or was opened without the right to read.
pub fn last_write(key: &Key) -> io::Result<u64> {
    let mut time = FILETIME::default();
    // SAFETY: the key is open, the time is written on success, and all other pointers may be null.
    let code = unsafe {
        RegQueryInfoKeyW(
            key.as_raw(),
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut time,
        )
    };
    if code == ERROR_SUCCESS {
        return Ok(u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime));
    }
    Err(io::Error::from_raw_os_error(code.cast_signed()))
}
