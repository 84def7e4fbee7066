//! Explanations: the history of a task or of one of its desktops, as sentences with times and
//! reasons, in order.

use chrono::SecondsFormat;

use crate::{
    Timestamp,
    event::EventKind,
    outcome::Outcome,
    process::ProcessReport,
    quarantine,
    record::RecordStatus,
    return_condition::ReturnCondition,
    task::TaskStatus,
    wave::WaveStatus,
    wave_start::{self, AdmissionBlock, StartConditions},
};

/// One sentence of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Time of the event; `None` for a statement about the current state.
    pub at: Option<Timestamp>,
    /// Text of the sentence.
    pub text: String,
}

impl Sentence {
    fn at(at: Timestamp, text: impl Into<String>) -> Self {
        Self { at: Some(at), text: text.into() }
    }

    fn so(text: impl Into<String>) -> Self {
        Self { at: None, text: text.into() }
    }
}

/// Formats a time for a sentence.
fn moment(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Describes an event.
pub fn event(kind: EventKind, wave: Option<u16>, actor: &str, detail: &str) -> String {
    let wave = wave.map_or_else(String::new, |wave| format!("wave {wave}"));
    let by = if actor.is_empty() { String::new() } else { format!(" by {actor}") };
    let text = match kind {
        // The details of these kinds already begin with the same word.
        EventKind::Stopped if !detail.is_empty() => return format!("the task was {detail}"),
        EventKind::Expired if !detail.is_empty() => return format!("the task {detail}"),
        EventKind::Accepted => format!("the task was accepted{by}"),
        EventKind::WaveOpened => format!("{wave} was opened"),
        EventKind::WaveClosed => format!("{wave} was closed"),
        EventKind::WaveWaiting => format!("{wave} does not open yet"),
        EventKind::WaveApproved => format!("{wave} was approved{by}"),
        EventKind::Halted => format!("the gate halted the rollout in {wave}"),
        EventKind::Stopped => format!("the task was stopped{by}"),
        EventKind::Expired => "the task expired".to_owned(),
        EventKind::Paused => format!("the task was paused{by}"),
        EventKind::Resumed => format!("the task was resumed{by}"),
        EventKind::Frozen => format!("the project was frozen{by}"),
        EventKind::Unfrozen => format!("the project was unfrozen{by}"),
        EventKind::ConcurrencyChanged => format!("max_concurrency was changed{by}"),
        EventKind::Retried => format!("a retry was requested{by}"),
        EventKind::Quarantined => format!("a target of {wave} was quarantined"),
        EventKind::Ended => "the task ended".to_owned(),
    };
    if detail.is_empty() { text } else { format!("{text}: {detail}") }
}

/// Returns the condition that a task waits for. `None` if it has ended, admits no more targets, or
/// has an open wave.
pub fn waiting_for(
    status: TaskStatus,
    hold: Option<AdmissionBlock>,
    current: Option<(u16, WaveStatus, &StartConditions)>,
    now: Timestamp,
) -> Option<String> {
    if status.admits_no_more() {
        return None;
    }
    if let Some(hold) = hold {
        return Some(hold.to_string());
    }
    let (wave, status, opening) = current?;
    if status != WaveStatus::Pending {
        return None;
    }
    match wave_start::decide(opening, None, now) {
        wave_start::WaveStart::Open => None,
        turn => Some(format!("wave {wave}: {turn}")),
    }
}

/// State of a target that waits for its desktop or for its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Delivery deadline of the target.
    pub until: Timestamp,
    /// Time at which its window opens; `None` without a closed window.
    pub not_before: Option<Timestamp>,
    /// Whether its task is paused or its project frozen.
    pub is_suspended: bool,
    /// Number of workers that died while they held the target.
    pub worker_deaths: u16,
    /// Time until which it waits for its desktop, which has no room for orders; `None` if the
    /// desktop has room.
    pub busy_until: Option<Timestamp>,
}

/// State of a target whose results are stored, and whose desktop still has to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedState {
    /// Condition that the desktop has to meet.
    pub condition: ReturnCondition,
    /// Time until which the desktop has to meet the condition.
    pub return_by: Timestamp,
    /// Number of scripts that have ended.
    pub results: u16,
}

/// State of a target that is in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryState {
    /// Worker of the batch.
    pub worker_id: String,
    /// Time at which the batch was formed.
    pub cut_at: Timestamp,
    /// Whether the worker has leased the batch.
    pub is_leased: bool,
    /// Whether its task is paused or its project frozen.
    pub is_suspended: bool,
}

/// History of a target, without its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetHistory {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Wave of the target.
    pub wave: u16,
    /// First script to run. Scripts before this place succeeded in an earlier task.
    pub first_script: u16,
    /// Reason for its selection as a canary; `None` for other targets.
    pub pick: Option<String>,
    /// Worker that holds its desktop's connection now; `None` while the desktop is offline.
    pub online_at: Option<String>,
    /// Set while the target is deferred.
    pub waits: Option<Waits>,
    /// Set while the return of the desktop is awaited.
    pub returns: Option<AwaitedState>,
    /// Set while the target is in a batch.
    pub handed: Option<DeliveryState>,
    /// Time at which a person requested its stop.
    pub stop_asked_at: Option<Timestamp>,
}

/// The wave of a target, for an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryWave {
    /// Status of the wave.
    pub status: WaveStatus,
    /// Time at which it opened.
    pub opened_at: Option<Timestamp>,
    /// Time at which it was closed, halted or stopped.
    pub closed_at: Option<Timestamp>,
    /// Last reason of the gate, or of the person who stopped it.
    pub verdict: Option<String>,
}

/// One record of a target, for an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRecord {
    /// Name of the script, or a substitute for a command.
    pub name: String,
    /// Status of the record.
    pub status: RecordStatus,
    /// Exit code; `None` if the agent killed the script, or it never started or has not ended.
    pub exit_code: Option<i32>,
    /// Start time; `None` if the script has not started.
    pub started_at: Option<Timestamp>,
    /// End time; `None` if the record is not stored.
    pub ended_at: Option<Timestamp>,
    /// Reason of the outcome; empty for a success.
    pub reason: String,
    /// Facts about the process of the script.
    pub process: ProcessReport,
    /// Outcome and exit code of a result that arrived too late, with the time of its arrival.
    pub late: Option<(Outcome, Option<i32>, Timestamp)>,
}

/// Data of an explanation, in addition to the target's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainContext {
    /// Time of the explanation.
    pub now: Timestamp,
    /// Time at which the task was accepted.
    pub accepted_at: Timestamp,
    /// Status of the task.
    pub task: TaskStatus,
    /// Reason of the task's halt or stop.
    pub halt_reason: Option<String>,
    /// Condition that the task waits for.
    pub waiting_for: Option<String>,
    /// Wave of the target.
    pub wave: HistoryWave,
    /// Records of the target, in the order of the scripts.
    pub records: Vec<HistoryRecord>,
}

/// Explains why a desktop did or did not run.
pub fn desktop(story: &TargetHistory, around: &ExplainContext) -> Vec<Sentence> {
    let mut sentences = vec![Sentence::at(around.accepted_at, "the task was accepted")];
    let place = format!("the desktop is target {} of the plan, in wave {}", story.ordinal, story.wave);
    sentences.push(Sentence::so(match &story.pick {
        Some(pick) => format!("{place}: {pick}"),
        None => place,
    }));
    if story.first_script > 0 {
        sentences.push(Sentence::so(format!(
            "the first {} scripts succeeded in the task that is retried and are not run again",
            story.first_script
        )));
    }
    if let Some(opened_at) = around.wave.opened_at {
        sentences.push(Sentence::at(opened_at, format!("wave {} was opened", story.wave)));
    }
    sentences.extend(stop_of(story));
    let is_known = explain_records(&mut sentences, &around.records);
    if !is_known {
        sentences.push(why_not_yet(story, around));
    }
    sentences
}

fn stop_of(story: &TargetHistory) -> Option<Sentence> {
    Some(Sentence::at(story.stop_asked_at?, "a person requested the stop of this target"))
}

/// Adds sentences for stored records. Returns false if `records` is empty.
fn explain_records(sentences: &mut Vec<Sentence>, records: &[HistoryRecord]) -> bool {
    let mut is_known = false;
    for record in records {
        if let Some(started_at) = record.started_at {
            let so_far =
                if record.status == RecordStatus::Running { " and has been running since" } else { "" };
            sentences.push(Sentence::at(started_at, format!("{} started{so_far}", record.name)));
        }
        let (Some(ended_at), RecordStatus::Ended(outcome)) = (record.ended_at, record.status) else {
            continue;
        };
        is_known = true;
        let why = match (outcome, record.exit_code) {
            (Outcome::Success, _) if record.reason.is_empty() => String::new(),
            (_, Some(code)) if record.reason.is_empty() => format!(": exit code {code}"),
            _ if record.reason.is_empty() => String::new(),
            _ => format!(": {}", record.reason),
        };
        sentences.push(Sentence::at(ended_at, format!("{} ended as {outcome}{why}", record.name)));
        if let Some(left) = record.process.left_sentence() {
            sentences.push(Sentence::at(ended_at, format!("{}: {left}", record.name)));
        }
        if let Some((outcome, exit_code, received_at)) = record.late {
            let exit = exit_code.map_or_else(String::new, |code| format!(", exit code {code}"));
            let text =
                format!("a late result of {} arrived and changes no count: {outcome}{exit}", record.name);
            sentences.push(Sentence::at(received_at, text));
        }
    }
    is_known
}

/// Explains why there is no record yet, or will never be one.
fn why_not_yet(story: &TargetHistory, around: &ExplainContext) -> Sentence {
    if let Some(handed) = &story.handed {
        let at = &handed.worker_id;
        return Sentence::at(
            handed.cut_at,
            match (handed.is_leased, handed.is_suspended) {
                (true, _) => format!("worker {at} holds the target, and no result has arrived"),
                (false, true) => {
                    format!("the target is ready for worker {at} but suspended: {}", held(around))
                }
                (false, false) => format!("the target is ready for worker {at}, which has not pulled it yet"),
            },
        );
    }
    if let Some(returns) = &story.returns {
        return Sentence::so(why_it_is_awaited(returns));
    }
    if let Some(waits) = &story.waits {
        return Sentence::so(why_it_waits(waits, story, around));
    }
    if around.task.admits_no_more() {
        let reason = around.halt_reason.as_deref().unwrap_or("the task has ended");
        let at = around.wave.closed_at.map_or_else(String::new, |at| format!(" at {}", moment(at)));
        return Sentence::so(format!(
            "the target never started: the rollout ended{at} before its turn ({reason})"
        ));
    }
    let turn = match around.wave.status {
        WaveStatus::Pending => format!("wave {} is not open", story.wave),
        _ => "admission has not reached it".to_owned(),
    };
    Sentence::so(match &around.waiting_for {
        Some(wait) => format!("the target waits: {turn}; {wait}"),
        None => format!("the target waits: {turn}"),
    })
}

fn why_it_is_awaited(returns: &AwaitedState) -> String {
    let AwaitedState { condition, return_by, results } = returns;
    let scripts = if *results == 1 { "1 script has".to_owned() } else { format!("{results} scripts have") };
    format!(
        "{scripts} ended: the target ends as NOT_RETURNED unless its desktop connects {} before {}",
        condition.phrase(),
        moment(*return_by)
    )
}

fn why_it_waits(waits: &Waits, story: &TargetHistory, around: &ExplainContext) -> String {
    if waits.is_suspended {
        return format!("the target waits: {}", held(around));
    }
    if quarantine::is_quarantined(waits.worker_deaths) {
        return format!(
            "{} workers died while they held the target: it ends as UNKNOWN unless its agent reports",
            waits.worker_deaths
        );
    }
    if let Some(not_before) = waits.not_before
        && not_before > around.now
        && story.online_at.is_some()
    {
        return format!("the target waits for its window, which opens at {}", moment(not_before));
    }
    let until = moment(waits.until);
    match (&story.online_at, waits.busy_until) {
        (Some(worker_id), Some(busy_until)) => format!(
            "the desktop is online at worker {worker_id} and busy: the target waits for room, at most until {}",
            moment(busy_until)
        ),
        (Some(worker_id), None) => {
            format!("the desktop is online at worker {worker_id}, and the target waits for a slot")
        }
        (None, _) => format!(
            "the desktop is offline: the target ends as UNDELIVERED unless it connects before {until}"
        ),
    }
}

fn held(around: &ExplainContext) -> &str {
    around.waiting_for.as_deref().unwrap_or("the task is suspended")
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
