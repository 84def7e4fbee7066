//! Sessions of users, as the Remote Desktop Services list them.

use std::{ffi::OsString, io, os::windows::ffi::OsStringExt as _, ptr};

use windows_sys::Win32::System::RemoteDesktop::{
    WTS_CURRENT_SERVER_HANDLE, WTS_SESSION_INFOW, WTSActive, WTSEnumerateSessionsW, WTSFreeMemory,
    WTSQuerySessionInformationW, WTSSendMessageW, WTSUserName,
};

use crate::{check, length, wide};

/// Time in seconds after which a message disappears.
const MESSAGE_SECONDS: u32 = 60;
/// Message box with an OK button and an exclamation mark.
const MESSAGE_STYLE: u32 = 0x30;

/// Names of the users with an active session. A session at the sign-in screen has no user.
///
/// # Errors
///
/// If the system refuses the list.
pub fn active_users() -> io::Result<Vec<String>> {
    let mut users: Vec<String> = active_sessions()?.into_iter().filter_map(user_of).collect();
    users.sort();
    users.dedup();
    Ok(users)
}

/// Shows a message in each active session with a user, without a wait for an answer.
///
/// # Errors
///
/// If the system refuses the list, or the message in one of the sessions.
pub fn show_message(title: &str, message: &str) -> io::Result<()> {
    let (title, message) = (wide(title), wide(message));
    for session in active_sessions()?.into_iter().filter(|session| user_of(*session).is_some()) {
        let mut response = 0;
        // SAFETY: both texts end with a zero, their lengths leave it out, and the response is ours.
        check(unsafe {
            WTSSendMessageW(
                WTS_CURRENT_SERVER_HANDLE,
                session,
                title.as_ptr(),
                length((title.len() - 1) * 2),
                message.as_ptr(),
                length((message.len() - 1) * 2),
                MESSAGE_STYLE,
                MESSAGE_SECONDS,
                &raw mut response,
                0,
            )
        })?;
    }
    Ok(())
}

fn active_sessions() -> io::Result<Vec<u32>> {
    let mut list: *mut WTS_SESSION_INFOW = ptr::null_mut();
    let mut count = 0;
    // SAFETY: the system allocates the list and sets its length; version 1 is the only one.
    check(unsafe { WTSEnumerateSessionsW(WTS_CURRENT_SERVER_HANDLE, 0, 1, &raw mut list, &raw mut count) })?;
    if list.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the list has this many entries until it is freed.
    let sessions = unsafe { std::slice::from_raw_parts(list, count as usize) };
    let active = sessions.iter().filter(|session| session.State == WTSActive);
    let active = active.map(|session| session.SessionId).collect();
    // SAFETY: the system allocated the list, and nothing refers to it any more.
    unsafe { WTSFreeMemory(list.cast()) };
    Ok(active)
}

/// Name of the user of a session; `None` if nobody has signed in there.
fn user_of(session: u32) -> Option<String> {
    let mut text: *mut u16 = ptr::null_mut();
    let mut bytes = 0;
    // SAFETY: the system allocates the text and sets its length in bytes.
    let read = unsafe {
        WTSQuerySessionInformationW(
            WTS_CURRENT_SERVER_HANDLE,
            session,
            WTSUserName,
            &raw mut text,
            &raw mut bytes,
        )
    };
    if read == 0 || text.is_null() {
        return None;
    }
    // SAFETY: the text has this many bytes until it is freed.
    let units = unsafe { std::slice::from_raw_parts(text, bytes as usize / 2) };
    let name: Vec<u16> = units.iter().copied().take_while(|unit| *unit != 0).collect();
    // SAFETY: the system allocated the text, and nothing refers to it any more.
    unsafe { WTSFreeMemory(text.cast()) };
    let name = OsString::from_wide(&name).to_string_lossy().into_owned();
    Some(name).filter(|name| !name.is_empty())
}
