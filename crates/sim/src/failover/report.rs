//! The report: a table for people and JSON for machines.

use std::{collections::BTreeMap, fs, path::PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{
    downtime,
    drill::{Done, Kind},
    durability_check::Compared,
    probe::Seen,
};
use crate::chaos::{check::Found, load::Accepted};

/// Maximum number of violations that are printed one by one.
const MAX_TOLD: usize = 50;

/// What a run was asked to do.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Asked {
    pub(crate) failovers: u32,
    pub(crate) seed: u64,
    pub(crate) agents: u32,
}

/// What was done and what was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    asked: Asked,
    failovers: Vec<Measured>,
    /// The longest time without a start while nothing failed over.
    longest_without_start_otherwise_ms: i64,
    accepted: usize,
    acknowledged: usize,
    answers: BTreeMap<String, usize>,
    tasks_by_status: BTreeMap<String, usize>,
    targets_by_outcome: BTreeMap<String, usize>,
    starts: usize,
    broken: Vec<String>,
}

/// A failover, in milliseconds since the primary was killed or asked to hand over.
#[derive(Debug, Serialize)]
struct Measured {
    kind: Kind,
    from: String,
    to: String,
    /// Until the other node takes writes.
    promoted_after_ms: i64,
    /// Until the database's address leads there.
    led_after_ms: i64,
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

impl Measured {
    fn new(done: &Done, seen: &Seen, starts: &[DateTime<Utc>]) -> Self {
        let since = |moment: DateTime<Utc>| (moment - done.span.from).num_milliseconds();
        Self {
            kind: done.kind,
            from: done.from.clone(),
            to: done.to.clone(),
            promoted_after_ms: since(done.promoted),
            led_after_ms: since(done.led),
            standby_back_after_ms: since(done.standby_back),
            refused_ms: downtime::refused(&seen.calls, done.span).num_milliseconds(),
            without_start_ms: downtime::longest(starts, done.span).num_milliseconds(),
            accepted: done.compared.accepted,
            acknowledged: done.compared.acknowledged,
        }
    }
}

impl Report {
    pub(crate) fn new(
        asked: Asked,
        done: &[Done],
        seen: &Seen,
        starts: &[DateTime<Utc>],
        accepted: &[Accepted],
        compared: Compared,
        found: Found,
    ) -> Self {
        let mut broken: Vec<String> = done
            .iter()
            .zip(1..)
            .flat_map(|(done, number)| {
                done.compared.lost.iter().map(move |lost| format!("failover {number}: {lost}"))
            })
            .collect();
        broken.extend(compared.lost);
        broken.extend(found.broken);
        let answers = seen.answers();
        // A client repeats a call after UNAVAILABLE, and not after an internal error.
        let wrong = |status: &&String| !["200", "503", "none in 5 s"].contains(&status.as_str());
        broken
            .extend(answers.keys().filter(wrong).map(|status| format!("a submission was answered {status}")));
        Self {
            asked,
            failovers: done.iter().map(|done| Measured::new(done, seen, starts)).collect(),
            longest_without_start_otherwise_ms: otherwise(done, starts).num_milliseconds(),
            accepted: accepted.len(),
            acknowledged: compared.acknowledged,
            answers,
            tasks_by_status: found.tasks_by_status,
            targets_by_outcome: found.targets_by_outcome,
            starts: found.starts,
            broken,
        }
    }

    /// Whether no invariant is violated, and the run tested them.
    pub(crate) fn is_good(&self) -> bool {
        let tried = |done: &Measured| done.acknowledged > 0 && done.accepted > 0;
        self.broken.is_empty() && !self.failovers.is_empty() && self.failovers.iter().all(tried)
    }

    /// Prints the table and writes `target/failover/report.json`.
    #[expect(clippy::print_stdout, reason = "what was asked for")]
    pub(crate) fn publish(&self) -> anyhow::Result<()> {
        println!(
            "{} failovers, seed {}, {} agents",
            self.asked.failovers, self.asked.seed, self.asked.agents
        );
        println!(
            "\nfailover      from    to      promoted   address   standby    refused   no start   acknowledged   accepted"
        );
        for done in &self.failovers {
            let kind = format!("{:?}", done.kind).to_lowercase();
            println!(
                "  {kind:<11} {:<7} {:<7} {:>8} {:>9} {:>9} {:>10} {:>10} {:>14} {:>10}",
                done.from,
                done.to,
                seconds(done.promoted_after_ms),
                seconds(done.led_after_ms),
                seconds(done.standby_back_after_ms),
                seconds(done.refused_ms),
                seconds(done.without_start_ms),
                done.acknowledged,
                done.accepted
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
        for broken in self.broken.iter().take(MAX_TOLD) {
            println!("BROKEN: {broken}");
        }
        if self.broken.is_empty() {
            println!("every invariant holds");
        } else {
            println!("{} invariants are violated", self.broken.len());
        }
        self.write()
    }

    #[expect(clippy::print_stdout, reason = "what was asked for")]
    fn write(&self) -> anyhow::Result<()> {
        let directory = PathBuf::from("target/failover");
        fs::create_dir_all(&directory)?;
        let path = directory.join("report.json");
        fs::write(&path, serde_json::to_vec_pretty(self)?)?;
        println!("written to {}", path.display());
        Ok(())
    }
}

/// Between two failovers.
fn otherwise(done: &[Done], starts: &[DateTime<Utc>]) -> TimeDelta {
    let quiet = |pair: &[DateTime<Utc>]| {
        !done.iter().any(|done| pair[1] >= done.span.from && pair[0] <= done.span.to)
    };
    let pairs = starts.windows(2).filter(|pair| quiet(pair));
    pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn seconds(ms: i64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn table(title: &str, rows: &BTreeMap<String, usize>) {
    println!("\n{title}");
    for (name, number) in rows {
        println!("  {name:<18} {number:>6}");
    }
}
