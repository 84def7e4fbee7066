//! Users: of this process, of other processes, and of sessions.

use std::{
    io,
    os::windows::io::{AsRawHandle as _, BorrowedHandle, FromRawHandle as _, OwnedHandle},
    ptr::{null, null_mut},
    slice,
};

use windows_sys::Win32::{
    Foundation::LocalFree,
    Security::{
        Authorization::ConvertSidToStringSidW, GetTokenInformation, LookupAccountSidW, PSID, TOKEN_QUERY,
        TOKEN_USER, TokenUser,
    },
    System::{
        Environment::{CreateEnvironmentBlock, DestroyEnvironmentBlock},
        RemoteDesktop::{
            WTS_CURRENT_SERVER_HANDLE, WTS_INFO_CLASS, WTS_SESSION_INFOW, WTSActive, WTSDisconnected,
            WTSDomainName, WTSEnumerateSessionsW, WTSFreeMemory, WTSQuerySessionInformationW,
            WTSQueryUserToken, WTSUserName,
        },
        Threading::{GetCurrentProcess, OpenProcessToken},
    },
};

use crate::{check, length};

/// Length of the longest name of a user or a domain, with its final zero.
const MAX_NAME: usize = 257;

/// Access token: a user, with the rights of a process.
#[derive(Debug)]
pub struct Token {
    handle: OwnedHandle,
}

impl Token {
    /// Token of this process.
    ///
    /// # Errors
    ///
    /// If the system refuses the token.
    pub fn own() -> io::Result<Self> {
        // SAFETY: no precondition. The result is a constant that needs no close.
        let process = unsafe { GetCurrentProcess() };
        // SAFETY: the constant is valid for the life of the process.
        Self::of_process(unsafe { BorrowedHandle::borrow_raw(process) })
    }

    /// Token of a process.
    ///
    /// # Errors
    ///
    /// If the system refuses the token.
    pub fn of_process(process: BorrowedHandle<'_>) -> io::Result<Self> {
        let mut raw = null_mut();
        // SAFETY: the handle is open, and the pointer is written on success.
        check(unsafe { OpenProcessToken(process.as_raw_handle(), TOKEN_QUERY, &raw mut raw) })?;
        // SAFETY: the handle is open and belongs to no one else.
        Ok(Self { handle: unsafe { OwnedHandle::from_raw_handle(raw) } })
    }

    /// Token of the user that is logged on to a session. Only the system gets it.
    ///
    /// # Errors
    ///
    /// If no user is logged on to the session, or this process may not have the token.
    pub fn of_session(session_id: u32) -> io::Result<Self> {
        let mut raw = null_mut();
        // SAFETY: the pointer is written on success.
        check(unsafe { WTSQueryUserToken(session_id, &raw mut raw) })?;
        // SAFETY: the handle is open and belongs to no one else.
        Ok(Self { handle: unsafe { OwnedHandle::from_raw_handle(raw) } })
    }

    pub(crate) fn handle(&self) -> &OwnedHandle {
        &self.handle
    }

    /// Calls a function with the security identifier of the user.
    fn with_sid<T>(&self, use_sid: impl FnOnce(PSID) -> io::Result<T>) -> io::Result<T> {
        // Words have the alignment of the structure. An identifier has at most 68 bytes.
        let mut buffer = [0_usize; 32];
        let mut used = 0;
        // SAFETY: the handle is open, and the buffer has the given length.
        check(unsafe {
            GetTokenInformation(
                self.handle.as_raw_handle(),
                TokenUser,
                buffer.as_mut_ptr().cast(),
                length(size_of_val(&buffer)),
                &raw mut used,
            )
        })?;
        // SAFETY: the buffer is aligned, longer than the structure, and written.
        let user = unsafe { &*buffer.as_ptr().cast::<TOKEN_USER>() };
        use_sid(user.User.Sid)
    }

    /// Security identifier of the user, as text: `S-1-5-18` is the system.
    ///
    /// # Errors
    ///
    /// If the token cannot be read.
    pub fn sid(&self) -> io::Result<String> {
        // SAFETY: the identifier is valid.
        self.with_sid(|sid| unsafe { sid_text(sid) })
    }

    /// Name of the user, as `DOMAIN\name`.
    ///
    /// # Errors
    ///
    /// If the user has no name, or the domain does not answer.
    pub fn user_name(&self) -> io::Result<String> {
        self.with_sid(|sid| {
            let (mut name, mut domain) = ([0_u16; MAX_NAME], [0_u16; MAX_NAME]);
            let (mut name_length, mut domain_length) = (length(MAX_NAME), length(MAX_NAME));
            let mut kind = 0;
            // SAFETY: the identifier is valid, and the buffers have the given lengths.
            check(unsafe {
                LookupAccountSidW(
                    null(),
                    sid,
                    name.as_mut_ptr(),
                    &raw mut name_length,
                    domain.as_mut_ptr(),
                    &raw mut domain_length,
                    &raw mut kind,
                )
            })?;
            Ok(format!("{}\\{}", until_zero(&domain), until_zero(&name)))
        })
    }

    /// Variables that the system gives to a new session of the user, from the registry. Nothing of
    /// this process is in them.
    ///
    /// # Errors
    ///
    /// If the system refuses them.
    pub fn environment(&self) -> io::Result<Vec<(String, String)>> {
        let mut block = null_mut();
        // SAFETY: the handle is open, and the pointer is written on success.
        check(unsafe { CreateEnvironmentBlock(&raw mut block, self.handle.as_raw_handle(), 0) })?;
        let mut variables = Vec::new();
        let mut next: *const u16 = block.cast();
        loop {
            // SAFETY: texts that end with a zero follow one another; an empty one is the last.
            let text = unsafe { units_at(next) };
            if text.is_empty() {
                break;
            }
            let entry = String::from_utf16_lossy(text);
            // The names of hidden variables, as `=C:`, begin with the sign.
            if let Some((name, value)) = entry.split_once('=').filter(|(name, _)| !name.is_empty()) {
                variables.push((name.to_owned(), value.to_owned()));
            }
            // SAFETY: the zero is a part of the block.
            next = unsafe { next.add(text.len() + 1) };
        }
        // SAFETY: the block is from `CreateEnvironmentBlock`, and nothing refers to it any more.
        check(unsafe { DestroyEnvironmentBlock(block) })?;
        Ok(variables)
    }
}

/// Session with a logged-on user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Number of the session.
    pub id: u32,
    /// User, as `DOMAIN\name`.
    pub user: String,
    /// Whether the user sees it; otherwise it is disconnected.
    pub is_active: bool,
}

/// Sessions of this machine that have a user.
///
/// # Errors
///
/// If the sessions cannot be read.
pub fn sessions() -> io::Result<Vec<Session>> {
    let (mut list, mut count): (*mut WTS_SESSION_INFOW, u32) = (null_mut(), 0);
    // SAFETY: both pointers are written on success.
    check(unsafe { WTSEnumerateSessionsW(WTS_CURRENT_SERVER_HANDLE, 0, 1, &raw mut list, &raw mut count) })?;
    if list.is_null() {
        // An empty list.
        return Ok(Vec::new());
    }
    // SAFETY: the list has this many entries, and lives until it is freed below.
    let entries = unsafe { slice::from_raw_parts(list, usize::try_from(count).unwrap_or_default()) };
    let found = entries
        .iter()
        .filter(|entry| entry.State == WTSActive || entry.State == WTSDisconnected)
        .filter_map(|entry| {
            let name = session_text(entry.SessionId, WTSUserName).filter(|name| !name.is_empty())?;
            let domain = session_text(entry.SessionId, WTSDomainName).unwrap_or_default();
            let is_active = entry.State == WTSActive;
            Some(Session { id: entry.SessionId, user: format!("{domain}\\{name}"), is_active })
        })
        .collect();
    // SAFETY: the list is from `WTSEnumerateSessionsW`, and nothing refers to it any more.
    unsafe { WTSFreeMemory(list.cast()) };
    Ok(found)
}

fn session_text(id: u32, kind: WTS_INFO_CLASS) -> Option<String> {
    let (mut text, mut bytes) = (null_mut(), 0);
    // SAFETY: both pointers are written on success.
    check(unsafe {
        WTSQuerySessionInformationW(WTS_CURRENT_SERVER_HANDLE, id, kind, &raw mut text, &raw mut bytes)
    })
    .ok()?;
    if text.is_null() {
        return None;
    }
    // SAFETY: the text ends with a zero.
    let copy = unsafe { text_at(text) };
    // SAFETY: the memory is from this API, and nothing refers to it any more.
    unsafe { WTSFreeMemory(text.cast()) };
    Some(copy)
}

/// Security identifier as text.
///
/// # Safety
///
/// `sid` must point to a security identifier.
pub(crate) unsafe fn sid_text(sid: PSID) -> io::Result<String> {
    let mut text = null_mut();
    // SAFETY: the caller promises the identifier, and the pointer is written on success.
    check(unsafe { ConvertSidToStringSidW(sid, &raw mut text) })?;
    // SAFETY: the text ends with a zero.
    let copy = unsafe { text_at(text) };
    // SAFETY: the memory is from the local heap, and this is its only owner.
    let _is_null = unsafe { LocalFree(text.cast()) };
    Ok(copy)
}

/// Text before the first zero.
fn until_zero(units: &[u16]) -> String {
    let text = units.split(|unit| *unit == 0).next().unwrap_or_default();
    String::from_utf16_lossy(text)
}

/// Copies a text that ends with a zero.
///
/// # Safety
///
/// `text` must point to such a text.
unsafe fn text_at(text: *const u16) -> String {
    // SAFETY: the caller promises it.
    String::from_utf16_lossy(unsafe { units_at(text) })
}

/// Units before the zero.
///
/// # Safety
///
/// `text` must point to a text that ends with a zero and lives as long as the result.
unsafe fn units_at<'a>(text: *const u16) -> &'a [u16] {
    let mut length = 0;
    // SAFETY: every unit up to the zero is readable.
    while unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    // SAFETY: the units before the zero are readable.
    unsafe { slice::from_raw_parts(text, length) }
}
