//! State of the journal: the pure part, without files.

use std::collections::{BTreeMap, HashMap, VecDeque};

use proto::{ScriptOutcome, agent::OrderResult};

use super::event::{Event, Key, Record};

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

/// Number of remembered acknowledged orders, so that a late duplicate is not run again.
pub(crate) const MAX_ACKED: usize = 10_000;

/// State of every known order.
#[derive(Debug, Default)]
pub(crate) struct JournalState {
    orders: HashMap<Key, Order>,
    /// Finished and unacknowledged orders by finish number.
    unacked: BTreeMap<u64, Key>,
    /// Acknowledged orders, oldest first.
    acked: VecDeque<Key>,
    last_number: u64,
    unacked_bytes: usize,
}

#[derive(Debug)]
enum Order {
    Running(Running),
    /// `number` is the key in `unacked`; `None` once acknowledged.
    Finished {
        results: Vec<Record>,
        number: Option<u64>,
    },
}

#[derive(Debug, Default)]
struct Running {
    script_count: u32,
    first_script: u32,
    started: BTreeMap<u32, i64>,
    finished: BTreeMap<u32, Record>,
}

fn bytes(results: &[Record]) -> usize {
    const BARE: usize = 200;
    results.iter().map(|result| BARE + result.output.len() + result.reason.len()).sum()
}

impl JournalState {
    /// Applies one event. Redundant events (a second finish, an ack of an unknown order) change
    /// nothing.
    pub(crate) fn apply(&mut self, event: Event) {
        match event {
            Event::Opened => {}
            Event::Started { key, script, script_count, first_script, at } => {
                if let Some(running) = self.running(key) {
                    running.first_script = running.first_script.max(first_script);
                    running.script_count = running.script_count.max(script_count);
                    running.started.insert(script, at);
                }
            }
            Event::ScriptFinished { key, result } => {
                if let Some(running) = self.running(key) {
                    running.script_count = running.script_count.max(result.script.saturating_add(1));
                    running.finished.insert(result.script, result);
                }
            }
            Event::Finished { key, results } => {
                if !matches!(self.orders.get(&key), Some(Order::Finished { .. })) {
                    self.last_number += 1;
                    self.unacked_bytes += bytes(&results);
                    self.unacked.insert(self.last_number, key.clone());
                    self.orders.insert(key, Order::Finished { results, number: Some(self.last_number) });
                }
            }
            Event::Acked { key } => self.ack(key),
        }
    }

    fn running(&mut self, key: Key) -> Option<&mut Running> {
        match self.orders.entry(key).or_insert_with(|| Order::Running(Running::default())) {
            Order::Running(running) => Some(running),
            Order::Finished { .. } => None,
        }
    }

    fn ack(&mut self, key: Key) {
        let Some(Order::Finished { results, number }) = self.orders.get_mut(&key) else { return };
        let Some(number) = number.take() else { return };
        self.unacked.remove(&number);
        self.unacked_bytes = self.unacked_bytes.saturating_sub(bytes(results));
        // The worker has stored the output; the outcome is enough to answer a duplicate.
        for result in results {
            result.output = String::new();
        }
        self.acked.push_back(key);
        if self.acked.len() > MAX_ACKED
            && let Some(oldest) = self.acked.pop_front()
        {
            self.orders.remove(&oldest);
        }
    }

    /// Result of a finished order; `None` if it has not finished.
    pub(crate) fn result(&self, key: &Key) -> Option<OrderResult> {
        let Some(Order::Finished { results, .. }) = self.orders.get(key) else { return None };
        let scripts = results.iter().cloned().map(Into::into).collect();
        Some(OrderResult { key: Some(key.clone().into()), scripts, trace_context: String::new() })
    }

    /// Approximate size in bytes of the unacknowledged results, on disk and in memory.
    pub(crate) fn unacked_bytes(&self) -> usize {
        self.unacked_bytes
    }

    pub(crate) fn is_finished(&self, key: &Key) -> bool {
        matches!(self.orders.get(key), Some(Order::Finished { .. }))
    }

    /// Finished and unacknowledged orders with a number above `after`, in finish order.
    pub(crate) fn unacked_after(&self, after: u64) -> Vec<(u64, Key)> {
        self.unacked.range(after.saturating_add(1)..).map(|(number, key)| (*number, key.clone())).collect()
    }

    /// Finish event of an order that was running when its agent stopped; `None` if it was not
    /// running.
    pub(crate) fn interrupted(&self, key: &Key, now: i64) -> Option<Event> {
        let Some(Order::Running(running)) = self.orders.get(key) else { return None };
        let mut results: Vec<Record> = Vec::new();
        for script in 0..running.script_count {
            let record = if script < running.first_script {
                Record::carried(script, now)
            } else if let Some(finished) = running.finished.get(&script) {
                finished.clone()
            } else if results.iter().any(|result| !result.succeeded()) {
                Record::skipped(script, now)
            } else if let Some(at) = running.started.get(&script) {
                let unknown =
                    Record::bare(script, ScriptOutcome::Unknown, "the agent stopped while it ran", now);
                Record { started_at: *at, ..unknown }
            } else {
                Record::bare(script, ScriptOutcome::Rejected, "the agent stopped before it started", now)
            };
            results.push(record);
        }
        Some(Event::Finished { key: key.clone(), results })
    }

    /// Finish events of all orders that were running when their agent stopped.
    pub(crate) fn all_interrupted(&self, now: i64) -> Vec<Event> {
        self.orders.keys().filter_map(|key| self.interrupted(key, now)).collect()
    }

    /// Minimal list of events that leads to this state.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for key in &self.acked {
            events.extend(self.finish_of(key));
            events.push(Event::Acked { key: key.clone() });
        }
        for key in self.unacked.values() {
            events.extend(self.finish_of(key));
        }
        for (key, order) in &self.orders {
            let Order::Running(running) = order else { continue };
            for script in 0..running.script_count {
                if let Some(at) = running.started.get(&script) {
                    let (script_count, first_script) = (running.script_count, running.first_script);
                    events.push(Event::Started {
                        key: key.clone(),
                        script,
                        script_count,
                        first_script,
                        at: *at,
                    });
                }
                if let Some(result) = running.finished.get(&script) {
                    events.push(Event::ScriptFinished { key: key.clone(), result: result.clone() });
                }
            }
        }
        events
    }

    fn finish_of(&self, key: &Key) -> Option<Event> {
        let Some(Order::Finished { results, .. }) = self.orders.get(key) else { return None };
        Some(Event::Finished { key: key.clone(), results: results.clone() })
    }
}
