//! The report: a table for people and JSON for machines.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde::Serialize;

use super::{
    check::Found,
    faults::{Faults, Injected},
    load::Accepted,
};

/// Broken promises that are told one by one.
const MAX_TOLD: usize = 50;

/// What was done and what was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    seed: u64,
    minutes: f64,
    agents: u32,
    accepted: usize,
    accepted_by_kind: BTreeMap<&'static str, usize>,
    tasks_by_status: BTreeMap<String, usize>,
    targets_by_outcome: BTreeMap<String, usize>,
    starts: usize,
    faults_by_kind: BTreeMap<String, usize>,
    faults: Vec<Injected>,
    broken: Vec<String>,
}

impl Report {
    pub(crate) fn new(
        seed: u64,
        minutes: f64,
        agents: u32,
        accepted: &[Accepted],
        faults: Faults,
        found: Found,
    ) -> Self {
        let mut accepted_by_kind = BTreeMap::new();
        for task in accepted {
            *accepted_by_kind.entry(task.kind).or_default() += 1;
        }
        let mut faults_by_kind = BTreeMap::new();
        for fault in &faults.0 {
            *faults_by_kind.entry(format!("{:?}", fault.kind)).or_default() += 1;
        }
        Self {
            seed,
            minutes,
            agents,
            accepted: accepted.len(),
            accepted_by_kind,
            tasks_by_status: found.tasks_by_status,
            targets_by_outcome: found.targets_by_outcome,
            starts: found.starts,
            faults_by_kind,
            faults: faults.0,
            broken: found.broken,
        }
    }

    /// No promise was broken, and there was something to break.
    pub(crate) fn is_good(&self) -> bool {
        self.broken.is_empty() && self.starts > 0 && !self.faults.is_empty()
    }

    /// Prints the table and writes `target/chaos/report.json`.
    #[expect(clippy::print_stdout, reason = "what was asked for")]
    pub(crate) fn publish(&self) -> anyhow::Result<()> {
        println!("seed {}, {} minutes, {} agents", self.seed, self.minutes, self.agents);
        table("faults", self.faults_by_kind.iter().map(|(kind, number)| (kind.as_str(), *number)));
        table("accepted", self.accepted_by_kind.iter().map(|(kind, number)| (*kind, *number)));
        table("tasks", self.tasks_by_status.iter().map(|(status, number)| (status.as_str(), *number)));
        table("targets", self.targets_by_outcome.iter().map(|(outcome, number)| (outcome.as_str(), *number)));
        println!("\n{} starts, none of them twice unless it is told below", self.starts);
        for broken in self.broken.iter().take(MAX_TOLD) {
            println!("BROKEN: {broken}");
        }
        if self.broken.is_empty() {
            println!("every promise was kept");
        } else {
            println!("{} promises were broken", self.broken.len());
        }
        let directory = PathBuf::from("target/chaos");
        fs::create_dir_all(&directory)?;
        let path = directory.join("report.json");
        fs::write(&path, serde_json::to_vec_pretty(self)?)?;
        println!("written to {}", path.display());
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn table<'a>(title: &str, rows: impl Iterator<Item = (&'a str, usize)>) {
    println!("\n{title}");
    for (name, number) in rows {
        println!("  {name:<18} {number:>6}");
    }
}
