//! The trace of a simulation: its last lines, and a hash over all lines.

use std::{
    collections::VecDeque,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    mem::discriminant,
};

use super::{
    effect::Effect,
    event::{Event, Task},
};

/// Number of lines that a violation shows.
const SHOWN: usize = 30;

/// A line. It is formatted only when it is read.
#[derive(Debug)]
enum Line {
    /// An event, with its time in milliseconds after the beginning.
    Event(i64, Event),
    /// An effect of the event above on a task.
    Effect(Task, Effect),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(at, event) => write!(f, "{at:>10} ms  {event:?}"),
            Self::Effect(0, effect) => write!(f, "{:>10}     {effect:?}", ""),
            Self::Effect(task, effect) => write!(f, "{:>10}     task {task}: {effect:?}", ""),
        }
    }
}

/// Events and effects so far.
#[derive(Debug)]
pub(super) struct Trace {
    last: VecDeque<Line>,
    hasher: DefaultHasher,
    /// Every line, if all are kept.
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

    pub(super) fn effect(&mut self, task: Task, effect: Effect) {
        (task, discriminant(&effect)).hash(&mut self.hasher);
        if let Effect::Recorded { ordinal, scripts } = &effect {
            (ordinal, scripts).hash(&mut self.hasher);
        }
        self.line(Line::Effect(task, effect));
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
