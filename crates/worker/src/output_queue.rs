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
    asked: HashMap<Place, Instant>,
    waiting: VecDeque<ReportedOutput>,
    waiting_bytes: usize,
}

impl OutputQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a request; false if too many scripts are watched.
    pub(crate) fn ask(&self, place: Place, now: Instant) -> bool {
        let mut state = self.lock();
        state.asked.retain(|_, at| now.duration_since(*at) < REQUEST_LASTS);
        let has_room = state.asked.len() < MAX_OUTPUT_WATCHES_PER_WORKER as usize;
        let is_taken = has_room || state.asked.contains_key(&place);
        if is_taken {
            state.asked.insert(place, now);
        }
        is_taken
    }

    /// Whether an agent was asked for this output a short time ago.
    pub(crate) fn is_asked(&self, place: &Place, now: Instant) -> bool {
        self.lock().asked.get(place).is_some_and(|at| now.duration_since(*at) < REQUEST_LASTS)
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
        assert!(output.is_asked(&place(1), begun));
        assert!(!output.is_asked(&place(2), begun));
        assert!(!output.is_asked(&place(1), begun + REQUEST_LASTS));
        for ordinal in 2..=MAX_OUTPUT_WATCHES_PER_WORKER {
            assert!(output.ask(place(ordinal), begun));
        }
        assert!(!output.ask(place(0), begun), "the limit of one worker");
        assert!(output.ask(place(1), begun), "a request is prolonged");
        assert!(output.ask(place(0), begun + REQUEST_LASTS), "older requests have expired");
    }
}
