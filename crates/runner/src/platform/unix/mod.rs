//! Linux: sessions, cgroups, signals and Unix sockets.

mod cgroup;
mod control;
mod host;
mod kill;
mod processes;
mod user;

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

pub(crate) use host::Host;
pub(crate) use user::run_as;

use crate::{Containment, LeftProcess};

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
