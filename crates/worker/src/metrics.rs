//! Gauges of the worker: agents and their versions, targets in flight and waiting reports.

use std::{collections::HashMap, time::Duration};

use domain::version::{PROGRAM, RelativeAge};
use telemetry::metric;

use crate::state::Worker;

const INTERVAL: Duration = Duration::from_secs(5);

/// Sets the gauges for as long as the worker runs.
pub(crate) async fn run(worker: &Worker) {
    loop {
        let versions = worker.registry.agent_versions();
        let sizes = [
            (metric::AGENTS_CONNECTED, worker.registry.len()),
            (metric::AGENT_VERSIONS, versions.len()),
            (metric::TARGETS_HELD, worker.in_flight.len()),
            (metric::REPORTS_WAITING, worker.reports.len()),
        ];
        for (metric, number) in sizes {
            metric.set(number as u64, &[]);
        }
        for (age, agents) in by_age(&versions, PROGRAM) {
            metric::AGENTS_BY_AGE.set(agents, &[age.as_str()]);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Counts agents by age. Agents choose their version, so it is no label.
fn by_age(versions: &HashMap<String, u64>, worker: &str) -> [(RelativeAge, u64); RelativeAge::ALL.len()] {
    RelativeAge::ALL.map(|age| {
        let of_age = versions.iter().filter(|(version, _)| RelativeAge::of_agent(version, worker) == age);
        (age, of_age.map(|(_, agents)| agents).sum())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_age_has_a_number_of_agents() {
        let versions = [("1.4.2", 7), ("1.4.1", 2), ("1.3.0", 3), ("1.0.0", 1), ("x", 4), ("y", 1)];
        let versions = versions.map(|(version, agents)| (version.to_owned(), agents)).into();
        let counted = by_age(&versions, "1.4.2").map(|(age, agents)| (age.as_str(), agents));
        assert_eq!(counted, [("same", 7), ("older", 5), ("newer", 0), ("untested", 1), ("unknown", 5)]);
    }
}
