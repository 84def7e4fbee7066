//! Access control lists. They name the system, administrators and the user of this process.

use std::{
    fs::File,
    io,
    os::windows::{
        fs::{MetadataExt as _, OpenOptionsExt as _},
        io::AsRawHandle as _,
    },
    path::{Path, PathBuf},
    ptr::null_mut,
};

use windows_sys::Win32::{
    Foundation::LocalFree,
    Security::{
        ACL,
        Authorization::{
            ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1,
            SE_FILE_OBJECT, SetSecurityInfo,
        },
        DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, OWNER_SECURITY_INFORMATION,
        PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES,
    },
    Storage::FileSystem::{
        FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS,
        FILE_FLAG_OPEN_REPARSE_POINT, FILE_GENERIC_READ, READ_CONTROL, WRITE_DAC,
    },
};

use crate::{
    account::{Token, sid_text},
    check, length, wide,
};

/// Security identifiers of the system's account and of the group of administrators.
const SYSTEM: &str = "S-1-5-18";
const ADMINISTRATORS: &str = "S-1-5-32-544";
/// Security identifier of the service that owns directories of Windows itself.
const TRUSTED_INSTALLER: &str = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";

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

/// Open directory, which is no link. Its rights are read and set by its handle, so the path cannot
/// lead elsewhere meanwhile.
#[derive(Debug)]
pub struct Directory {
    handle: File,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory.
    ///
    /// # Errors
    ///
    /// Of the kind `NotADirectory` if the path is a junction, another link, a mount or a file. Also
    /// if the user of this process may not change the access rights.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        // The system lists the directory to pass its rights on.
        options.access_mode(READ_CONTROL | WRITE_DAC | FILE_GENERIC_READ);
        options.custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT);
        let directory = Self { handle: options.open(path)?, path: path.to_owned() };
        directory.check_kind()?;
        Ok(directory)
    }

    fn check_kind(&self) -> io::Result<()> {
        match self.handle.metadata()?.file_attributes() {
            attributes if attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 => Err(self.refusal(
                io::ErrorKind::NotADirectory,
                "is a junction or another link: remove it, or name the directory that it leads to",
            )),
            attributes if attributes & FILE_ATTRIBUTE_DIRECTORY == 0 => {
                Err(self.refusal(io::ErrorKind::NotADirectory, "is no directory"))
            }
            _ => Ok(()),
        }
    }

    fn refusal(&self, kind: io::ErrorKind, reason: &str) -> io::Error {
        io::Error::new(kind, format!("{} {reason}", self.path.display()))
    }

    /// Fails if the directory belongs to another user than the system, administrators or the user
    /// of this process: its owner could give the rights back.
    ///
    /// # Errors
    ///
    /// Of the kind `PermissionDenied` for another owner, and if the owner cannot be read.
    pub fn check_owner(&self) -> io::Result<()> {
        let (mut owner, mut descriptor) = (null_mut(), null_mut());
        // SAFETY: the handle is open, and the pointers are written on success.
        let code = unsafe {
            GetSecurityInfo(
                self.handle.as_raw_handle(),
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
        if [SYSTEM, ADMINISTRATORS, TRUSTED_INSTALLER, &Token::own()?.sid()?].contains(&owner.as_str()) {
            return Ok(());
        }
        let reason = format!("belongs to another user ({owner})");
        Err(self.refusal(io::ErrorKind::PermissionDenied, &reason))
    }

    /// Takes the directory and everything below it from all users but the system, administrators
    /// and the user of this process. What is created in it later inherits the list.
    ///
    /// # Errors
    ///
    /// If the user of this process may not change the list, or the directory has become a link.
    pub fn restrict(&self) -> io::Result<()> {
        self.set_list("")?;
        // An empty directory can become a link while others may write to it.
        self.check_kind()
    }

    /// Like [`restrict`](Self::restrict), and gives another user all rights but those to change the
    /// list. `sid` is the user's security identifier.
    ///
    /// # Errors
    ///
    /// If the user of this process may not change the list.
    pub fn share(&self, sid: &str) -> io::Result<()> {
        self.set_list(&format!("(A;OICI;0x1301ff;;;{sid})"))
    }

    fn set_list(&self, more: &str) -> io::Result<()> {
        let own = Token::own()?.sid()?;
        let text = format!("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{own}){more}");
        let descriptor = Descriptor::parse(&text)?;
        let list = descriptor.list()?;
        let what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
        let handle = self.handle.as_raw_handle();
        // SAFETY: the handle is open, and the list lives until the call returns.
        let code = unsafe {
            SetSecurityInfo(handle, SE_FILE_OBJECT, what, null_mut(), null_mut(), list, null_mut())
        };
        if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{env, fs, os::windows::io::BorrowedHandle};

    use windows_sys::Win32::Security::Authorization::{
        ConvertSecurityDescriptorToStringSecurityDescriptorW, SE_KERNEL_OBJECT,
    };

    use super::*;

    /// Access control list of a pipe, in the security descriptor definition language.
    pub(crate) fn list_text(handle: BorrowedHandle<'_>) -> String {
        let (mut descriptor, mut text, mut length) = (null_mut(), null_mut(), 0);
        // SAFETY: the handle is open, and the last pointer is written on success.
        let code = unsafe {
            GetSecurityInfo(
                handle.as_raw_handle(),
                SE_KERNEL_OBJECT,
                DACL_SECURITY_INFORMATION,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                &raw mut descriptor,
            )
        };
        assert_eq!(code, 0);
        let descriptor = Descriptor(descriptor);
        // SAFETY: the descriptor is valid, and the pointers are written on success.
        check(unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                descriptor.0,
                SDDL_REVISION_1,
                DACL_SECURITY_INFORMATION,
                &raw mut text,
                &raw mut length,
            )
        })
        .unwrap();
        // SAFETY: the text has this length, and is freed only below.
        let units = unsafe { std::slice::from_raw_parts(text, usize::try_from(length).unwrap()) };
        let list = String::from_utf16_lossy(units);
        drop(Descriptor(text.cast()));
        list
    }

    #[test]
    fn own_directory_is_restricted_and_a_file_refused() {
        let path = env::temp_dir().join(format!("graywave-access-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let directory = Directory::open(&path).unwrap();
        directory.check_owner().unwrap();
        directory.restrict().unwrap();
        fs::write(path.join("file"), "").unwrap();
        let error = Directory::open(&path.join("file")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory, "{error}");
        fs::remove_dir_all(&path).unwrap();
    }
}
