//! The trace of a story: its last lines, and a hash over all of them.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

/// Lines that a broken promise shows.
const SHOWN: usize = 30;

/// What has happened so far.
#[derive(Debug)]
pub(super) struct Trace {
    last: VecDeque<String>,
    hasher: DefaultHasher,
    /// Every line, where the whole story is wanted.
    whole: Option<Vec<String>>,
}

impl Trace {
    pub(super) fn new(is_whole: bool) -> Self {
        let last = VecDeque::with_capacity(SHOWN + 1);
        Self { last, hasher: DefaultHasher::new(), whole: is_whole.then(Vec::new) }
    }

    pub(super) fn line(&mut self, line: String) {
        line.hash(&mut self.hasher);
        if let Some(whole) = &mut self.whole {
            whole.push(line.clone());
        }
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    pub(super) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub(super) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    /// Every line, if all were kept.
    pub(super) fn take_whole(&mut self) -> Vec<String> {
        self.whole.take().unwrap_or_default()
    }
}
