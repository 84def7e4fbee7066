//! A cgroup v2 for each execution.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::process::Pid;

/// Cgroup of one execution, below the cgroup of its creator.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Creates the cgroup of an execution.
    ///
    /// # Errors
    ///
    /// If there is no cgroup v2, or the user may not create one.
    pub(super) fn create(id: &str) -> io::Result<Self> {
        let path = own_cgroup()?.join(name(id));
        // Left by a runner that failed before its claim.
        drop(fs::remove_dir(&path));
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    /// Opens the cgroup at a path that was read from disk; `None` if the path does not name the
    /// cgroup of this execution.
    pub(super) fn open(path: &Path, id: &str) -> Option<Self> {
        let is_its_own = path.file_name()? == name(id).as_str();
        // Every cgroup but the root has this file, and nothing else does.
        (is_its_own && path.join("cgroup.events").exists()).then(|| Self { path: path.to_owned() })
    }

    /// Opens the cgroup of an execution that a process in this process's cgroup created.
    pub(super) fn find(id: &str) -> Option<Self> {
        Self::open(&own_cgroup().ok()?.join(name(id)), id)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `start` in this cgroup: a child is created where its parent is. False if the caller
    /// could not leave the cgroup again.
    pub(super) fn within<T>(&self, start: impl FnOnce() -> T) -> io::Result<(T, bool)> {
        let parent = self.path.parent().unwrap_or(&self.path);
        fs::write(self.path.join("cgroup.procs"), "0")?;
        let started = start();
        let has_left = fs::write(parent.join("cgroup.procs"), "0").is_ok();
        Ok((started, has_left))
    }

    /// Processes in the cgroup and in cgroups below it.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let mut processes = Vec::new();
        let mut dirs = vec![self.path.clone()];
        while let Some(dir) = dirs.pop() {
            let listed = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            processes.extend(listed.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
            let below = fs::read_dir(&dir).into_iter().flatten().flatten();
            dirs.extend(
                below
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|entry| entry.path()),
            );
        }
        processes
    }

    /// Kills every process in the cgroup. Before Linux 5.14 the cgroup is frozen instead, and the
    /// caller kills its processes one by one; `thaw` ends that.
    pub(super) fn kill(&self) {
        if fs::write(self.path.join("cgroup.kill"), "1").is_err() {
            drop(fs::write(self.path.join("cgroup.freeze"), "1"));
        }
    }

    /// Lets killed processes of a frozen cgroup end.
    pub(super) fn thaw(&self) {
        if !self.path.join("cgroup.kill").exists() {
            drop(fs::write(self.path.join("cgroup.freeze"), "0"));
        }
    }

    /// Removes the cgroup and those below it, unless processes are in them.
    pub(super) fn remove(&self) {
        remove(&self.path);
    }
}

fn remove(dir: &Path) {
    if fs::remove_dir(dir).is_err() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path());
            }
        }
        drop(fs::remove_dir(dir));
    }
}

fn name(id: &str) -> String {
    format!("graywave-{id}")
}

/// Directory of this process's cgroup v2: the only hierarchy, or the `unified` one beside others.
fn own_cgroup() -> io::Result<PathBuf> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "no cgroup v2");
    let cgroups = fs::read_to_string("/proc/self/cgroup")?;
    let own = cgroups.lines().find_map(|line| line.strip_prefix("0::")).ok_or_else(missing)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    mounts.lines().find_map(|line| below_mount(line, own)).ok_or_else(missing)
}

/// Path of a cgroup below a mount; `None` if the line describes another kind of mount, or one that
/// does not contain the cgroup. For the format see proc_pid_mountinfo(5).
fn below_mount(line: &str, cgroup: &str) -> Option<PathBuf> {
    let (mount, kind) = line.split_once(" - ")?;
    if !kind.starts_with("cgroup2 ") {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let below = Path::new(cgroup).strip_prefix(root).ok()?;
    Some(Path::new(point).join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_is_found_below_its_mount() {
        let hybrid = "42 32 0:37 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw";
        assert_eq!(below_mount(hybrid, "/"), Some("/sys/fs/cgroup/unified".into()));
        let bound = "42 32 0:37 /a/b /cg rw - cgroup2 cgroup2 rw";
        assert_eq!(below_mount(bound, "/a/b/c"), Some("/cg/c".into()));
        assert_eq!(below_mount(bound, "/a/other"), None);
        assert_eq!(below_mount("33 32 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", "/"), None);
    }

    #[test]
    fn path_of_another_execution_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("graywave-a");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("cgroup.events"), "").unwrap();
        assert!(Cgroup::open(&path, "a").is_some());
        assert!(Cgroup::open(&path, "b").is_none());
        assert!(Cgroup::open(dir.path(), "a").is_none());
    }
}
