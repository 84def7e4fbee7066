use std::{env, fs, os::fd::AsFd as _, path::Path, process::Command, thread, time::Duration};

use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
use tempfile::TempDir;

use super::*;

const CHECKS: [MountCheck; 3] = [MountCheck::Openat2, MountCheck::MountRoot, MountCheck::MountId];

fn later() -> Instant {
    Instant::now() + Duration::from_secs(300)
}

fn open_dir(path: &Path) -> OwnedFd {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

fn remove_tree(dir: &TempDir, check: MountCheck) -> Remains {
    remove_with(open_dir(dir.path()).as_fd(), c"tree", later(), check)
}

fn shell(dir: &TempDir, text: &str) {
    let status = Command::new("sh").args(["-ec", text]).current_dir(dir.path()).status().unwrap();
    assert!(status.success(), "{text}");
}

/// Runs the rest of the current test in a process that `wrap` prepares. Returns whether this is
/// that process.
///
/// `None` if the process cannot be created, which `permitted` tests.
fn is_in_process_of(permitted: &[&str], wrap: &[&str]) -> Option<bool> {
    const INSIDE: &str = "GRAYWAVE_TEST_INSIDE";
    if env::var_os(INSIDE).is_some() {
        return Some(true);
    }
    if !Command::new(permitted[0]).args(&permitted[1..]).output().is_ok_and(|tried| tried.status.success()) {
        left_out("this user lacks the permissions of the test");
        return None;
    }
    let test = thread::current().name().unwrap().to_owned();
    let output = Command::new(wrap[0])
        .args(&wrap[1..])
        .arg(env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    Some(false)
}

/// Whether this process has its own mount namespace. If not, the rest of the test runs in one, or
/// is skipped.
fn is_in_mount_namespace() -> bool {
    let namespace = ["unshare", "--mount", "--propagation", "private"];
    let permitted = [&namespace[..], &["sh", "-c", "mount -t tmpfs none /mnt"]].concat();
    is_in_process_of(&permitted, &namespace) == Some(true)
}

fn left_out(reason: &str) {
    eprintln!("skipped: {reason}");
}

#[test]
fn tree_with_links_pipes_and_odd_names_is_removed() {
    for check in CHECKS {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/file"), "kept").unwrap();
        shell(
            &dir,
            "mkdir -p tree/a/b/c tree/.graywave-0/x; touch tree/a/f \"$(printf 'tree/a/\\377 \\n')\"; \
             ln -s ../outside tree/link; ln -s ../../outside tree/a/link; mkfifo tree/a/b/pipe; ln tree/a/f tree/a/b/g",
        );
        assert_eq!(remove_tree(&dir, check), Remains::default());
        assert!(!dir.path().join("tree").exists());
        assert_eq!(fs::read_to_string(dir.path().join("outside/file")).unwrap(), "kept");
    }
}

#[test]
fn entry_that_is_no_directory_or_is_gone_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(remove_tree(&dir, MountCheck::Openat2), Remains::default());
    for make in ["touch tree", "ln -s /tmp tree", "mkdir tree"] {
        shell(&dir, make);
        assert_eq!(remove_tree(&dir, MountCheck::Openat2), Remains::default());
        assert_eq!(dir.path().read_dir().unwrap().count(), 0, "{make}");
    }
    assert!(Path::new("/tmp").exists());
}

#[test]
fn tree_of_fifty_thousand_levels_is_removed() {
    // In memory if possible: a busy disk takes minutes.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    mkdirat(open_dir(dir.path()), c"tree", Mode::RWXU).unwrap();
    let mut level = open_dir(&dir.path().join("tree"));
    for number in 0..50_000 {
        // Some levels have siblings, some have no permissions.
        if number % 100 == 0 {
            mkdirat(&level, c"sibling", Mode::empty()).unwrap();
        }
        mkdirat(&level, c"deep", Mode::RWXU).unwrap();
        level = openat(&level, c"deep", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    drop(level);
    assert_eq!(remove_tree(&dir, MountCheck::Openat2), Remains::default());
    assert!(!dir.path().join("tree").exists());
}

#[test]
fn broad_tree_is_removed_to_the_last_entry() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    for directory in 0..50 {
        let path = tree.join(directory.to_string());
        fs::create_dir_all(path.join("below")).unwrap();
        for file in 0..500 {
            fs::write(path.join(file.to_string()), "").unwrap();
        }
    }
    assert_eq!(remove_tree(&dir, MountCheck::Openat2), Remains::default());
    assert!(!tree.exists());
}

#[test]
fn deadline_ends_the_removal() {
    let dir = tempfile::tempdir().unwrap();
    shell(&dir, "mkdir -p tree/a");
    let remains = remove(open_dir(dir.path()).as_fd(), c"tree", Instant::now());
    assert_eq!(remains, Remains { reported: vec![("tree".into(), Errno::TIMEDOUT)], count: 1 });
}

#[test]
fn mount_is_left_untouched_and_all_beside_it_is_removed() {
    if !is_in_mount_namespace() {
        return;
    }
    for check in CHECKS {
        let dir = tempfile::tempdir().unwrap();
        shell(
            &dir,
            "mkdir -p precious/below tree/a/b tree/z; touch precious/below/file tree/a/f tree/a/b/f tree/z/f file; \
             mkdir tree/a/m tree/m tree/tmpfs; touch tree/a/file; mount --bind precious tree/a/m; \
             mount --bind precious tree/m; mount --bind file tree/a/file; mount -t tmpfs none tree/tmpfs; \
             touch tree/tmpfs/f",
        );
        let mut remains = remove_tree(&dir, check);
        remains.reported.sort_by(|one, other| one.0.cmp(&other.0));
        let wanted = ["tree/a/file", "tree/a/m", "tree/m", "tree/tmpfs"];
        assert_eq!(remains.reported, wanted.map(|path| (path.into(), Errno::BUSY)), "{check:?}");
        assert_eq!(remains.count, 4);
        shell(
            &dir,
            "[ -e precious/below/file ] && [ -e file ] && [ -e tree/tmpfs/f ] && ! [ -e tree/z ] && ! [ -e tree/a/b ]",
        );
        // Checks the mount check directly: above, the kernel refused to remove the mount points
        // first.
        let tree = open_dir(&dir.path().join("tree"));
        assert_eq!(directory::open(tree.as_fd(), c"m", check).unwrap_err(), Errno::XDEV, "{check:?}");
        directory::open(tree.as_fd(), c"a", check).unwrap();
        shell(&dir, "umount tree/a/m tree/m tree/a/file tree/tmpfs");
        assert_eq!(remove_tree(&dir, check), Remains::default());
    }
}

#[test]
fn mount_below_a_deep_directory_is_left_untouched() {
    if !is_in_mount_namespace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let deep = format!("tree/{}", "d/".repeat(100));
    shell(
        &dir,
        &format!(
            "mkdir -p precious/below {deep}/m; mount --bind precious {deep}/m; touch precious/below/file"
        ),
    );
    let remains = remove_tree(&dir, MountCheck::Openat2);
    assert_eq!((remains.count, remains.reported[0].1), (1, Errno::BUSY));
    assert!(dir.path().join("precious/below/file").exists());
    let left = dir.path().join(&remains.reported[0].0);
    assert!(
        left.join("below/file").exists(),
        "the reported path is the current place of the mount: {left:?}"
    );
}

#[test]
fn directories_without_permissions_are_removed() {
    let unprivileged = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    // A user other than root needs no change.
    let wrap: &[&str] = if rustix::process::geteuid().is_root() { &unprivileged } else { &["env"] };
    let exe = env::current_exe().unwrap();
    let permitted = [wrap, &[exe.to_str().unwrap(), "--list"]].concat();
    if is_in_process_of(&permitted, wrap) != Some(true) {
        return;
    }
    for check in CHECKS {
        let dir = tempfile::tempdir().unwrap();
        let deep = format!("tree/{}", "d/".repeat(100));
        shell(
            &dir,
            &format!(
                "mkdir -p {deep}/e tree/a/b; touch {deep}/e/f tree/a/b/f; chmod 000 {deep}; chmod 555 tree/a/b; chmod 400 tree/a tree"
            ),
        );
        assert_eq!(remove_tree(&dir, check), Remains::default(), "{check:?}");
        assert!(!dir.path().join("tree").exists());
    }
}

#[test]
fn immutable_file_is_left_and_all_beside_it_is_removed() {
    struct Immutable<'a>(&'a TempDir);
    impl Drop for Immutable<'_> {
        fn drop(&mut self) {
            shell(self.0, "chattr -R -i .");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    shell(&dir, "mkdir -p tree/a/b tree/c; touch tree/a/f tree/a/b/kept tree/c/f");
    let kept = Command::new("chattr").arg("+i").arg(dir.path().join("tree/a/b/kept")).output();
    if !kept.is_ok_and(|chattr| chattr.status.success()) {
        return left_out("immutable files are not supported here");
    }
    let immutable = Immutable(&dir);
    let wanted = Remains { reported: vec![("tree/a/b/kept".into(), Errno::PERM)], count: 1 };
    assert_eq!(remove_tree(&dir, MountCheck::Openat2), wanted);
    shell(&dir, "[ -e tree/a/b/kept ] && ! [ -e tree/a/f ] && ! [ -e tree/c ]");
    drop(immutable);
    assert_eq!(remove_tree(&dir, MountCheck::Openat2), Remains::default());
}

#[test]
fn reported_entries_are_bounded() {
    if !is_in_mount_namespace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    shell(&dir, "for n in 1 2 3 4 5 6 7 8 9 10; do mkdir -p tree/$n; mount --bind tree/$n tree/$n; done");
    let remains = remove_tree(&dir, MountCheck::Openat2);
    assert_eq!((remains.reported.len(), remains.count), (MAX_REPORTED, 10));
}
