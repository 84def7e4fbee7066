//! Access control lists. They name the system, administrators and the user of this process.

use std::{io, path::Path, ptr::null_mut};

use windows_sys::Win32::{
    Foundation::LocalFree,
    Security::{
        ACL,
        Authorization::{
            ConvertStringSecurityDescriptorToSecurityDescriptorW, GetNamedSecurityInfoW, SDDL_REVISION_1,
            SE_FILE_OBJECT, SetNamedSecurityInfoW,
        },
        DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, OWNER_SECURITY_INFORMATION,
        PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES,
    },
};

use crate::{
    account::{Token, sid_text},
    check, length, wide,
};

/// Security identifiers of the system's account and of the group of administrators.
const SYSTEM: &str = "S-1-5-18";
const ADMINISTRATORS: &str = "S-1-5-32-544";

/// Security descriptor.
#[derive(Debug)]
pub(crate) struct Descriptor(PSECURITY_DESCRIPTOR);

// SAFETY: the descriptor is memory that nothing changes, and only `drop` frees it.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Sync for Descriptor {}

impl Descriptor {
    /// Gives all rights to the system, administrators and the user of this process, and none to
    /// others.
    pub(crate) fn private() -> io::Result<Self> {
        let own = Token::own()?.sid()?;
        Self::parse(&format!("D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;{own})"))
    }

    /// Parses a descriptor in the security descriptor definition language.
    fn parse(text: &str) -> io::Result<Self> {
        let text = wide(text);
        let mut descriptor = null_mut();
        // SAFETY: the text ends with a zero, and the pointer is written on success.
        check(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        })?;
        Ok(Self(descriptor))
    }

    /// Attributes with this descriptor, for handles that are not inherited. Valid as long as this.
    pub(crate) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: length(size_of::<SECURITY_ATTRIBUTES>()),
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        }
    }

    /// Access control list. Valid as long as this.
    fn list(&self) -> io::Result<*const ACL> {
        let (mut is_present, mut list, mut is_default) = (0, null_mut(), 0);
        // SAFETY: the descriptor is valid, and all pointers are written on success.
        check(unsafe {
            GetSecurityDescriptorDacl(self.0, &raw mut is_present, &raw mut list, &raw mut is_default)
        })?;
        Ok(list)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the memory is from the local heap, and this is its only owner.
        let _is_null = unsafe { LocalFree(self.0) };
    }
}

/// Fails if a directory belongs to another user than the system, administrators or the user of this
/// process: its owner could give the rights back.
///
/// # Errors
///
/// Of the kind `PermissionDenied` for another owner, and if the owner cannot be read.
pub fn check_owner(path: &Path) -> io::Result<()> {
    let (mut owner, mut descriptor) = (null_mut(), null_mut());
    let name = wide(path);
    // SAFETY: the path ends with a zero, and the pointers are written on success.
    let code = unsafe {
        GetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION,
            &raw mut owner,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut descriptor,
        )
    };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code.cast_signed()));
    }
    // Frees the memory of the owner too.
    let _descriptor = Descriptor(descriptor);
    // SAFETY: the owner is valid as long as the descriptor.
    let owner = unsafe { sid_text(owner) }?;
    if [SYSTEM, ADMINISTRATORS, &Token::own()?.sid()?].contains(&owner.as_str()) {
        return Ok(());
    }
    let message = format!("{} belongs to another user ({owner})", path.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// Takes a directory and everything below it from all users but the system, administrators and the
/// user of this process. What is created in it later inherits the list.
///
/// # Errors
///
/// If the user of this process may not change the list.
pub fn restrict_directory(path: &Path) -> io::Result<()> {
    set_list(path, "")
}

/// Like [`restrict_directory`], and gives another user all rights but those to change the list.
/// `sid` is the user's security identifier.
///
/// # Errors
///
/// As for [`restrict_directory`].
pub fn share_directory(path: &Path, sid: &str) -> io::Result<()> {
    set_list(path, &format!("(A;OICI;0x1301ff;;;{sid})"))
}

fn set_list(path: &Path, more: &str) -> io::Result<()> {
    let own = Token::own()?.sid()?;
    let text = format!("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{own}){more}");
    let (descriptor, path) = (Descriptor::parse(&text)?, wide(path));
    let list = descriptor.list()?;
    let what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    // SAFETY: the path ends with a zero, and the list lives until the call returns.
    let code = unsafe {
        SetNamedSecurityInfoW(path.as_ptr(), SE_FILE_OBJECT, what, null_mut(), null_mut(), list, null_mut())
    };
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}
