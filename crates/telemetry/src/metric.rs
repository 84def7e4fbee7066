//! Every metric by name, so that the list in docs/metrics.md is the list in the code.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use metrics::Label;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How often which sizes occurred.
    Histogram(&'static [f64]),
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The role that tells it.
    pub role: &'static str,
    /// What it is told by.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const SECONDS: Kind = Kind::Histogram(&[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0,
]);
const SIZES: Kind = Kind::Histogram(&[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]);

/// Period in which recorded samples move into their histogram. Until then a sample takes 16 bytes.
const UPKEEP_EVERY: Duration = Duration::from_secs(2);

macro_rules! metrics {
    ($($(#[$doc:meta])* $constant:ident: $kind:expr, $role:literal, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Metric =
            Metric { name: $name, kind: $kind, role: $role, labels: &[$($label),*], help: $help };)*
        /// All of them.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    HTTP_REQUESTS: Kind::Counter, "api", "graywave_http_requests_total", ["method", "path", "status"],
        "Requests that were answered";
    HTTP_REQUEST_SECONDS: SECONDS, "api", "graywave_http_request_seconds", ["method", "path"],
        "How long an answer took";
    ADMIN_CALLS: Kind::Counter, "scheduler", "graywave_admin_calls_total", ["service", "method", "code"],
        "Calls of the admin gRPC service that were answered; a stream counts when it has begun, a call that does not exist has neither service nor method";
    ADMIN_CALL_SECONDS: SECONDS, "scheduler", "graywave_admin_call_seconds", ["service", "method"],
        "How long an answer of the admin gRPC service took; of a stream, how long it took to begin";
    TASKS_ACCEPTED: Kind::Counter, "api", "graywave_tasks_accepted_total", ["kind"],
        "Tasks that were accepted: submissions and retries";
    TASKS_ENDED: Kind::Counter, "api, scheduler", "graywave_tasks_ended_total", ["status"],
        "Tasks that ended";
    STOPS: Kind::Counter, "api", "graywave_stops_total", ["of", "mode"],
        "Stops of tasks and of single records that people asked for, which let what runs end or end it";
    GATE_VERDICTS: Kind::Counter, "api, scheduler", "graywave_gate_verdicts_total", ["verdict", "reason"],
        "What the gate said: proceed, hold or halt; a halt with its kind of reason: an exit code, the threshold of a wave or of the task, or failures that came late";
    TARGETS_ADMITTED: Kind::Counter, "scheduler", "graywave_targets_admitted_total", [],
        "Targets whose turn came";
    RECORDS: Kind::Counter, "api, scheduler", "graywave_records_total", ["outcome"],
        "Scripts that ended, each once, when its record is stored";
    RESULTS_REFUSED: Kind::Counter, "scheduler", "graywave_results_refused_total", [],
        "Results that fit no target of ours";
    REPORT_TARGETS: SIZES, "scheduler", "graywave_report_targets", [],
        "Targets in one report: what one commit stores";
    REPORT_SECONDS: SECONDS, "scheduler", "graywave_report_seconds", [],
        "How long a report took to be stored";
    START_SECONDS: SECONDS, "scheduler", "graywave_start_seconds", [],
        "From the acceptance of a task to the start of a target's first script";
    TARGETS_LEASED: Kind::Counter, "scheduler", "graywave_targets_leased_total", [],
        "Targets that were handed to workers";
    LEASES_LOST: Kind::Counter, "scheduler", "graywave_leases_lost_total", [],
        "Batches that were cut again because nobody held them any more";
    WORKERS_LOST: Kind::Counter, "scheduler", "graywave_workers_lost_total", [],
        "Workers that fell silent";
    CERTIFICATES_ISSUED: Kind::Counter, "scheduler", "graywave_certificates_issued_total", [],
        "Certificates that were made for desktops";
    ENROLMENTS_REFUSED: Kind::Counter, "scheduler", "graywave_enrolments_refused_total", [],
        "Enrolments and renewals of known tokens and desktops that were refused";
    TICK_SECONDS: SECONDS, "scheduler", "graywave_tick_seconds", ["loop"],
        "How long a round of a loop took";
    TICKS_FAILED: Kind::Counter, "scheduler", "graywave_ticks_failed_total", ["loop"],
        "Rounds of a loop that failed";
    TASKS_DELETED: Kind::Counter, "scheduler", "graywave_tasks_deleted_total", [],
        "Tasks over their age that were deleted";
    PARTITIONS_DROPPED: Kind::Counter, "scheduler", "graywave_partitions_dropped_total", [],
        "Partitions over their age that were dropped";
    TASKS_OPEN: Kind::Gauge, "scheduler", "graywave_tasks_open", [],
        "Tasks that have not ended";
    TARGETS: Kind::Gauge, "scheduler", "graywave_targets", ["state"],
        "Targets that are admitted and have not ended: ready for a worker, leased by one, or waiting for their desktop";
    DESKTOPS_CONNECTED: Kind::Gauge, "scheduler", "graywave_desktops_connected", [],
        "Desktops that a worker holds";
    WORKERS: Kind::Gauge, "scheduler", "graywave_workers", ["draining"],
        "Workers that are known";
    DATABASE_CONNECTIONS: Kind::Gauge, "api, scheduler", "graywave_database_connections", ["state"],
        "Connections of this process's pool";
    DATABASE_WAIT_SECONDS: SECONDS, "api, scheduler", "graywave_database_wait_seconds", [],
        "How long a connection of the pool was waited for, with the BEGIN of its transaction";
    DATABASE_TIMEOUTS: Kind::Counter, "api, scheduler", "graywave_database_timeouts_total", [],
        "Waits for a connection that ended without one";
    DATABASE_COMMIT_SECONDS: SECONDS, "api, scheduler", "graywave_database_commit_seconds", [],
        "How long a commit took";
    CERTIFICATE_EXPIRES: Kind::Gauge, "scheduler, worker", "graywave_certificate_expires_timestamp_seconds", [],
        "Until when the role's own certificate is good, in Unix seconds; not told without TLS";
    AGENTS_CONNECTED: Kind::Gauge, "worker", "graywave_agents_connected", [],
        "Agents that are connected";
    AGENTS_REFUSED: Kind::Counter, "worker", "graywave_agents_refused_total", [],
        "Agents that were refused";
    TARGETS_HELD: Kind::Gauge, "worker", "graywave_targets_held", [],
        "Targets in the worker's hands";
    REPORTS_WAITING: Kind::Gauge, "worker", "graywave_reports_waiting", [],
        "Results that wait to be reported";
    ORDERS: Kind::Counter, "worker", "graywave_orders_total", [],
        "Orders that were sent to agents";
    RESULTS: Kind::Counter, "worker", "graywave_results_total", [],
        "Results that agents sent";
}

impl Metric {
    fn labels(&self, values: &[&str]) -> Vec<Label> {
        debug_assert_eq!(self.labels.len(), values.len(), "{}", self.name);
        self.labels.iter().zip(values).map(|(name, value)| Label::new(*name, (*value).to_owned())).collect()
    }

    /// Counts so many more, of the values of its labels.
    pub fn count(&self, number: u64, values: &[&str]) {
        metrics::counter!(self.name, self.labels(values)).increment(number);
    }

    /// Sets it to a number.
    pub fn set(&self, number: u64, values: &[&str]) {
        // Exact up to 2^53.
        metrics::gauge!(self.name, self.labels(values)).set(number as f64);
    }

    /// Notes one size.
    pub fn note(&self, size: f64, values: &[&str]) {
        metrics::histogram!(self.name, self.labels(values)).record(size);
    }

    /// Notes how long something took.
    pub fn took(&self, duration: Duration, values: &[&str]) {
        self.note(duration.as_secs_f64(), values);
    }
}

/// The metrics of the process in Prometheus' text format.
#[derive(Debug, Clone)]
pub struct Exposition(PrometheusHandle);

impl Exposition {
    /// Renders the current values of all metrics.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

/// Starts the recorder of the process and its upkeep; a later call returns the same recorder.
pub fn keep() -> anyhow::Result<Exposition> {
    static KEPT: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = kept.as_ref() {
        return Ok(Exposition(handle.clone()));
    }
    let mut builder = PrometheusBuilder::new();
    for metric in ALL {
        if let Kind::Histogram(buckets) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)?;
        }
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| anyhow::anyhow!("metrics are kept already"))?;
    for metric in ALL {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram(_) => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
    let handle = kept.insert(handle).clone();
    start_upkeep(handle.clone())?;
    Ok(Exposition(handle))
}

/// Drains recorded samples for as long as the process runs.
///
/// The recorder keeps every sample of a histogram until a scrape or this upkeep drains it. Without the upkeep a process
/// that nobody scrapes grows by gigabytes a day. A thread, since the recorder outlives any one runtime.
fn start_upkeep(handle: PrometheusHandle) -> anyhow::Result<()> {
    let upkeep = move || {
        loop {
            thread::sleep(UPKEEP_EVERY);
            handle.run_upkeep();
        }
    };
    thread::Builder::new()
        .name("metrics".into())
        .spawn(upkeep)
        .context("cannot start the upkeep of metrics")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_counted_is_told_with_its_help_and_labels() {
        let exposition = keep().unwrap();
        RECORDS.count(2, &["SUCCESS"]);
        RECORDS.count(1, &["SUCCESS"]);
        TARGETS.set(7, &["ready"]);
        REPORT_SECONDS.took(Duration::from_millis(3), &[]);
        let text = keep().unwrap().render();
        assert_eq!(text, exposition.render());
        for line in [
            "# HELP graywave_records_total Scripts that ended",
            "graywave_records_total{outcome=\"SUCCESS\"} 3",
            "graywave_targets{state=\"ready\"} 7",
            "graywave_report_seconds_bucket{le=\"0.0025\"} 0",
            "graywave_report_seconds_bucket{le=\"0.005\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    /// The recorder's `Debug` form is the only view of drained samples that drains nothing itself.
    fn has_drained(exposition: &Exposition, samples: u64) -> bool {
        format!("{:?}", exposition.0).contains(&format!("Histogram {{ count: {samples},"))
    }

    #[test]
    fn samples_that_nobody_scrapes_are_drained() {
        const SAMPLES: u64 = 12_345;
        let exposition = keep().unwrap();
        for _ in 0..SAMPLES {
            START_SECONDS.note(0.002, &[]);
        }
        let deadline = Instant::now() + 5 * UPKEEP_EVERY;
        while !has_drained(&exposition, SAMPLES) {
            assert!(Instant::now() < deadline, "{SAMPLES} samples still wait for a scrape");
            thread::sleep(Duration::from_millis(20));
        }
        let text = exposition.render();
        for line in ["_bucket{le=\"0.001\"} 0", "_bucket{le=\"0.0025\"} 12345", "_count 12345"] {
            assert!(text.contains(&format!("graywave_start_seconds{line}")), "{line}\n{text}");
        }
    }

    #[test]
    fn the_page_has_every_metric() {
        let page = include_str!("../../../docs/metrics.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `graywave_")).collect();
        let wanted: Vec<String> = ALL
            .iter()
            .map(|metric| {
                let kind = match metric.kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Histogram(_) => "histogram",
                };
                let labels = metric.labels.join(", ");
                format!("| `{}` | {} | {kind} | {labels} | {} |", metric.name, metric.role, metric.help)
            })
            .collect();
        assert_eq!(rows, wanted);
    }
}
