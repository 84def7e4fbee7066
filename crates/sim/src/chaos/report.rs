//! The report: a table for people and JSON for machines.

use std::{collections::BTreeMap, fs, path::PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    check::Findings,
    faults::{Fault, Faults},
    lie::Lie,
    load::Accepted,
};

/// Maximum number of violations that are printed one by one.
const MAX_LISTED: usize = 50;

/// Arguments of a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Parameters {
    pub(crate) seed: u64,
    pub(crate) minutes: f64,
    pub(crate) agents: u32,
}

/// Load, faults and findings of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    parameters: Parameters,
    accepted: usize,
    accepted_by_kind: BTreeMap<&'static str, usize>,
    tasks_by_status: BTreeMap<String, usize>,
    targets_by_outcome: BTreeMap<String, usize>,
    starts: usize,
    faults_by_kind: BTreeMap<String, usize>,
    faults: Vec<Fault>,
    /// Lies of the desktop that lies.
    lies_by_kind: BTreeMap<Lie, usize>,
    violations: Vec<String>,
}

impl Report {
    pub(crate) fn new(
        parameters: Parameters,
        accepted: &[Accepted],
        faults: Faults,
        lies_by_kind: BTreeMap<Lie, usize>,
        findings: Findings,
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
            parameters,
            accepted: accepted.len(),
            accepted_by_kind,
            tasks_by_status: findings.tasks_by_status,
            targets_by_outcome: findings.targets_by_outcome,
            starts: findings.starts,
            faults_by_kind,
            faults: faults.0,
            lies_by_kind,
            violations: findings.violations,
        }
    }

    /// Whether no invariant is violated, and the run tested them.
    pub(crate) fn is_good(&self) -> bool {
        let was_tested = self.starts > 0 && !self.faults.is_empty() && !self.lies_by_kind.is_empty();
        self.violations.is_empty() && was_tested
    }

    /// Prints the tables, and writes them with every fault to `target/chaos/report.txt`, and all of
    /// it to `report.json`.
    #[expect(clippy::print_stdout, reason = "the report is the output")]
    pub(crate) fn publish(&self) -> anyhow::Result<()> {
        let tables = self.tables();
        println!("{tables}");
        let directory = PathBuf::from("target/chaos");
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("report.txt"), format!("{tables}\n{}", self.timeline()))?;
        fs::write(directory.join("report.json"), serde_json::to_vec_pretty(self)?)?;
        println!("written to {}: report.txt with every fault, and report.json", directory.display());
        Ok(())
    }

    fn tables(&self) -> String {
        let faults = self.faults_by_kind.iter().map(|(kind, number)| (kind.as_str(), *number));
        let accepted = self.accepted_by_kind.iter().map(|(kind, number)| (*kind, *number));
        let tasks = self.tasks_by_status.iter().map(|(status, number)| (status.as_str(), *number));
        let targets = self.targets_by_outcome.iter().map(|(outcome, number)| (outcome.as_str(), *number));
        let violations =
            self.violations.iter().take(MAX_LISTED).map(|violation| format!("BROKEN: {violation}"));
        let verdict = match self.violations.len() {
            0 => "every invariant holds".to_owned(),
            number => format!("{number} invariants are violated"),
        };
        let Parameters { seed, minutes, agents } = self.parameters;
        let lies: usize = self.lies_by_kind.values().sum();
        let mut lines = vec![format!("seed {seed}, {minutes} minutes, {agents} agents")];
        lines.extend([table("faults", faults), table("accepted", accepted)]);
        lines.extend([table("tasks", tasks), table("targets", targets)]);
        lines.push(format!("\n{lies} lies of {} kinds", self.lies_by_kind.len()));
        lines.push(format!("{} starts, none of them twice unless listed below", self.starts));
        lines.extend(violations);
        lines.push(verdict);
        lines.join("\n")
    }

    /// Every fault: when it began, how long it lasted, what it was done to.
    fn timeline(&self) -> String {
        let Some(first) = self.faults.first().map(|fault| fault.from) else { return String::new() };
        let line = |fault: &Fault| {
            let seconds = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).as_seconds_f64();
            format!(
                "{:>7.1} s  {:<17} {:>5.1} s  {}\n",
                seconds(first, fault.from),
                format!("{:?}", fault.kind),
                seconds(fault.from, fault.to),
                fault.targets.join(", ")
            )
        };
        self.faults.iter().map(line).collect()
    }
}

fn table<'a>(title: &str, rows: impl Iterator<Item = (&'a str, usize)>) -> String {
    let rows = rows.map(|(name, number)| format!("\n  {name:<18} {number:>6}"));
    format!("\n{title}{}", rows.collect::<String>())
}
