//! The trace of a story: its last lines, and a hash over all of them.

use std::{
    collections::VecDeque,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    mem::discriminant,
};

use super::{effect::Effect, event::Event};

/// Lines that a broken promise shows.
const SHOWN: usize = 30;

/// A line, put into words only when somebody reads it.
#[derive(Debug)]
enum Line {
    /// So many milliseconds after the beginning.
    Event(i64, Event),
    /// What the event above it did to the database.
    Effect(Effect),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(at, event) => write!(f, "{at:>10} ms  {event:?}"),
            Self::Effect(effect) => write!(f, "{:>10}     {effect:?}", ""),
        }
    }
}

/// What has happened so far.
#[derive(Debug)]
pub(super) struct Trace {
    last: VecDeque<Line>,
    hasher: DefaultHasher,
    /// Every line, where the whole story is wanted.
    whole: Option<Vec<String>>,
}

impl Trace {
    pub(super) fn new(is_whole: bool) -> Self {
        let last = VecDeque::with_capacity(SHOWN + 1);
        Self { last, hasher: DefaultHasher::new(), whole: is_whole.then(Vec::new) }
    }

    pub(super) fn event(&mut self, at: i64, event: &Event) {
        (at, discriminant(event)).hash(&mut self.hasher);
        self.line(Line::Event(at, event.clone()));
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        discriminant(&effect).hash(&mut self.hasher);
        if let Effect::Recorded { ordinal, scripts } = &effect {
            (ordinal, scripts).hash(&mut self.hasher);
        }
        self.line(Line::Effect(effect));
    }

    fn line(&mut self, line: Line) {
        if let Some(whole) = &mut self.whole {
            whole.push(line.to_string());
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
        self.last.iter().map(Line::to_string).collect()
    }

    /// Every line, if all were kept.
    pub(super) fn take_whole(&mut self) -> Vec<String> {
        self.whole.take().unwrap_or_default()
    }
}
