//! State of the journal: the pure part, without files.

use std::collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry};

use proto::agent::OrderResult;

use super::event::{Event, GoDown, Key, Record, Span, Way};

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
    /// What paused and finished orders ask of the desktop.
    actions: HashMap<Key, Asked>,
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

/// Order that has started and not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunningOrder {
    pub(crate) key: Key,
    pub(crate) span: Span,
    /// Results of scripts that have ended, in order.
    pub(crate) finished: Vec<Record>,
    /// Last started script that has not ended, with its start in Unix milliseconds.
    pub(crate) current: Option<(u32, i64)>,
}

impl Running {
    fn describe(&self, key: &Key) -> RunningOrder {
        RunningOrder {
            key: key.clone(),
            span: Span { first: self.first_script, count: self.script_count },
            finished: self.finished.values().cloned().collect(),
            current: self.current(),
        }
    }

    /// Last started script, unless it has ended, with its start in Unix milliseconds. Scripts of an
    /// order start one after the other.
    fn current(&self) -> Option<(u32, i64)> {
        let (script, at) = self.started.last_key_value()?;
        (!self.finished.contains_key(script)).then_some((*script, *at))
    }
}

#[derive(Debug, Default)]
struct Running {
    script_count: u32,
    first_script: u32,
    started: BTreeMap<u32, i64>,
    finished: BTreeMap<u32, Record>,
    /// Set from a pause before a reboot until the next script starts.
    pause: Option<Pause>,
}

/// An action, and whether it is no longer due.
#[derive(Debug, Clone)]
struct Asked {
    action: GoDown,
    is_dropped: bool,
}

#[derive(Debug)]
struct Pause {
    /// Results of all scripts before the reboot.
    results: Vec<Record>,
    /// Key in `unacked`; `None` once acknowledged.
    number: Option<u64>,
    action: GoDown,
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
                self.end_pause(&key);
                if let Some(running) = self.running_mut(key) {
                    running.first_script = running.first_script.max(first_script);
                    running.script_count = running.script_count.max(script_count);
                    running.started.insert(script, at);
                }
            }
            Event::NotStarted { key, script } => self.take_back(key, script),
            Event::ScriptFinished { key, result } => {
                if let Some(running) = self.running_mut(key) {
                    running.script_count = running.script_count.max(result.script.saturating_add(1));
                    running.finished.insert(result.script, result);
                }
            }
            Event::Paused { key, script_count, first_script, results, action } => {
                self.pause(key, script_count, first_script, results, action);
            }
            Event::Finished { key, results, action } => {
                if !matches!(self.orders.get(&key), Some(Order::Finished { .. })) {
                    self.end_pause(&key);
                    let number = self.add_unacked(&key, &results);
                    self.set_action(&key, action);
                    self.orders.insert(key, Order::Finished { results, number: Some(number) });
                }
            }
            Event::Acked { key } => self.ack(key),
            Event::ActionDropped { key } => {
                self.actions.get_mut(&key).into_iter().for_each(|asked| asked.is_dropped = true);
            }
        }
    }

    fn set_action(&mut self, key: &Key, action: Option<GoDown>) {
        match action {
            Some(action) => drop(self.actions.insert(key.clone(), Asked { action, is_dropped: false })),
            None => drop(self.actions.remove(key)),
        }
    }

    fn add_unacked(&mut self, key: &Key, results: &[Record]) -> u64 {
        self.last_number += 1;
        self.unacked_bytes += bytes(results);
        self.unacked.insert(self.last_number, key.clone());
        self.last_number
    }

    fn pause(
        &mut self,
        key: Key,
        script_count: u32,
        first_script: u32,
        results: Vec<Record>,
        action: GoDown,
    ) {
        self.end_pause(&key);
        if matches!(self.orders.get(&key), Some(Order::Finished { .. })) {
            return;
        }
        let number = self.add_unacked(&key, &results);
        self.set_action(&key, Some(action.clone()));
        let Some(running) = self.running_mut(key) else { return };
        running.script_count = running.script_count.max(script_count);
        running.first_script = running.first_script.max(first_script);
        let ended = results.iter().filter(|result| result.script >= first_script);
        running.finished.extend(ended.map(|result| (result.script, result.clone())));
        running.pause = Some(Pause { results, number: Some(number), action });
    }

    /// Ends a pause, because the next script starts or the order has ended.
    fn end_pause(&mut self, key: &Key) {
        let Some(Order::Running(running)) = self.orders.get_mut(key) else { return };
        let Some(Pause { results, number, .. }) = running.pause.take() else { return };
        self.actions.remove(key);
        if let Some(number) = number {
            self.unacked.remove(&number);
            self.unacked_bytes = self.unacked_bytes.saturating_sub(bytes(&results));
        }
    }

    /// Takes back the start of a script. An order that has started nothing else is unknown again.
    fn take_back(&mut self, key: Key, script: u32) {
        let Entry::Occupied(mut order) = self.orders.entry(key) else { return };
        let Order::Running(running) = order.get_mut() else { return };
        running.started.remove(&script);
        if running.started.is_empty() && running.finished.is_empty() {
            order.remove();
        }
    }

    fn running_mut(&mut self, key: Key) -> Option<&mut Running> {
        match self.orders.entry(key).or_insert_with(|| Order::Running(Running::default())) {
            Order::Running(running) => Some(running),
            Order::Finished { .. } => None,
        }
    }

    fn ack(&mut self, key: Key) {
        if let Some(Order::Running(Running { pause: Some(pause), .. })) = self.orders.get_mut(&key) {
            // Its results stay: the order ends with them.
            if let Some(number) = pause.number.take() {
                self.unacked.remove(&number);
                self.unacked_bytes = self.unacked_bytes.saturating_sub(bytes(&pause.results));
            }
            return;
        }
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
            self.actions.remove(&oldest);
        }
    }

    /// Result of a finished order, or of the scripts before a reboot; `None` while it runs.
    pub(crate) fn result(&self, key: &Key) -> Option<OrderResult> {
        let results = self.results(key)?;
        let scripts = results.iter().cloned().map(Into::into).collect();
        let reboots = match self.orders.get(key) {
            Some(Order::Running(Running { pause: Some(pause), .. })) => Some(&pause.action),
            _ => self.actions.get(key).map(|asked| &asked.action).filter(|it| it.way == Way::Reboot),
        };
        let reboots_from = reboots.map(|action| action.boot_id.clone());
        Some(OrderResult { key: Some(key.clone().into()), scripts, reboots_from, ..OrderResult::default() })
    }

    fn results(&self, key: &Key) -> Option<&[Record]> {
        match self.orders.get(key)? {
            Order::Finished { results, .. } => Some(results),
            Order::Running(Running { pause: Some(pause), .. }) => Some(&pause.results),
            Order::Running(_) => None,
        }
    }

    /// Number of results of a finished or paused order; `None` while it runs.
    pub(crate) fn result_count(&self, key: &Key) -> Option<u32> {
        self.results(key).map(|results| u32::try_from(results.len()).unwrap_or(u32::MAX))
    }

    /// Actions whose results are acknowledged, in the order of their deadlines.
    pub(crate) fn due_actions(&self) -> Vec<(Key, GoDown)> {
        let is_acked = |key: &Key| match self.orders.get(key) {
            Some(Order::Finished { number, .. }) => number.is_none(),
            Some(Order::Running(Running { pause: Some(pause), .. })) => pause.number.is_none(),
            Some(Order::Running(_)) | None => false,
        };
        let due = self.actions.iter().filter(|(key, asked)| !asked.is_dropped && is_acked(key));
        let mut due: Vec<_> = due.map(|(key, asked)| (key.clone(), asked.action.clone())).collect();
        due.sort_by(|(one, a), (other, b)| {
            (a.until, &one.task, one.ordinal).cmp(&(b.until, &other.task, other.ordinal))
        });
        due
    }

    /// Orders that wait for a reboot, with the action that they wait for.
    pub(crate) fn paused(&self) -> Vec<(RunningOrder, GoDown)> {
        let paused = |(key, order): (&Key, &Order)| match order {
            Order::Running(running) => {
                running.pause.as_ref().map(|pause| (running.describe(key), pause.action.clone()))
            }
            Order::Finished { .. } => None,
        };
        self.orders.iter().filter_map(paused).collect()
    }

    /// Returns the action that a paused order waits for, if its results are acknowledged.
    pub(crate) fn acked_pause(&self, key: &Key) -> Option<&GoDown> {
        let Some(Order::Running(Running { pause: Some(pause), .. })) = self.orders.get(key) else {
            return None;
        };
        Some(&pause.action).filter(|_| pause.number.is_none())
    }

    pub(crate) fn is_paused(&self, key: &Key) -> bool {
        matches!(self.orders.get(key), Some(Order::Running(Running { pause: Some(_), .. })))
    }

    /// Approximate size in bytes of the unacknowledged results, on disk and in memory.
    pub(crate) fn unacked_bytes(&self) -> usize {
        self.unacked_bytes
    }

    pub(crate) fn is_finished(&self, key: &Key) -> bool {
        matches!(self.orders.get(key), Some(Order::Finished { .. }))
    }

    /// Script of an order that is running, with its start time in Unix milliseconds; `None` if the
    /// order is not running.
    pub(crate) fn running_script(&self, key: &Key) -> Option<(u32, i64)> {
        let Some(Order::Running(running)) = self.orders.get(key) else { return None };
        running.current()
    }

    /// Finished and unacknowledged orders with a number above `after`, in finish order.
    pub(crate) fn unacked_after(&self, after: u64) -> Vec<(u64, Key)> {
        self.unacked.range(after.saturating_add(1)..).map(|(number, key)| (*number, key.clone())).collect()
    }

    /// Orders that have started and not finished: they run, or ran when their agent stopped.
    pub(crate) fn running(&self) -> Vec<RunningOrder> {
        let running = |(key, order): (&Key, &Order)| match order {
            Order::Running(running) => Some(running.describe(key)),
            Order::Finished { .. } => None,
        };
        self.orders.iter().filter_map(running).collect()
    }

    /// An order that has started and not finished.
    pub(crate) fn running_order(&self, key: &Key) -> Option<RunningOrder> {
        let Some(Order::Running(running)) = self.orders.get(key) else { return None };
        Some(running.describe(key))
    }

    /// Orders that are open, as in [`is_open`](Self::is_open), each with its number of scripts.
    pub(crate) fn open_orders(&self) -> Vec<(Key, u32)> {
        let script_count = |order: &Order| match order {
            Order::Running(running) => running.script_count,
            Order::Finished { results, .. } => u32::try_from(results.len()).unwrap_or(u32::MAX),
        };
        let open = self.orders.iter().filter(|(key, _)| self.is_open(key));
        open.map(|(key, order)| (key.clone(), script_count(order))).collect()
    }

    /// Number of scripts of a finished order.
    pub(crate) fn script_count(&self, key: &Key) -> u32 {
        match self.orders.get(key) {
            Some(Order::Finished { results, .. }) => u32::try_from(results.len()).unwrap_or(u32::MAX),
            _ => 0,
        }
    }

    /// Whether the results of an order may still be asked for: the order is running, or finished
    /// and not acknowledged.
    pub(crate) fn is_open(&self, key: &Key) -> bool {
        matches!(self.orders.get(key), Some(Order::Running(_) | Order::Finished { number: Some(_), .. }))
    }

    /// Minimal list of events that leads to this state.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for key in &self.acked {
            events.extend(self.finish_of(key));
            events.push(Event::Acked { key: key.clone() });
            events.extend(self.drop_of(key));
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
            events.extend(self.pause_of(key, running));
        }
        events
    }

    /// Events of a pause. Paused orders that are acknowledged get numbers of their own, which end with
    /// the acknowledgement.
    fn pause_of(&self, key: &Key, running: &Running) -> Vec<Event> {
        let Some(pause) = &running.pause else { return Vec::new() };
        let key = || key.clone();
        let mut events = vec![Event::Paused {
            key: key(),
            script_count: running.script_count,
            first_script: running.first_script,
            results: pause.results.clone(),
            action: pause.action.clone(),
        }];
        if pause.number.is_none() {
            events.push(Event::Acked { key: key() });
        }
        events.extend(self.drop_of(&key()));
        events
    }

    fn drop_of(&self, key: &Key) -> Option<Event> {
        let is_dropped = self.actions.get(key).is_some_and(|asked| asked.is_dropped);
        is_dropped.then(|| Event::ActionDropped { key: key.clone() })
    }

    fn finish_of(&self, key: &Key) -> Option<Event> {
        let Some(Order::Finished { results, .. }) = self.orders.get(key) else { return None };
        let action = self.actions.get(key).map(|asked| asked.action.clone());
        Some(Event::Finished { key: key.clone(), results: results.clone(), action })
    }
}
