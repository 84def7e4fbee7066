//! Trace contexts of finished orders, until their results are stored.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::journal::Key;

/// Maximum number of stored contexts; further results are sent without one.
const KEPT: usize = 1_000;

/// Kept in memory only: results sent after a restart have no trace context.
#[derive(Debug, Default)]
pub(super) struct Traces(Mutex<HashMap<Key, String>>);

impl Traces {
    fn all(&self) -> MutexGuard<'_, HashMap<Key, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, key: Key, trace_context: String) {
        let mut all = self.all();
        if all.len() < KEPT {
            all.insert(key, trace_context);
        }
    }

    pub(super) fn of(&self, key: &Key) -> Option<String> {
        self.all().get(key).cloned()
    }

    pub(super) fn forget(&self, key: &Key) {
        self.all().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(ordinal: u32) -> Key {
        Key { task: "t".into(), ordinal, attempt: 1 }
    }

    #[test]
    fn a_trace_is_kept_until_it_is_forgotten_and_only_so_many_are() {
        let traces = Traces::default();
        (0..=1_000).for_each(|ordinal| traces.keep(key(ordinal), format!("trace {ordinal}")));
        assert_eq!(traces.of(&key(999)).as_deref(), Some("trace 999"));
        assert_eq!(traces.of(&key(1_000)), None);
        traces.forget(&key(999));
        assert_eq!(traces.of(&key(999)), None);
    }
}
