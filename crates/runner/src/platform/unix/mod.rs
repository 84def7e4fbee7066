//! Linux: sessions, cgroups, signals and Unix sockets.

mod cgroup;
mod control;
mod host;
mod kill;
mod processes;
mod user;

use std::{
    env,
    fs::{self, File},
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

pub(crate) use host::Host;
use rustix::{
    fs::{FallocateFlags, fallocate},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
pub(crate) use user::run_as;

use crate::{Containment, LeftProcess, MOUNT_NAMESPACE, text::CodePage};

/// Exit codes of a process that the machine ended. The shell's codes of signals are recognised
/// elsewhere.
pub(crate) const TERMINATED_CODES: [i32; 0] = [];

/// Makes a run directory the working directory, and returns its path there. A script may take the
/// permissions of a directory above, or rename it. Enters the mount namespace of the script before.
pub(crate) fn enter(run_dir: &Path) -> io::Result<PathBuf> {
    if let Some(namespace) = env::var_os(MOUNT_NAMESPACE) {
        enter_mount_namespace(Path::new(&namespace))?;
    }
    env::set_current_dir(run_dir)?;
    Ok(PathBuf::from("."))
}

/// Moves this process, which has one thread, and its later children into a mount namespace.
fn enter_mount_namespace(namespace: &Path) -> io::Result<()> {
    let entered = File::open(namespace)
        .and_then(|file| Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Mount))?));
    entered.map_err(|error| {
        let text = format!("entering the mount namespace {} failed: {error}", namespace.display());
        io::Error::new(error.kind(), text)
    })
}

/// Makes the name of a new, closed file durable.
pub(crate) fn sync_new_file(_file: &File, dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Reserves space for a file without a change of its length. Best effort.
pub(crate) fn reserve(file: &File, bytes: u64) {
    let (Ok(()) | Err(_)) = fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes);
}

/// Code page of programs that write no UTF-8: every program writes UTF-8.
pub(crate) const LOCAL_TEXT: Option<CodePage> = None;

/// Id of this boot of the machine; `None` if it is unknown.
pub fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim_end().to_owned())
}

/// Whether executions on this machine get a cgroup. Creates one and removes it.
pub fn contain_processes() -> Containment {
    // Several agents may be in one process.
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    match cgroup::Cgroup::create(&format!("probe-{}-{number}", std::process::id())) {
        Ok(probe) => {
            probe.remove();
            Containment::Cgroup
        }
        Err(_) => Containment::Mark,
    }
}

/// Ids of the executions that begin with one of `prefixes` and whose runner lives with this entry,
/// as `NAME=VALUE`, in its environment. Needs no run directory. Reads every process once.
pub fn running_ids(prefixes: &[String], entry: &str) -> Vec<String> {
    processes::runners(prefixes, entry)
}

/// Kills all processes of an execution whose runner is dead: those in its cgroup, and those with
/// its mark in the environment. Returns survivors. Blocks for at most a few seconds. Without the
/// path of the cgroup, it is looked for below the cgroup of this process.
pub fn kill_processes(id: &str, cgroup: Option<&Path>) -> Vec<LeftProcess> {
    let cgroup = match cgroup {
        Some(path) => cgroup::Cgroup::open(path, id),
        None => cgroup::Cgroup::find(id),
    };
    let survivors = kill::kill(kill::Search::Marked, id, cgroup.as_ref());
    if let Some(cgroup) = cgroup {
        cgroup.remove();
    }
    survivors
}
