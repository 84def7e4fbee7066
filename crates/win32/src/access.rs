//! Access control lists. They name the system, administrators and the user of this process.

use std::{io, path::Path, ptr::null_mut};

use windows_sys::Win32::{
    Foundation::LocalFree,
    Security::{
        ACL,
        Authorization::{
            ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1, SE_FILE_OBJECT,
            SetNamedSecurityInfoW,
        },
        DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, PROTECTED_DACL_SECURITY_INFORMATION,
        PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES,
    },
};

use crate::{account::Token, check, length, wide};

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
