//! The table for people and the file for machines.

use std::{fs, path::PathBuf};

use crate::measure::Report;

/// Prints the table and writes `target/bench/report.json`.
#[expect(clippy::print_stdout, reason = "what was asked for")]
pub(crate) fn publish(report: &Report) -> anyhow::Result<()> {
    println!(
        "{} desktops, simulated agents on the real protocol, Postgres on memory-backed storage",
        report.desktops
    );
    println!(
        "\nround  executions/s  raw writes/s  ratio  first start ms  commits/execution  WAL bytes/execution"
    );
    for (number, round) in (1..).zip(&report.rounds) {
        println!(
            "{number:>5}  {:>12.0}  {:>12.0}  {:>5.2}  {:>14.1}  {:>17.4}  {:>19.0}",
            round.executions_per_second,
            round.raw_executions_per_second,
            round.ratio_to_raw,
            round.first_start_ms,
            round.commits_per_execution,
            round.wal_bytes_per_execution
        );
    }
    let latency = &report.post_to_first_start_ms;
    println!("\nratio to the raw writes, middle round: {:.2}", report.ratio_to_raw);
    println!(
        "POST to first start, one desktop, {} tries: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        latency.tries, latency.p50, latency.p99, latency.max
    );
    let fairness = &report.fairness;
    println!(
        "urgent task behind {} desktops of another project, capacity {}, {} tries: p50 {:.1} ms, max {:.1} ms; on the \
         idle system p50 {:.1} ms, ratio {:.2}",
        fairness.desktops,
        fairness.capacity,
        fairness.urgent_start_ms.tries,
        fairness.urgent_start_ms.p50,
        fairness.urgent_start_ms.max,
        fairness.idle_start_ms.p50,
        fairness.ratio_to_idle
    );
    let failures = &report.failures;
    println!(
        "all of them failing: {:.0} executions/s, {:.2} of the last round; their {} groups listed in {:.1} ms, the records \
         counted raw in {:.1} ms",
        failures.executions_per_second,
        failures.ratio_to_successes,
        failures.groups,
        failures.list_ms,
        failures.raw_count_ms
    );
    let processes = &report.processes;
    println!(
        "{} desktops with real agents and runners: {:.0} executions/s, {:.2} of the {:.0} processes/s that the machine \
         starts",
        processes.desktops,
        processes.executions_per_second,
        processes.ratio_to_fork_exec,
        processes.fork_exec_per_second
    );
    let directory = PathBuf::from("target/bench");
    fs::create_dir_all(&directory)?;
    let path = directory.join("report.json");
    fs::write(&path, serde_json::to_vec_pretty(report)?)?;
    println!("\nwritten to {}", path.display());
    Ok(())
}
