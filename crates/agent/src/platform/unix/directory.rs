//! Directories opened by descriptor: never through a symbolic link, never across a mount point.

use std::{
    ffi::CStr,
    fs,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{
        AtFlags, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, chmod, fchmod, fstat, openat,
        openat2, statx,
    },
    io::Errno,
};

/// Method to recognise a mount point. Each one needs less kernel support than the previous.
///
/// The device number is not used: a bind mount of the same file system has the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MountCheck {
    /// `openat2` with `RESOLVE_NO_XDEV`: needs Linux 5.6, and no seccomp filter that forbids the
    /// call.
    Openat2,
    /// `STATX_ATTR_MOUNT_ROOT`: needs Linux 5.8.
    MountRoot,
    /// Mount id from `/proc/self/fdinfo`.
    MountId,
}

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_XDEV)
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// Opens the directory `name` of `parent` for reading, and grants its owner missing permissions.
///
/// # Errors
///
/// `EXDEV` if a file system is mounted there, `ENOTDIR` or `ELOOP` if it is not a directory,
/// `EOPNOTSUPP` if this system cannot recognise mount points.
pub(super) fn open(parent: BorrowedFd<'_>, name: &CStr, check: MountCheck) -> Result<OwnedFd, Errno> {
    match open_as(parent, name, OFlags::RDONLY, check) {
        Ok(dir) => {
            let mode = Mode::from_raw_mode(fstat(&dir)?.st_mode);
            if !mode.contains(Mode::RWXU)
                && let Err(error) = fchmod(&dir, mode | Mode::RWXU)
            {
                // Root needs no permissions. For other users the first entry reports the failure.
                tracing::debug!(%error, "changing the permissions of a directory failed");
            }
            Ok(dir)
        }
        Err(Errno::ACCESS) => {
            let dir = open_as(parent, name, OFlags::PATH, check)?;
            let mode = Mode::from_raw_mode(fstat(&dir)?.st_mode);
            // `fchmod` refuses a descriptor of this kind. The link in /proc leads to the same
            // directory.
            let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
            chmod(link, mode | Mode::RWXU).map_err(|_| Errno::ACCESS)?;
            open_as(dir.as_fd(), c".", OFlags::RDONLY, check)
        }
        Err(error) => Err(error),
    }
}

fn open_as(parent: BorrowedFd<'_>, name: &CStr, access: OFlags, check: MountCheck) -> Result<OwnedFd, Errno> {
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if check == MountCheck::Openat2 {
        return match openat2(parent, name, flags, Mode::empty(), RESOLVE) {
            // Older kernel, or the seccomp filter of a container.
            Err(Errno::NOSYS | Errno::PERM) => open_as(parent, name, access, MountCheck::MountRoot),
            opened => opened,
        };
    }
    let dir = openat(parent, name, flags, Mode::empty())?;
    match is_mounted(parent, &dir, check) {
        Some(false) => Ok(dir),
        Some(true) => Err(Errno::XDEV),
        None => Err(Errno::OPNOTSUPP),
    }
}

/// Whether the directory is on another mount than its parent; `None` if unknown.
fn is_mounted(parent: BorrowedFd<'_>, dir: &OwnedFd, check: MountCheck) -> Option<bool> {
    if check == MountCheck::MountId {
        return Some(mount_id(parent)? != mount_id(dir.as_fd())?);
    }
    is_mount_root(dir).or_else(|| is_mounted(parent, dir, MountCheck::MountId))
}

/// Whether the directory is the root of a mount; `None` if unknown.
fn is_mount_root(dir: &OwnedFd) -> Option<bool> {
    let status = statx(dir, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE).ok()?;
    let is_known = status.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    is_known.then(|| status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Id of the mount that the descriptor is on; `None` without `/proc`.
fn mount_id(descriptor: BorrowedFd<'_>) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}
