//! Definitions of all metrics; docs/metrics.md repeats this list, and a test compares both.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use metrics::Label;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::CELL;

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Value that only increases.
    Counter,
    /// Current value.
    Gauge,
    /// Distribution of values over these bucket bounds.
    Histogram(&'static [f64]),
}

/// Definition of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name in Prometheus.
    pub name: &'static str,
    /// Kind of the metric.
    pub kind: Kind,
    /// Role that exports the metric.
    pub role: &'static str,
    /// Label names, in the order of the values.
    pub labels: &'static [&'static str],
    /// Help text.
    pub help: &'static str,
}

const SECONDS: Kind = Kind::Histogram(&[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0,
]);
const SIZES: Kind = Kind::Histogram(&[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]);

/// Interval at which recorded samples move into their histogram. Until then a sample takes 16
/// bytes.
const UPKEEP_EVERY: Duration = Duration::from_secs(2);

macro_rules! metrics {
    ($($(#[$doc:meta])* $constant:ident: $kind:expr, $role:literal, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Metric =
            Metric { name: $name, kind: $kind, role: $role, labels: &[$($label),*], help: $help };)*
        /// All metrics.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD_INFO: Kind::Gauge, "api, scheduler, worker", "graywave_build_info", ["version"],
        "Always 1; the label has the version of the role";
    HTTP_REQUESTS: Kind::Counter, "api", "graywave_http_requests_total", ["method", "path", "status"],
        "Answered HTTP requests";
    HTTP_REQUEST_SECONDS: SECONDS, "api", "graywave_http_request_seconds", ["method", "path"],
        "Time to answer an HTTP request";
    ADMIN_CALLS: Kind::Counter, "scheduler", "graywave_admin_calls_total", ["service", "method", "code"],
        "Answered calls of the admin gRPC service";
    ADMIN_CALL_SECONDS: SECONDS, "scheduler", "graywave_admin_call_seconds", ["service", "method"],
        "Time to answer a call of the admin gRPC service";
    TASKS_ACCEPTED: Kind::Counter, "api", "graywave_tasks_accepted_total", ["kind"],
        "Accepted tasks: submissions and retries";
    TASKS_ENDED: Kind::Counter, "api, scheduler", "graywave_tasks_ended_total", ["status"],
        "Ended tasks";
    STOPS: Kind::Counter, "api", "graywave_stops_total", ["of", "mode"],
        "Stops of tasks and of single records by callers";
    GATE_VERDICTS: Kind::Counter, "api, scheduler", "graywave_gate_verdicts_total", ["verdict", "reason"],
        "Verdicts of the gate: proceed, hold or halt";
    TARGETS_ADMITTED: Kind::Counter, "scheduler", "graywave_targets_admitted_total", [],
        "Admitted targets";
    RECORDS: Kind::Counter, "api, scheduler", "graywave_records_total", ["outcome"],
        "Scripts that ended, counted once when their record is stored";
    RESULTS_REFUSED: Kind::Counter, "scheduler", "graywave_results_refused_total", [],
        "Refused results that match no target";
    LIVE_OUTPUT_BYTES: Kind::Counter, "scheduler", "graywave_live_output_bytes_total", [],
        "Stored bytes of the output of running scripts that callers read";
    LIVE_OUTPUT_REFUSED: Kind::Counter, "scheduler", "graywave_live_output_refused_total", [],
        "Parts of live output that are malformed or not authentic";
    REPORT_TARGETS: SIZES, "scheduler", "graywave_report_targets", [],
        "Targets in one report, which one commit stores";
    REPORT_SECONDS: SECONDS, "scheduler", "graywave_report_seconds", [],
        "Time to store a report";
    START_SECONDS: SECONDS, "scheduler", "graywave_start_seconds", [],
        "Time from the acceptance of a task to the start of a target's first script";
    TARGETS_LEASED: Kind::Counter, "scheduler", "graywave_targets_leased_total", [],
        "Targets leased to workers";
    LEASES_LOST: Kind::Counter, "scheduler", "graywave_leases_lost_total", [],
        "Batches reclaimed because no worker held them any more";
    WORKERS_LOST: Kind::Counter, "scheduler", "graywave_workers_lost_total", [],
        "Workers lost after missing heartbeats";
    CERTIFICATES_ISSUED: Kind::Counter, "scheduler", "graywave_certificates_issued_total", [],
        "Issued desktop certificates";
    ENROLMENTS_REFUSED: Kind::Counter, "scheduler", "graywave_enrolments_refused_total", [],
        "Refused enrolments and renewals of known tokens and desktops";
    TICK_SECONDS: SECONDS, "scheduler", "graywave_loop_seconds", ["loop"],
        "Time of one round of a loop";
    TICKS_FAILED: Kind::Counter, "scheduler", "graywave_loop_failures_total", ["loop"],
        "Failed rounds of a loop";
    TASK_STEPS_FAILED: Kind::Counter, "scheduler", "graywave_task_step_failures_total", ["loop"],
        "Failed steps of single tasks; other tasks go on";
    TASKS_DELETED: Kind::Counter, "scheduler", "graywave_tasks_deleted_total", [],
        "Tasks deleted by retention";
    PARTITIONS_DROPPED: Kind::Counter, "scheduler", "graywave_partitions_dropped_total", [],
        "Partitions dropped by retention";
    TASKS_OPEN: Kind::Gauge, "scheduler", "graywave_tasks_open", [],
        "Tasks that have not ended";
    TARGETS: Kind::Gauge, "scheduler", "graywave_targets", ["state"],
        "Admitted targets that have not ended, by state";
    DESKTOPS_CONNECTED: Kind::Gauge, "scheduler", "graywave_desktops_connected", [],
        "Desktops connected to a worker";
    WORKERS: Kind::Gauge, "scheduler", "graywave_workers", ["draining"],
        "Known workers";
    AUDIT_UNSEALED_SECONDS: Kind::Gauge, "scheduler", "graywave_audit_unsealed_seconds", [],
        "Age of the oldest audit entry that waits for its seal";
    UNPROJECTED_SECONDS: Kind::Gauge, "scheduler", "graywave_unprojected_seconds", [],
        "Age of the oldest task whose records are missing in lists over all tasks";
    PROJECTION_REPAIRS: Kind::Counter, "scheduler", "graywave_projection_repairs_total", [],
        "Wrong numbers behind lists that a check found and repaired: a defect";
    DATABASE_CONNECTIONS: Kind::Gauge, "api, scheduler", "graywave_database_connections", ["state"],
        "Connections in the process's pool";
    DATABASE_WAIT_SECONDS: SECONDS, "api, scheduler", "graywave_database_wait_seconds", [],
        "Time to get a connection from the pool, including the BEGIN of its transaction";
    DATABASE_TIMEOUTS: Kind::Counter, "api, scheduler", "graywave_database_timeouts_total", [],
        "Waits for a connection that timed out";
    DATABASE_COMMIT_SECONDS: SECONDS, "api, scheduler", "graywave_database_commit_seconds", [],
        "Time of a commit";
    SETTING_RELOADS: Kind::Counter, "api, scheduler", "graywave_setting_reloads_total", ["setting", "result"],
        "Changed files of settings, accepted or refused";
    CERTIFICATE_EXPIRES: Kind::Gauge, "scheduler, worker", "graywave_certificate_expires_timestamp_seconds", [],
        "Expiry of the role's own certificate, in Unix seconds";
    SIGNER_EXPIRES: Kind::Gauge, "scheduler", "graywave_signer_expires_timestamp_seconds", [],
        "Expiry of the certificate that signs orders, in Unix seconds";
    AGENTS_CONNECTED: Kind::Gauge, "worker", "graywave_agents_connected", [],
        "Connected agents";
    AGENTS_BY_AGE: Kind::Gauge, "worker", "graywave_agents_by_age", ["age"],
        "Connected agents by their version relative to the worker: same, older, newer, untested or unknown";
    AGENT_VERSIONS: Kind::Gauge, "worker", "graywave_agent_versions", [],
        "Different versions of connected agents";
    AGENTS_REFUSED: Kind::Counter, "worker", "graywave_agents_refused_total", [],
        "Refused agents";
    TARGETS_HELD: Kind::Gauge, "worker", "graywave_targets_in_flight", [],
        "Targets in flight on the worker";
    REPORTS_WAITING: Kind::Gauge, "worker", "graywave_reports_queued", [],
        "Results that wait to be reported";
    ORDERS: Kind::Counter, "worker", "graywave_orders_total", [],
        "Orders sent to agents";
    RESULTS: Kind::Counter, "worker", "graywave_results_total", [],
        "Results received from agents";
}

impl Metric {
    fn labels(&self, values: &[&str]) -> Vec<Label> {
        debug_assert_eq!(self.labels.len(), values.len(), "{}", self.name);
        self.labels.iter().zip(values).map(|(name, value)| Label::new(*name, (*value).to_owned())).collect()
    }

    /// Adds `number` to a counter with these label values.
    pub fn increment(&self, number: u64, values: &[&str]) {
        metrics::counter!(self.name, self.labels(values)).increment(number);
    }

    /// Sets a gauge with these label values.
    pub fn set(&self, number: u64, values: &[&str]) {
        // Exact up to 2^53.
        metrics::gauge!(self.name, self.labels(values)).set(number as f64);
    }

    /// Records a value in a histogram.
    pub fn observe(&self, size: f64, values: &[&str]) {
        metrics::histogram!(self.name, self.labels(values)).record(size);
    }

    /// Records a duration in seconds in a histogram.
    pub fn observe_duration(&self, duration: Duration, values: &[&str]) {
        self.observe(duration.as_secs_f64(), values);
    }
}

/// Metrics of the process in Prometheus' text format.
#[derive(Debug, Clone)]
pub struct Exposition(PrometheusHandle);

impl Exposition {
    /// Renders the current values of all metrics.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

/// Installs the recorder of the process and starts its upkeep; later calls return the same
/// recorder. With a cell, every metric has its name as a label.
pub fn install(cell: Option<&str>) -> anyhow::Result<Exposition> {
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
    if let Some(cell) = cell {
        builder = builder.add_global_label(CELL, cell);
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|_| anyhow::anyhow!("another metrics recorder is installed"))?;
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

/// Drains recorded samples while the process runs.
///
/// The recorder keeps every sample of a histogram until a scrape or this upkeep drains it. Without
/// the upkeep, a process without scrapes grows by gigabytes a day. It is a thread, since the
/// recorder outlives any runtime.
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
        .context("starting the upkeep thread of metrics failed")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_counted_is_told_with_its_help_and_labels() {
        let exposition = install(None).unwrap();
        RECORDS.increment(2, &["SUCCESS"]);
        RECORDS.increment(1, &["SUCCESS"]);
        TARGETS.set(7, &["ready"]);
        REPORT_SECONDS.observe_duration(Duration::from_millis(3), &[]);
        let text = install(None).unwrap().render();
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

    /// The recorder's `Debug` output is the only view of drained samples that drains none itself.
    fn has_drained(exposition: &Exposition, samples: u64) -> bool {
        format!("{:?}", exposition.0).contains(&format!("Histogram {{ count: {samples},"))
    }

    #[test]
    fn samples_that_nobody_scrapes_are_drained() {
        const SAMPLES: u64 = 12_345;
        let exposition = install(None).unwrap();
        for _ in 0..SAMPLES {
            START_SECONDS.observe(0.002, &[]);
        }
        let deadline = Instant::now() + 5 * UPKEEP_EVERY;
        while !has_drained(&exposition, SAMPLES) {
            assert!(Instant::now() < deadline, "{SAMPLES} samples are not drained");
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
