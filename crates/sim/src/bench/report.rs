//! The tables for people and the file for machines.

use std::{fs, path::PathBuf};

use serde::Serialize;

use crate::{
    cpu::{CpuUs, Role},
    failures::Failures,
    fairness::Fairness,
    latency::Latency,
    plan::Plan,
    processes::Processes,
    statements::Statement,
    throughput::Throughput,
};

/// Everything measured; a scenario that did not run is missing.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) throughput: Option<Throughput>,
    pub(crate) statements: Option<Vec<Statement>>,
    pub(crate) failures: Option<Failures>,
    pub(crate) post_to_first_start_ms: Option<Latency>,
    pub(crate) fairness: Option<Fairness>,
    pub(crate) plan: Option<Plan>,
    pub(crate) processes: Option<Processes>,
}

/// Prints the tables and writes `target/bench/report.json`.
#[expect(clippy::print_stdout, reason = "what was asked for")]
pub(crate) fn publish(report: &Report) -> anyhow::Result<()> {
    let parts = [
        report.throughput.as_ref().map(throughput),
        report.statements.as_deref().map(statements),
        report.failures.as_ref().map(failures),
        report.post_to_first_start_ms.as_ref().map(one_desktop),
        report.fairness.as_ref().map(fairness),
        report.plan.as_ref().map(plan),
        report.processes.as_ref().map(processes),
    ];
    for part in parts.into_iter().flatten() {
        println!("{part}\n");
    }
    let directory = PathBuf::from("target/bench");
    fs::create_dir_all(&directory)?;
    let path = directory.join("report.json");
    fs::write(&path, serde_json::to_vec_pretty(report)?)?;
    println!("written to {}", path.display());
    Ok(())
}

fn throughput(measured: &Throughput) -> String {
    let mut lines = vec![
        format!(
            "throughput: {} desktops, simulated agents on the real protocol, Postgres on memory-backed storage",
            measured.desktops
        ),
        "round  executions/s  exchanges/s  raw writes/s  bound/s  ratio to bound  first start ms  commits/execution  \
         WAL bytes/execution"
            .to_owned(),
    ];
    for (number, round) in (1..).zip(&measured.rounds) {
        lines.push(format!(
            "{number:>5}  {:>12.0}  {:>11.0}  {:>12.0}  {:>7.0}  {:>14.2}  {:>14.1}  {:>17.4}  {:>19.0}",
            round.executions_per_second,
            round.exchanges_per_second,
            round.raw_executions_per_second,
            round.bound_per_second,
            round.executions_per_second / round.bound_per_second,
            round.first_start_ms,
            round.commits_per_execution,
            round.wal_bytes_per_execution
        ));
    }
    lines.push(format!(
        "middle round: {:.2} of the bound, {:.2} of the raw writes",
        measured.ratio_to_bound, measured.ratio_to_raw
    ));
    lines.extend(measured.rounds.iter().map(|round| cpu(&round.cpu_us_per_execution)));
    lines.join("\n")
}

fn cpu(cpu_us: &CpuUs) -> String {
    let roles = cpu_us.iter().map(|(role, us)| format!("{} {us:.0}", role.as_str()));
    let own: f64 = Role::OWN.iter().filter_map(|role| cpu_us.get(role)).sum();
    format!(
        "CPU microseconds per execution: {}; API, scheduler and worker together {own:.0}",
        roles.collect::<Vec<_>>().join(", ")
    )
}

fn statements(longest: &[Statement]) -> String {
    let mut lines = vec!["  total ms    calls     rows  statement".to_owned()];
    lines.extend(longest.iter().map(|Statement { calls, total_ms, rows, statement }| {
        format!("{total_ms:>10.1}  {calls:>7}  {rows:>7}  {statement}")
    }));
    lines.join("\n")
}

fn failures(failures: &Failures) -> String {
    format!(
        "failures: {} desktops, all of them failing: {:.0} executions/s, {:.2} of a round of successes; their {} groups \
         listed in {:.1} ms, the records counted raw in {:.1} ms\n{}",
        failures.desktops,
        failures.executions_per_second,
        failures.ratio_to_successes,
        failures.groups,
        failures.list_ms,
        failures.raw_count_ms,
        cpu(&failures.cpu_us_per_execution)
    )
}

fn one_desktop(latency: &Latency) -> String {
    format!(
        "one desktop: POST to first start, {} tries: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        latency.tries, latency.p50, latency.p99, latency.max
    )
}

fn fairness(fairness: &Fairness) -> String {
    format!(
        "fairness: urgent task behind {} desktops of another project, capacity {}, {} tries: p50 {:.1} ms, max {:.1} ms; \
         on the idle system p50 {:.1} ms, ratio {:.2}",
        fairness.desktops,
        fairness.capacity,
        fairness.urgent_start_ms.tries,
        fairness.urgent_start_ms.p50,
        fairness.urgent_start_ms.max,
        fairness.idle_start_ms.p50,
        fairness.ratio_to_idle
    )
}

fn plan(plan: &Plan) -> String {
    format!(
        "plan: POST of {} desktops by ids, {:.1} MB: {:.1} s, {:.2} of a COPY of its targets ({:.1} s); peak memory of the \
         API {:.0} MB",
        plan.desktops,
        plan.body_bytes as f64 / 1e6,
        plan.post_seconds,
        plan.ratio_to_copy,
        plan.copy_seconds,
        plan.api_peak_bytes as f64 / 1e6
    )
}

fn processes(processes: &Processes) -> String {
    format!(
        "processes: {} desktops with real agents and runners: {:.0} executions/s, {:.2} of the {:.0} processes/s that the \
         machine starts",
        processes.desktops,
        processes.executions_per_second,
        processes.ratio_to_fork_exec,
        processes.fork_exec_per_second
    )
}
