//! The tasks that wait for a person, and why.

use chrono::TimeDelta;

use crate::{
    Timestamp,
    string_enum::string_enum,
    task::TaskStatus,
    wave::WaveStatus,
    wave_start::{AdmissionBlock, StartConditions, WaveHold, admission_block},
};

/// Age from which on a halted task no longer asks for attention.
pub const HALTED_SHOWN: TimeDelta = TimeDelta::days(7);

/// A reason why a task waits for a person, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttentionKind {
    /// The gate halted the task, and no other task retries it.
    Halted,
    /// A wave gave too little evidence: the next one opens only after an approval.
    Holding,
    /// The next wave waits for the approval that the author asked for.
    Approval,
    /// Targets are past half of their deadline without a result.
    Stragglers,
    /// The project is frozen.
    Frozen,
    /// A person paused the task.
    Paused,
}

impl AttentionKind {
    /// Every kind, the most urgent first.
    pub const ALL: [Self; 6] =
        [Self::Halted, Self::Holding, Self::Approval, Self::Stragglers, Self::Frozen, Self::Paused];

    /// Returns the word in proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Halted => "HALTED",
            Self::Holding => "HOLDING",
            Self::Approval => "APPROVAL",
            Self::Stragglers => "STRAGGLERS",
            Self::Frozen => "FROZEN",
            Self::Paused => "PAUSED",
        }
    }
}

string_enum!(AttentionKind, "kind");

/// State of a task, as far as it may ask for attention.
#[derive(Debug, Clone, Copy)]
pub struct TaskState<'a> {
    /// Status of the task.
    pub status: TaskStatus,
    /// Reason of its halt; `None` without one.
    pub halt_reason: Option<&'a str>,
    /// Whether another task retries this one.
    pub is_retried: bool,
    /// Since when a person has paused the task; `None` if it is not paused.
    pub paused_at: Option<Timestamp>,
    /// Since when its project is frozen; `None` if it is not frozen.
    pub frozen_at: Option<Timestamp>,
    /// Time at which it ended; `None` before.
    pub ended_at: Option<Timestamp>,
    /// The first wave that is not closed; `None` if the task has none.
    pub wave: Option<CurrentWave<'a>>,
    /// Targets past half of their deadline without a result.
    pub stragglers: u32,
}

/// The first wave of a task that is not closed.
#[derive(Debug, Clone, Copy)]
pub struct CurrentWave<'a> {
    /// Number of the wave, from 1.
    pub wave: u16,
    /// Status of the wave.
    pub status: WaveStatus,
    /// Number of its targets.
    pub size: u32,
    /// Its start conditions.
    pub opening: &'a StartConditions,
    /// Time at which the wave before it closed; `None` for the first wave.
    pub previous_closed_at: Option<Timestamp>,
    /// Time at which the wave was halted; `None` if it was not.
    pub closed_at: Option<Timestamp>,
}

/// A reason why a task asks for attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// Kind of the reason.
    pub kind: AttentionKind,
    /// Since when; `None` if unknown.
    pub since: Option<Timestamp>,
    /// When the task goes on or stops without a person; `None` if it does neither.
    pub until: Option<Timestamp>,
    /// The wave that waits; `None` if the whole task does.
    pub wave: Option<u16>,
    /// Number of targets concerned; `None` if the whole task is.
    pub targets: Option<u32>,
    /// Description for people.
    pub sentence: String,
}

/// Returns the reasons why a task asks for attention, the most urgent first; none if it goes on
/// without a person.
pub fn attention(task: &TaskState<'_>, now: Timestamp) -> Vec<Attention> {
    let mut found = Vec::new();
    found.extend(halted(task, now));
    if !task.status.admits_no_more() {
        found.extend(held(task, now));
        found.extend(blocked(task, now));
    }
    if task.stragglers > 0 && !task.status.is_ended() {
        found.push(Attention {
            kind: AttentionKind::Stragglers,
            since: None,
            until: None,
            wave: task.wave.map(|current| current.wave),
            targets: Some(task.stragglers),
            sentence: format!("{} targets are past half of their deadline without a result", task.stragglers),
        });
    }
    found.sort_by_key(|reason| reason.kind);
    found
}

fn halted(task: &TaskState<'_>, now: Timestamp) -> Option<Attention> {
    let is_recent = |ended_at: Timestamp| now - ended_at <= HALTED_SHOWN;
    let is_open = match task.status {
        TaskStatus::Halting => true,
        TaskStatus::Halted => !task.is_retried && task.ended_at.is_some_and(is_recent),
        _ => false,
    };
    is_open.then(|| Attention {
        kind: AttentionKind::Halted,
        since: task.wave.and_then(|current| current.closed_at).or(task.ended_at),
        until: None,
        wave: task.wave.map(|current| current.wave),
        targets: None,
        sentence: match task.halt_reason {
            Some(reason) => format!("the gate halted the rollout: {reason}"),
            None => "the gate halted the rollout".to_owned(),
        },
    })
}

/// Returns the approval that the next wave waits for. A soak or a block comes first: an approval is
/// possible before, so it is shown anyway.
fn held(task: &TaskState<'_>, now: Timestamp) -> Option<Attention> {
    let current = task.wave.filter(|current| current.status == WaveStatus::Pending)?;
    // An approval counts only once the results of the previous wave are known.
    let since = current.previous_closed_at;
    if current.wave > 1 && since.is_none() {
        return None;
    }
    let (wave, size) = (current.wave, current.size);
    let soaks = current.opening.opens_at.is_some_and(|opens_at| now < opens_at);
    let then = if soaks { ", after the soak of the previous wave" } else { "" };
    let (kind, sentence) = match current.opening.hold()? {
        WaveHold::Approval => {
            (AttentionKind::Approval, format!("wave {wave} of {size} targets waits for an approval{then}"))
        }
        WaveHold::NoEvidence => (
            AttentionKind::Holding,
            format!(
                "too few targets succeeded before wave {wave} of {size} targets: it waits for an approval{then}"
            ),
        ),
    };
    let until = current.opening.hold_end();
    Some(Attention { kind, since, until, wave: Some(wave), targets: Some(size), sentence })
}

fn blocked(task: &TaskState<'_>, now: Timestamp) -> Option<Attention> {
    let block = admission_block(task.paused_at.is_some(), task.frozen_at.is_some(), None, now)?;
    let (kind, since) = match block {
        AdmissionBlock::Frozen => (AttentionKind::Frozen, task.frozen_at),
        AdmissionBlock::Paused | AdmissionBlock::Expired => (AttentionKind::Paused, task.paused_at),
    };
    Some(Attention { kind, since, until: None, wave: None, targets: None, sentence: block.to_string() })
}

#[cfg(test)]
#[path = "attention_tests.rs"]
mod tests;
