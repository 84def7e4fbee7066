//! Explain: what happened to a task, or to one desktop of it, and why, in sentences, in order, with times.

use chrono::SecondsFormat;

use crate::{
    Timestamp,
    event::EventKind,
    outcome::Outcome,
    quarantine,
    record::RecordStatus,
    task::TaskStatus,
    wave::WaveStatus,
    wave_start::{self, AdmissionBlock, StartConditions},
};

/// One sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// When it happened; `None` for what is so.
    pub at: Option<Timestamp>,
    /// What.
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

/// A moment as sentences tell it.
fn moment(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An event in words.
pub fn event(kind: EventKind, wave: Option<u16>, actor: &str, detail: &str) -> String {
    let wave = wave.map_or_else(String::new, |wave| format!("wave {wave}"));
    let by = if actor.is_empty() { String::new() } else { format!(" by {actor}") };
    let text = match kind {
        // What they say begins with the same word.
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
        EventKind::Retried => format!("a retry was asked for{by}"),
        EventKind::Quarantined => format!("a target of {wave} is handed out no more"),
        EventKind::Ended => "the task ended".to_owned(),
    };
    if detail.is_empty() { text } else { format!("{text}: {detail}") }
}

/// What a task that has not ended waits for, if it is not at work.
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

/// A target that waits for its desktop, or for its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Its delivery deadline.
    pub until: Timestamp,
    /// Its window opens then.
    pub not_before: Option<Timestamp>,
    /// Its task is held.
    pub is_suspended: bool,
    /// Workers that died while they held it.
    pub worker_deaths: u16,
}

/// A target in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryState {
    /// For whom.
    pub worker_id: String,
    /// Since when.
    pub cut_at: Timestamp,
    /// The worker has it.
    pub is_leased: bool,
    /// Its task is held.
    pub is_suspended: bool,
}

/// Where a target stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetHistory {
    /// Its place in the plan.
    pub ordinal: u32,
    /// Its wave.
    pub wave: u16,
    /// Scripts before this place succeeded in an earlier task.
    pub first_script: u16,
    /// Why it is in the gray wave, if it is.
    pub pick: Option<String>,
    /// The worker that holds its desktop's connection now.
    pub online_at: Option<String>,
    /// It waits.
    pub waits: Option<Waits>,
    /// It is in a batch.
    pub handed: Option<DeliveryState>,
    /// A person asked for its stop.
    pub stop_asked_at: Option<Timestamp>,
}

/// The wave of a target, as its story needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryWave {
    /// Where it is.
    pub status: WaveStatus,
    /// When it was opened.
    pub opened_at: Option<Timestamp>,
    /// When it was closed, halted or stopped.
    pub closed_at: Option<Timestamp>,
    /// What the gate, or who stopped it, said.
    pub verdict: Option<String>,
}

/// One of a target's records, as its story needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRecord {
    /// The script's name, or what stands for a command.
    pub name: String,
    /// Where it is.
    pub status: RecordStatus,
    /// Where it ended by itself.
    pub exit_code: Option<i32>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended so.
    pub reason: String,
}

/// What a story is told from, beside the target itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainContext {
    /// When it is told.
    pub now: Timestamp,
    /// When the task was accepted.
    pub accepted_at: Timestamp,
    /// Where the task is.
    pub task: TaskStatus,
    /// Why the task was halted or stopped.
    pub halt_reason: Option<String>,
    /// What the task waits for.
    pub waiting_for: Option<String>,
    /// The target's wave.
    pub wave: HistoryWave,
    /// Of the target, in the order of the scripts.
    pub records: Vec<HistoryRecord>,
}

/// Why a desktop did, or did not, run.
pub fn desktop(story: &TargetHistory, around: &ExplainContext) -> Vec<Sentence> {
    let mut told = vec![Sentence::at(around.accepted_at, "the task was accepted")];
    let place = format!("it is target {} of the plan, in wave {}", story.ordinal, story.wave);
    told.push(Sentence::so(match &story.pick {
        Some(pick) => format!("{place}: {pick}"),
        None => place,
    }));
    if story.first_script > 0 {
        told.push(Sentence::so(format!(
            "the first {} scripts succeeded in the task that is retried and are not run again",
            story.first_script
        )));
    }
    if let Some(opened_at) = around.wave.opened_at {
        told.push(Sentence::at(opened_at, format!("wave {} was opened", story.wave)));
    }
    told.extend(stop_of(story));
    let is_known = tell_records(&mut told, &around.records);
    if !is_known {
        told.push(why_not_yet(story, around));
    }
    told
}

fn stop_of(story: &TargetHistory) -> Option<Sentence> {
    Some(Sentence::at(story.stop_asked_at?, "a person asked for it to be stopped"))
}

/// Tells what is stored of the records; false when there is nothing.
fn tell_records(told: &mut Vec<Sentence>, records: &[HistoryRecord]) -> bool {
    let mut is_known = false;
    for record in records {
        if let Some(started_at) = record.started_at {
            told.push(Sentence::at(started_at, format!("{} started", record.name)));
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
        told.push(Sentence::at(ended_at, format!("{} ended as {outcome}{why}", record.name)));
    }
    is_known
}

/// Why there is no record yet, or will never be one.
fn why_not_yet(story: &TargetHistory, around: &ExplainContext) -> Sentence {
    if let Some(handed) = &story.handed {
        let at = &handed.worker_id;
        return Sentence::at(
            handed.cut_at,
            match (handed.is_leased, handed.is_suspended) {
                (true, _) => format!("worker {at} has it, and its result is not in"),
                (false, true) => format!("it is ready for worker {at}, and held: {}", held(around)),
                (false, false) => format!("it is ready for worker {at}, which has not pulled it yet"),
            },
        );
    }
    if let Some(waits) = &story.waits {
        return Sentence::so(why_it_waits(waits, story, around));
    }
    if around.task.admits_no_more() {
        let reason = around.halt_reason.as_deref().unwrap_or("the task has ended");
        let at = around.wave.closed_at.map_or_else(String::new, |at| format!(" at {}", moment(at)));
        return Sentence::so(format!("it never started: the rollout ended{at} before its turn ({reason})"));
    }
    let turn = match around.wave.status {
        WaveStatus::Pending => format!("wave {} is not open", story.wave),
        _ => "its turn in the wave has not come".to_owned(),
    };
    Sentence::so(match &around.waiting_for {
        Some(wait) => format!("it waits: {turn}; {wait}"),
        None => format!("it waits: {turn}"),
    })
}

fn why_it_waits(waits: &Waits, story: &TargetHistory, around: &ExplainContext) -> String {
    if waits.is_suspended {
        return format!("it waits: {}", held(around));
    }
    if quarantine::is_quarantined(waits.worker_deaths) {
        return format!(
            "it is handed out no more, because {} workers died that held it: it is UNKNOWN if its agent does not report",
            waits.worker_deaths
        );
    }
    if let Some(not_before) = waits.not_before
        && not_before > around.now
        && story.online_at.is_some()
    {
        return format!("it waits for its window, which opens at {}", moment(not_before));
    }
    let until = moment(waits.until);
    match &story.online_at {
        Some(worker_id) => format!("its desktop is back at worker {worker_id}, and waits for a place"),
        None => format!("its desktop is away: it is UNDELIVERED if it does not come back before {until}"),
    }
}

fn held(around: &ExplainContext) -> &str {
    around.waiting_for.as_deref().unwrap_or("the task is held")
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
