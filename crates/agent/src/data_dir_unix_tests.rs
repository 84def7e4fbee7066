use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn entry_of_another_kind_is_set_aside_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    restore_file(&path).unwrap();
    for number in 0..2 {
        fs::create_dir(&path).unwrap();
        fs::write(path.join("kept"), number.to_string()).unwrap();
        restore_file(&path).unwrap();
        let aside = dir.path().join(format!("file.unusable-{number}"));
        assert_eq!(fs::read_to_string(aside.join("kept")).unwrap(), number.to_string());
        assert!(!path.exists());
    }
    for target in ["nowhere", "file"] {
        symlink(target, &path).unwrap();
        restore_file(&path).unwrap();
        assert!(!path.is_symlink());
    }
    fs::write(&path, "text").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o040)).unwrap();
    restore_file(&path).unwrap();
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn file_in_the_place_of_a_directory_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity");
    fs::write(&path, "").unwrap();
    restore_private_dir(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    restore_private_dir(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
}

#[test]
fn replacement_never_writes_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let (path, precious) = (dir.path().join("a.log"), dir.path().join("precious"));
    fs::write(&precious, "kept").unwrap();
    symlink(&precious, &path).unwrap();
    symlink(&precious, dir.path().join("a.new")).unwrap();
    replace(&path, b"1").unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
    assert!(!path.is_symlink());
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("1", 0o600));
}

#[test]
fn link_that_fails_for_another_cause_is_an_error_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    // Stands for EACCES and EIO, which root never gets here.
    symlink("x".repeat(300), &path).unwrap();
    assert_eq!(restore_file(&path).unwrap_err().kind(), ErrorKind::InvalidFilename);
    assert_eq!(restore_private_dir(&path).unwrap_err().kind(), ErrorKind::InvalidFilename);
    assert!(path.is_symlink());
    restore_own_file(&path).unwrap();
    assert!(!path.is_symlink(), "a link of a script does not block the agent's start");
}

#[test]
fn failed_change_of_permissions_leaves_a_file_usable() {
    // Mode 0444, which the kernel does not let even root change.
    restore_file(Path::new("/proc/self/status")).unwrap();
}

#[test]
fn replaced_lock_file_does_not_admit_a_second_agent() {
    let dir = tempfile::tempdir().unwrap();
    let lock = DirLock::acquire(dir.path()).unwrap();
    fs::remove_file(dir.path().join("lock")).unwrap();
    fs::create_dir_all(dir.path().join("lock/x")).unwrap();
    assert!(matches!(DirLock::acquire(dir.path()), Err(Error::Locked(_))));
    drop(lock);
    DirLock::acquire(dir.path()).unwrap();
}

#[test]
fn data_directory_and_journal_are_private() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new/data");
    drop(crate::journal::open_data_dir(&dir).unwrap());
    assert_eq!((mode(&dir), mode(&dir.join("journal.log"))), (0o700, 0o600));
}

#[test]
fn file_in_a_private_directory_is_private() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("identity");
    restore_private_dir(&dir).unwrap();
    replace(&dir.join("pending-key.pem"), b"key").unwrap();
    assert_eq!((mode(&dir), mode(&dir.join("pending-key.pem"))), (0o700, 0o600));
}
