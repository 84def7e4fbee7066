//! The map of a task: one byte for each target, in the order of the plan, and the changes of it.

use std::collections::BTreeMap;

use crate::{limits, outcome::Outcome, task::TaskStatus};

/// State or outcome of a target, as its byte in a map. The numbers are published and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MapCode {
    /// Not admitted yet.
    Pending,
    /// Admitted; waits for its desktop, its window or a place.
    Deferred,
    /// In a batch: on its way, running, or possibly running.
    InFlight,
    /// Ended. A target that its task never admits counts as SKIPPED.
    Ended(Outcome),
}

impl MapCode {
    /// Every code, by its number.
    pub const ALL: [Self; 12] = [
        Self::Pending,
        Self::Deferred,
        Self::InFlight,
        Self::Ended(Outcome::Success),
        Self::Ended(Outcome::Failed),
        Self::Ended(Outcome::Timeout),
        Self::Ended(Outcome::Undelivered),
        Self::Ended(Outcome::Rejected),
        Self::Ended(Outcome::Unknown),
        Self::Ended(Outcome::Stopped),
        Self::Ended(Outcome::Skipped),
        Self::Ended(Outcome::NotReturned),
    ];

    /// Returns the byte in a map.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Pending => 0,
            Self::Deferred => 1,
            Self::InFlight => 2,
            Self::Ended(Outcome::Success) => 16,
            Self::Ended(Outcome::Failed) => 17,
            Self::Ended(Outcome::Timeout) => 18,
            Self::Ended(Outcome::Undelivered) => 19,
            Self::Ended(Outcome::Rejected) => 20,
            Self::Ended(Outcome::Unknown) => 21,
            Self::Ended(Outcome::Stopped) => 22,
            Self::Ended(Outcome::Skipped) => 23,
            Self::Ended(Outcome::NotReturned) => 24,
        }
    }

    /// Returns the code of a byte; `None` for a byte without a meaning.
    pub fn of_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.byte() == byte)
    }

    /// Returns the word in documents and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Deferred => "DEFERRED",
            Self::InFlight => "IN_FLIGHT",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }

    /// Returns the code of a target that has no record and is in no batch and not deferred.
    pub const fn of_idle(task: TaskStatus) -> Self {
        if task.admits_no_more() { Self::Ended(Outcome::Skipped) } else { Self::Pending }
    }
}

/// A run of ordinals with one code, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapRun {
    /// First ordinal.
    pub first: u32,
    /// Last ordinal, at least `first`.
    pub last: u32,
    /// Code of all targets of the run.
    pub code: MapCode,
}

/// Changes of a map: the latest code of each changed target. `is_reset` replaces them: the map has
/// to be read again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapChange {
    runs: Vec<MapRun>,
    is_reset: bool,
}

impl MapChange {
    /// Creates the change that names no target: the map has to be read again.
    pub const fn reset() -> Self {
        Self { runs: Vec::new(), is_reset: true }
    }

    /// Collects the latest code of each target. Adjacent targets with one code form a run.
    pub fn of_targets(codes: impl IntoIterator<Item = (u32, MapCode)>) -> Self {
        let latest: BTreeMap<u32, MapCode> = codes.into_iter().collect();
        Self { runs: runs(latest), is_reset: false }
    }

    /// Merges changes in their order: a later one overrules an earlier one. More runs than a
    /// message may carry become a reset.
    pub fn merged<'a>(changes: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut latest = BTreeMap::new();
        for change in changes {
            if change.is_reset {
                return Self::reset();
            }
            for run in &change.runs {
                latest.extend((run.first..=run.last).map(|ordinal| (ordinal, run.code)));
            }
        }
        let runs = runs(latest);
        if runs.len() > limits::MAX_MAP_RUNS { Self::reset() } else { Self { runs, is_reset: false } }
    }

    /// Restores a stored change.
    pub const fn of_runs(runs: Vec<MapRun>) -> Self {
        Self { runs, is_reset: false }
    }

    /// Returns the runs, ascending and disjoint.
    pub fn runs(&self) -> &[MapRun] {
        &self.runs
    }

    /// Returns whether the map has to be read again.
    pub const fn is_reset(&self) -> bool {
        self.is_reset
    }

    /// Returns whether the change neither names a target nor is a reset.
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty() && !self.is_reset
    }

    /// Groups the runs by code, in the order of the codes.
    pub fn by_code(&self) -> BTreeMap<MapCode, Vec<(u32, u32)>> {
        let mut groups: BTreeMap<MapCode, Vec<(u32, u32)>> = BTreeMap::new();
        for run in &self.runs {
            groups.entry(run.code).or_default().push((run.first, run.last));
        }
        groups
    }

    /// Applies the change to the bytes of a map. Ordinals beyond its end are ignored.
    pub fn apply(&self, map: &mut [u8]) {
        for run in &self.runs {
            fill(map, run.first, run.last, run.code);
        }
    }
}

fn runs(latest: BTreeMap<u32, MapCode>) -> Vec<MapRun> {
    let mut runs: Vec<MapRun> = Vec::new();
    for (ordinal, code) in latest {
        match runs.last_mut() {
            Some(run) if run.code == code && run.last.checked_add(1) == Some(ordinal) => run.last = ordinal,
            _ => runs.push(MapRun { first: ordinal, last: ordinal, code }),
        }
    }
    runs
}

fn fill(map: &mut [u8], first: u32, last: u32, code: MapCode) {
    let end = map.len().min((last as usize).saturating_add(1));
    if let Some(part) = map.get_mut(first as usize..end) {
        part.fill(code.byte());
    }
}

/// Parts of a map as they are stored: members of batches, deferred targets and records.
#[derive(Debug, Clone, Default)]
pub struct MapParts {
    /// Ordinals in batches, and of targets whose desktop has to return.
    pub in_batches: Vec<u32>,
    /// Deferred ordinals.
    pub deferred: Vec<u32>,
    /// Ordinals of records by place of the script and outcome.
    pub records: Vec<(u16, Outcome, Vec<u32>)>,
}

impl MapParts {
    /// Builds the bytes of a map of `size` targets. A record overrules a batch that still contains
    /// its target, and of several scripts the first one that did not succeed decides.
    pub fn bytes(mut self, size: u32, task: TaskStatus) -> Vec<u8> {
        let mut map = vec![MapCode::of_idle(task).byte(); size as usize];
        let mut set = |ordinals: &[u32], code: MapCode| {
            for &ordinal in ordinals {
                if let Some(byte) = map.get_mut(ordinal as usize) {
                    *byte = code.byte();
                }
            }
        };
        set(&self.in_batches, MapCode::InFlight);
        set(&self.deferred, MapCode::Deferred);
        // Successes first, then the others from the last script to the first.
        self.records
            .sort_by_key(|(script, outcome, _)| (*outcome != Outcome::Success, std::cmp::Reverse(*script)));
        for (_, outcome, ordinals) in &self.records {
            set(ordinals, MapCode::Ended(*outcome));
        }
        map
    }
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
