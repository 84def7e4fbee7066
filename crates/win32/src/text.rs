//! Texts in the code pages of this machine.

use std::ptr::null_mut;

use windows_sys::Win32::Globalization::{GetOEMCP, MB_ERR_INVALID_CHARS, MultiByteToWideChar};

/// Decodes bytes in the OEM code page, which console programs write by default. `None` if they are
/// not valid in it.
pub fn from_oem(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some(String::new());
    }
    let count = i32::try_from(bytes.len()).ok()?;
    let convert = |units: *mut u16, room: i32| {
        // SAFETY: no precondition.
        let page = unsafe { GetOEMCP() };
        // SAFETY: the bytes are readable, and `units` has room for that many.
        unsafe { MultiByteToWideChar(page, MB_ERR_INVALID_CHARS, bytes.as_ptr(), count, units, room) }
    };
    let mut units = vec![0; usize::try_from(convert(null_mut(), 0)).ok()?];
    let written = convert(units.as_mut_ptr(), i32::try_from(units.len()).ok()?);
    units.truncate(usize::try_from(written).ok()?);
    if units.is_empty() { None } else { String::from_utf16(&units).ok() }
}
