//! Started scripts: collected from agents, and reported to the schedulers apart from results.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::limits;
use proto::{agent::ExecutionKey, scheduler::StartedTarget};

/// Started scripts that no scheduler knows yet; the latest one of each target.
#[derive(Debug, Default)]
pub(crate) struct Started(Mutex<HashMap<ExecutionKey, StartedTarget>>);

impl Started {
    fn lock(&self) -> MutexGuard<'_, HashMap<ExecutionKey, StartedTarget>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a started script. Beyond the worker's capacity it is dropped, which costs only the
    /// start time of a running record.
    pub(crate) fn add(&self, key: ExecutionKey, started: StartedTarget) {
        let mut waiting = self.lock();
        if waiting.len() < limits::MAX_WORKER_CAPACITY as usize || waiting.contains_key(&key) {
            waiting.insert(key, started);
        }
    }

    pub(crate) fn take(&self) -> Vec<(ExecutionKey, StartedTarget)> {
        let mut waiting = self.lock();
        let keys: Vec<ExecutionKey> = waiting.keys().take(limits::MAX_RESULTS_PER_REPORT).cloned().collect();
        keys.into_iter().filter_map(|key| waiting.remove_entry(&key)).collect()
    }

    /// Puts back scripts that were not reported, unless a later one of the target exists.
    pub(crate) fn put_back(&self, unreported: Vec<(ExecutionKey, StartedTarget)>) {
        let mut waiting = self.lock();
        for (key, started) in unreported {
            waiting.entry(key).or_insert(started);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(ordinal: u32, script: u32) -> (ExecutionKey, StartedTarget) {
        let key = ExecutionKey { task_id: "t".into(), ordinal, attempt: 1 };
        (key, StartedTarget { ordinal, script, ..StartedTarget::default() })
    }

    #[test]
    fn latest_script_of_each_target_is_reported_once() {
        let waiting = Started::default();
        for (key, target) in [started(0, 0), started(1, 0), started(0, 1)] {
            waiting.add(key, target);
        }
        let taken = waiting.take();
        assert_eq!(taken.len(), 2);
        assert!(waiting.take().is_empty());
        let (key, target) = started(0, 2);
        waiting.add(key, target);
        waiting.put_back(taken);
        let mut scripts: Vec<(u32, u32)> =
            waiting.take().into_iter().map(|(_, target)| (target.ordinal, target.script)).collect();
        scripts.sort_unstable();
        assert_eq!(scripts, [(0, 2), (1, 0)]);
    }
}
