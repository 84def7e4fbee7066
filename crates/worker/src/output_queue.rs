//! Queue of live output on its way to the schedulers, and what agents were asked for. Nothing is
//! kept for long: what is dropped here, the schedulers ask for again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use domain::limits::{MAX_OUTPUT_REPORT_BYTES, MAX_OUTPUT_WATCHES_PER_WORKER, MAX_OUTPUTS_PER_REPORT};
use proto::{
    agent::ExecutionKey,
    scheduler::{DesktopKey, ReportedOutput},
};
use tokio::sync::Notify;

/// Maximum bytes that wait for the schedulers; further parts are dropped.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// Size of a part without its content.
const PART_BYTES: usize = 512;
/// Time after a request in which an agent's parts are accepted.
const REQUEST_LASTS: Duration = Duration::from_secs(10);
/// Maximum rate of the output of one script. Agents send no faster.
const BYTES_PER_SECOND: u32 = 64 << 10;
/// Time by which the output of a script may be ahead of its rate: 256 KiB.
const BURST: Duration = Duration::from_secs(4);

/// Script on a desktop.
pub(crate) type Place = (DesktopKey, ExecutionKey, u32);

/// Parts that wait for the schedulers, and what agents were asked for.
#[derive(Debug, Default)]
pub(crate) struct OutputQueue {
    state: Mutex<State>,
    pub(crate) is_waiting: Notify,
}

#[derive(Debug, Default)]
struct State {
    asked: HashMap<Place, Request>,
    waiting: VecDeque<ReportedOutput>,
    waiting_bytes: usize,
}

/// Last request for the output of a script, and the output that was accepted since the first one.
#[derive(Debug, Clone, Copy)]
struct Request {
    at: Instant,
    /// Time at which all accepted output is within the rate.
    paid_at: Instant,
}

impl Request {
    fn is_valid(&self, now: Instant) -> bool {
        now.duration_since(self.at) < REQUEST_LASTS
    }

    /// Counts a part; false if the output is too far ahead of its rate.
    fn spend(&mut self, bytes: usize, now: Instant) -> bool {
        let cost = Duration::from_secs(bytes as u64) / BYTES_PER_SECOND;
        let paid_at = self.paid_at.max(now) + cost;
        let is_within = paid_at.duration_since(now) <= BURST;
        if is_within {
            self.paid_at = paid_at;
        }
        is_within
    }
}

impl OutputQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request; false if too many scripts are watched.
    pub(crate) fn ask(&self, place: Place, now: Instant) -> bool {
        let mut state = self.lock();
        state.asked.retain(|_, request| request.is_valid(now));
        let has_room = state.asked.len() < MAX_OUTPUT_WATCHES_PER_WORKER as usize;
        let is_taken = has_room || state.asked.contains_key(&place);
        if is_taken {
            state.asked.entry(place).or_insert(Request { at: now, paid_at: now }).at = now;
        }
        is_taken
    }

    /// Counts a part of an agent against the rate of its script.
    ///
    /// # Errors
    ///
    /// The reason to drop the part: the agent was not asked for it a short time ago, or sends too
    /// fast.
    pub(crate) fn admit(&self, place: &Place, bytes: usize, now: Instant) -> Result<(), &'static str> {
        let mut state = self.lock();
        let request = state.asked.get_mut(place).filter(|request| request.is_valid(now));
        let request = request.ok_or("it was not requested")?;
        // A part without content costs too.
        if request.spend(bytes.max(PART_BYTES), now) { Ok(()) } else { Err("its script sends too fast") }
    }

    /// Queues a part; false if it was dropped.
    pub(crate) fn push(&self, part: ReportedOutput) -> bool {
        let mut state = self.lock();
        let bytes = PART_BYTES + part.content.len();
        if state.waiting_bytes + bytes > MAX_WAITING_BYTES {
            return false;
        }
        state.waiting_bytes += bytes;
        state.waiting.push_back(part);
        drop(state);
        self.is_waiting.notify_one();
        true
    }

    /// Takes as many parts as one report may have.
    pub(crate) fn take(&self) -> Vec<ReportedOutput> {
        let mut state = self.lock();
        let (mut parts, mut bytes) = (Vec::new(), 0);
        while parts.len() < MAX_OUTPUTS_PER_REPORT
            && let Some(part) = state.waiting.front()
            && bytes + part.content.len() <= MAX_OUTPUT_REPORT_BYTES
            && let Some(part) = state.waiting.pop_front()
        {
            bytes += part.content.len();
            state.waiting_bytes -= PART_BYTES + part.content.len();
            parts.push(part);
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use domain::limits::MAX_LIVE_CHUNK_BYTES;

    use super::*;

    fn part(bytes: usize) -> ReportedOutput {
        ReportedOutput { content: vec![0; bytes], ..ReportedOutput::default() }
    }

    fn place(ordinal: u32) -> Place {
        (DesktopKey::default(), ExecutionKey { ordinal, ..ExecutionKey::default() }, 0)
    }

    #[test]
    fn waiting_output_is_bounded_and_reports_too() {
        let output = OutputQueue::default();
        let accepted = (0..200).take_while(|_| output.push(part(MAX_LIVE_CHUNK_BYTES))).count();
        assert_eq!(accepted, MAX_WAITING_BYTES / (MAX_LIVE_CHUNK_BYTES + PART_BYTES));
        assert_eq!(output.take().len(), MAX_OUTPUT_REPORT_BYTES / MAX_LIVE_CHUNK_BYTES);
        assert!(output.push(part(MAX_LIVE_CHUNK_BYTES)), "a report makes room");
        while !output.take().is_empty() {}
        assert_eq!(output.lock().waiting_bytes, 0);
    }

    #[test]
    fn only_requested_output_is_taken() {
        let (output, begun) = (OutputQueue::default(), Instant::now());
        assert!(output.ask(place(1), begun));
        assert!(output.admit(&place(1), 1, begun).is_ok());
        assert!(output.admit(&place(2), 1, begun).is_err());
        assert!(output.admit(&place(1), 1, begun + REQUEST_LASTS).is_err());
        for ordinal in 2..=MAX_OUTPUT_WATCHES_PER_WORKER {
            assert!(output.ask(place(ordinal), begun));
        }
        assert!(!output.ask(place(0), begun), "the limit of one worker");
        assert!(output.ask(place(1), begun), "a request is prolonged");
        assert!(output.ask(place(0), begun + REQUEST_LASTS), "older requests have expired");
    }

    #[test]
    fn output_faster_than_its_rate_is_dropped() {
        let (output, begun) = (OutputQueue::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        for ordinal in [1, 2] {
            assert!(output.ask(place(ordinal), begun));
        }
        let parts = |ordinal, bytes, now| {
            (0..10_000).take_while(|_| output.admit(&place(ordinal), bytes, now).is_ok()).count()
        };
        assert_eq!(parts(1, MAX_LIVE_CHUNK_BYTES, at(0)), 4);
        assert_eq!(parts(2, 0, at(0)), 4 * MAX_LIVE_CHUNK_BYTES / PART_BYTES, "parts without content count");
        assert!(output.ask(place(1), at(1)), "a repeated request gives no further burst");
        assert_eq!(parts(1, MAX_LIVE_CHUNK_BYTES, at(1)), 1);
        assert_eq!(parts(1, MAX_LIVE_CHUNK_BYTES, at(9)), 4);
    }

    #[test]
    fn output_at_its_rate_is_never_dropped() {
        let (output, begun) = (OutputQueue::default(), Instant::now());
        for seconds in 0..1_000 {
            let now = begun + Duration::from_secs(seconds);
            assert!(output.ask(place(1), now));
            assert_eq!(output.admit(&place(1), MAX_LIVE_CHUNK_BYTES, now), Ok(()));
        }
    }
}
