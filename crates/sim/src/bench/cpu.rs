//! CPU time of the processes under measurement, by role.

use std::collections::BTreeMap;

use anyhow::Context as _;
use procfs::process::{Process, all_processes};
use serde::Serialize;

/// CPU microseconds per execution, by role.
pub(crate) type CpuUs = BTreeMap<Role, f64>;

/// Process whose CPU time is reported apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Postgres,
    Api,
    Scheduler,
    Worker,
    /// The simulated agents, and the benchmark itself.
    Fleet,
}

impl Role {
    /// Roles whose work is Graywave's own.
    pub(crate) const OWN: [Self; 3] = [Self::Api, Self::Scheduler, Self::Worker];

    /// Name in tables.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "Postgres",
            Self::Api => "API",
            Self::Scheduler => "scheduler",
            Self::Worker => "worker",
            Self::Fleet => "fleet",
        }
    }
}

/// The processes under measurement.
#[derive(Debug)]
pub(crate) struct Processes {
    ids: Vec<(Role, u32)>,
}

/// CPU time of each role so far, in clock ticks.
#[derive(Debug)]
pub(crate) struct Snapshot(BTreeMap<Role, u64>);

impl Processes {
    /// Watches these processes and this one. Children count for their parent.
    pub(crate) fn new(mut ids: Vec<(Role, u32)>) -> Self {
        ids.push((Role::Fleet, std::process::id()));
        Self { ids }
    }

    /// Reads the CPU time that each role has used.
    pub(crate) fn snapshot(&self) -> anyhow::Result<Snapshot> {
        let mut ticks = BTreeMap::new();
        for &(role, id) in &self.ids {
            // The roles are children of this process, and count for themselves.
            let used = if role == Role::Fleet { own_ticks()? } else { ticks_with_children(id)? };
            *ticks.entry(role).or_default() += used;
        }
        Ok(Snapshot(ticks))
    }
}

impl Snapshot {
    /// CPU microseconds per execution between two snapshots.
    pub(crate) fn per_execution(&self, later: &Self, executions: u32) -> CpuUs {
        let ticks_per_second = procfs::ticks_per_second() as f64;
        let us = |(role, after): (&Role, &u64)| {
            let ticks = after.saturating_sub(self.0.get(role).copied().unwrap_or_default()) as f64;
            (*role, ticks / ticks_per_second * 1e6 / f64::from(executions))
        };
        later.0.iter().map(us).collect()
    }
}

fn own_ticks() -> anyhow::Result<u64> {
    let stat = Process::myself()?.stat()?;
    Ok(stat.utime + stat.stime)
}

/// CPU time of a process, of the children that it has waited for, and of those that run.
fn ticks_with_children(id: u32) -> anyhow::Result<u64> {
    let id = i32::try_from(id)?;
    let stat = Process::new(id).and_then(|process| process.stat()).context("a role has ended")?;
    let waited_for = u64::try_from(stat.cutime + stat.cstime).unwrap_or_default();
    let children = all_processes()?
        .filter_map(|process| process.ok()?.stat().ok())
        .filter(|child| child.ppid == id)
        .map(|child| child.utime + child.stime);
    Ok(stat.utime + stat.stime + waited_for + children.sum::<u64>())
}
