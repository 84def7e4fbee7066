//! The report: a table for people and JSON for machines.

use std::{collections::BTreeMap, fs, path::PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{
    downtime,
    drill::{Failover, Kind},
    durability_check::Comparison,
    probe::ProbeLog,
};
use crate::chaos::{check::Findings, load::Accepted};

/// Maximum number of violations that are printed one by one.
const MAX_LISTED: usize = 50;

/// Parameters of a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Parameters {
    pub(crate) failovers: u32,
    pub(crate) seed: u64,
    pub(crate) agents: u32,
}

/// Load, faults and findings of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    parameters: Parameters,
    failovers: Vec<FailoverTimes>,
    /// The longest time without a start while nothing failed over.
    longest_without_start_otherwise_ms: i64,
    accepted: usize,
    acknowledged: usize,
    answers: BTreeMap<String, usize>,
    tasks_by_status: BTreeMap<String, usize>,
    targets_by_outcome: BTreeMap<String, usize>,
    starts: usize,
    violations: Vec<String>,
}

/// A failover, in milliseconds since the primary was killed or asked to hand over.
#[derive(Debug, Serialize)]
struct FailoverTimes {
    kind: Kind,
    from: String,
    to: String,
    /// Until the other node takes writes.
    promoted_after_ms: i64,
    /// Until the database's address leads there.
    redirected_after_ms: i64,
    /// Until commits are acknowledged again.
    standby_back_after_ms: i64,
    /// How long submissions were refused or not answered.
    refused_ms: i64,
    /// The longest time in which no script started.
    without_start_ms: i64,
    /// Result of the durability check on the new primary, before any other call.
    accepted: usize,
    acknowledged: usize,
}

impl FailoverTimes {
    fn new(failover: &Failover, log: &ProbeLog, starts: &[DateTime<Utc>]) -> Self {
        let since = |moment: DateTime<Utc>| (moment - failover.span.from).num_milliseconds();
        Self {
            kind: failover.kind,
            from: failover.from.clone(),
            to: failover.to.clone(),
            promoted_after_ms: since(failover.promoted),
            redirected_after_ms: since(failover.redirected),
            standby_back_after_ms: since(failover.standby_back),
            refused_ms: downtime::refusal_time(&log.calls, failover.span).num_milliseconds(),
            without_start_ms: downtime::longest_gap(starts, failover.span).num_milliseconds(),
            accepted: failover.comparison.accepted,
            acknowledged: failover.comparison.acknowledged,
        }
    }
}

impl Report {
    pub(crate) fn new(
        parameters: Parameters,
        failovers: &[Failover],
        log: &ProbeLog,
        starts: &[DateTime<Utc>],
        accepted: &[Accepted],
        comparison: Comparison,
        findings: Findings,
    ) -> Self {
        let mut violations: Vec<String> = failovers
            .iter()
            .zip(1..)
            .flat_map(|(failover, number)| {
                failover.comparison.lost.iter().map(move |lost| format!("failover {number}: {lost}"))
            })
            .collect();
        violations.extend(comparison.lost);
        violations.extend(findings.violations);
        let answers = log.answers();
        // A client repeats a call after UNAVAILABLE, and not after an internal error.
        let wrong = |status: &&String| !["200", "503", "none in 5 s"].contains(&status.as_str());
        violations
            .extend(answers.keys().filter(wrong).map(|status| format!("a submission was answered {status}")));
        Self {
            parameters,
            failovers: failovers.iter().map(|failover| FailoverTimes::new(failover, log, starts)).collect(),
            longest_without_start_otherwise_ms: longest_gap_outside(failovers, starts).num_milliseconds(),
            accepted: accepted.len(),
            acknowledged: comparison.acknowledged,
            answers,
            tasks_by_status: findings.tasks_by_status,
            targets_by_outcome: findings.targets_by_outcome,
            starts: findings.starts,
            violations,
        }
    }

    /// Whether no invariant is violated, and the run tested them.
    pub(crate) fn is_good(&self) -> bool {
        let is_tested = |failover: &FailoverTimes| failover.acknowledged > 0 && failover.accepted > 0;
        self.violations.is_empty() && !self.failovers.is_empty() && self.failovers.iter().all(is_tested)
    }

    /// Prints the table and writes `target/failover/report.json`.
    #[expect(clippy::print_stdout, reason = "the report is the output")]
    pub(crate) fn publish(&self) -> anyhow::Result<()> {
        println!(
            "{} failovers, seed {}, {} agents",
            self.parameters.failovers, self.parameters.seed, self.parameters.agents
        );
        println!(
            "\nfailover      from    to      promoted   address   standby    refused   no start   acknowledged   accepted"
        );
        for failover in &self.failovers {
            let kind = format!("{:?}", failover.kind).to_lowercase();
            println!(
                "  {kind:<11} {:<7} {:<7} {:>8} {:>9} {:>9} {:>10} {:>10} {:>14} {:>10}",
                failover.from,
                failover.to,
                seconds(failover.promoted_after_ms),
                seconds(failover.redirected_after_ms),
                seconds(failover.standby_back_after_ms),
                seconds(failover.refused_ms),
                seconds(failover.without_start_ms),
                failover.acknowledged,
                failover.accepted
            );
        }
        println!(
            "  without a failover nothing started for {} at most",
            seconds(self.longest_without_start_otherwise_ms)
        );
        table("answers to small rollouts", &self.answers);
        table("tasks", &self.tasks_by_status);
        table("targets", &self.targets_by_outcome);
        println!(
            "\n{} tasks accepted, {} results acknowledged, {} starts",
            self.accepted, self.acknowledged, self.starts
        );
        for violation in self.violations.iter().take(MAX_LISTED) {
            println!("BROKEN: {violation}");
        }
        if self.violations.is_empty() {
            println!("every invariant holds");
        } else {
            println!("{} invariants are violated", self.violations.len());
        }
        self.write()
    }

    #[expect(clippy::print_stdout, reason = "the report is the output")]
    fn write(&self) -> anyhow::Result<()> {
        let directory = PathBuf::from("target/failover");
        fs::create_dir_all(&directory)?;
        let path = directory.join("report.json");
        fs::write(&path, serde_json::to_vec_pretty(self)?)?;
        println!("written to {}", path.display());
        Ok(())
    }
}

/// Returns the longest time without a start that overlaps no failover.
fn longest_gap_outside(failovers: &[Failover], starts: &[DateTime<Utc>]) -> TimeDelta {
    let quiet = |pair: &[DateTime<Utc>]| {
        !failovers.iter().any(|failover| pair[1] >= failover.span.from && pair[0] <= failover.span.to)
    };
    let pairs = starts.windows(2).filter(|pair| quiet(pair));
    pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn seconds(ms: i64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

#[expect(clippy::print_stdout, reason = "the report is the output")]
fn table(title: &str, rows: &BTreeMap<String, usize>) {
    println!("\n{title}");
    for (name, number) in rows {
        println!("  {name:<18} {number:>6}");
    }
}
