//! Heartbeats from the worker to the schedulers.

use std::time::{Duration, Instant};

use domain::{schema::WaitsFor, version::PROGRAM};
use proto::scheduler::HeartbeatRequest;
use telemetry::Throttle;
use time_sync::{Backoff, TimeSample};

use crate::{
    Ready,
    retry::backoff,
    scheduler::{CALL_TIMEOUT, Client, with_deadline},
    state::Worker,
};

/// Maximum pause after a failed heartbeat; the first pause is shorter.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Interval until a scheduler sets it; the default of `scheduler.heartbeat_ms`.
const FIRST_INTERVAL: Duration = Duration::from_secs(3);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(500);
const LONGEST_FIRST_TIMEOUT: Duration = Duration::from_secs(2);

/// Deadline of a heartbeat after a number of consecutive failures.
///
/// The first deadline is short: if one scheduler hangs, the next heartbeat goes to another. It
/// doubles, so that a slow scheduler can answer eventually.
fn deadline(interval: Duration, failures: u32) -> Duration {
    let first = interval.clamp(SHORTEST_TIMEOUT, LONGEST_FIRST_TIMEOUT);
    Backoff::doubling(first, CALL_TIMEOUT).after(failures)
}

/// Number of failures to assume after an answer: the smallest whose deadline is at least twice the
/// answer time.
///
/// Without it, a slow but healthy scheduler would miss the short first deadline at every second
/// heartbeat.
fn failures_after(interval: Duration, failures: u32, answered_within: Duration) -> u32 {
    let leaves_time = |failures: &u32| deadline(interval, *failures) >= answered_within.saturating_mul(2);
    (0..failures).find(leaves_time).unwrap_or(failures)
}

/// Whether the schedulers may know the worker without its desktops.
///
/// A heartbeat without an answer may have stored a worker that was forgotten. The next answer does
/// not call the worker new.
#[derive(Debug, Default)]
struct Resync {
    is_unsure: bool,
}

impl Resync {
    /// Notes a heartbeat without an answer.
    const fn failed(&mut self) {
        self.is_unsure = true;
    }

    /// Notes an answer, which calls the worker new or not. Returns whether the worker sends its
    /// whole presence again.
    const fn answered(&mut self, is_new: bool) -> bool {
        std::mem::replace(&mut self.is_unsure, false) || is_new
    }
}

/// Sends heartbeats at the interval that the schedulers set, and at once after a change.
///
/// With one hung scheduler, the longest gap between heartbeats is interval + failed deadline +
/// pause: 3 + 2 + 0.1 = 5.1 s by default. Schedulers give up a silent worker after 15 s
/// (`scheduler.worker_timeout_ms`).
pub(crate) async fn run(worker: &Worker, mut client: Client, ready: &Ready) {
    let mut interval = FIRST_INTERVAL;
    let mut failures = 0;
    let mut backoff = backoff();
    let mut resync = Resync::default();
    let mut waits = Throttle::default();
    loop {
        let request = HeartbeatRequest {
            worker_id: worker.worker_id.clone(),
            address: worker.address.clone(),
            capacity: worker.config.capacity,
            draining: worker.is_draining(),
            deny_list_version: worker.deny_lists.known_version(Instant::now()),
            program_version: PROGRAM.to_owned(),
        };
        let asked = worker.clock.asks();
        let began = Instant::now();
        let pause = match client.heartbeat(with_deadline(request, deadline(interval, failures))).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                if let Some((now, error)) = answer.time.and_then(|time| time.read()) {
                    worker.observe_time(asked, TimeSample { now, error });
                }
                worker.end_revoked(answer.revoked);
                worker.take_deny_list(answer.deny_list);
                worker.want_drain(answer.drain);
                if resync.answered(answer.resync) {
                    worker.presence.queue_all(&worker.registry);
                }
                if worker.admission.report(answer.schema_version) {
                    tracing::info!(
                        schema_version = answer.schema_version,
                        "the schedulers admit this worker"
                    );
                }
                match worker.admission.check() {
                    Err(reason) => log_wait(&mut waits, reason, None),
                    Ok(()) if waits.end() => tracing::info!("a scheduler answers this worker"),
                    Ok(()) => {}
                }
                failures = failures_after(interval, failures, began.elapsed());
                backoff.reset();
                interval = Duration::from_millis(u64::from(answer.interval_ms));
                interval
            }
            Err(status) => {
                resync.failed();
                tracing::debug!(%status, "heartbeat failed");
                let reason = worker.admission.check().err().unwrap_or(WaitsFor::Scheduler);
                log_wait(&mut waits, reason, Some(&status));
                failures = failures.saturating_add(1);
                backoff.pause().min(LONGEST_PAUSE)
            }
        };
        ready.set(worker.readiness());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = worker.heartbeat_now.notified() => {}
        }
    }
}

/// Logs what the worker waits for, at most once a minute. The status of a failed heartbeat tells a
/// scheduler without its database from one that cannot be reached.
fn log_wait(waits: &mut Throttle, reason: WaitsFor, failed: Option<&tonic::Status>) {
    if waits.pass(Instant::now()).is_some() {
        tracing::warn!(status = failed.map(tracing::field::display), "waiting: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_after_a_lost_answer_resends_the_presence() {
        let mut resync = Resync::default();
        assert!(!resync.answered(false));
        assert!(resync.answered(true));
        resync.failed();
        assert!(resync.answered(false), "the lost answer may have called the worker new");
        assert!(!resync.answered(false));
    }

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn deadlines_start_short_and_double() {
        let deadlines = |interval| [0, 1, 2, 3, 99].map(|failures| deadline(interval, failures));
        assert_eq!(deadlines(seconds(3)), [2, 4, 8, 10, 10].map(seconds));
        assert_eq!(
            deadlines(Duration::from_millis(300)),
            [500, 1_000, 2_000, 4_000, 10_000].map(Duration::from_millis)
        );
    }

    #[test]
    fn slow_answers_keep_the_deadline_that_they_need() {
        let after =
            |failures, answered_ms| failures_after(seconds(3), failures, Duration::from_millis(answered_ms));
        assert_eq!([after(0, 1_900), after(2, 5_700), after(3, 9_000)], [0, 2, 3]);
        assert_eq!(
            [after(3, 3_000), after(3, 1_500), after(3, 10)],
            [2, 1, 0],
            "the number of failures recovers"
        );
    }

    #[test]
    fn hung_schedulers_leave_time_before_a_worker_is_lost() {
        // Defaults of `scheduler.heartbeat_ms` and `scheduler.worker_timeout_ms`.
        let (interval, worker_timeout) = (seconds(3), seconds(15));
        let mut backoff = backoff();
        let one_hung = interval + deadline(interval, 0) + backoff.pause().min(LONGEST_PAUSE);
        let two_hung = one_hung + deadline(interval, 1) + backoff.pause().min(LONGEST_PAUSE);
        assert!(one_hung < worker_timeout / 2, "{one_hung:?}");
        assert!(two_hung < worker_timeout * 3 / 4, "{two_hung:?}");
    }
}
