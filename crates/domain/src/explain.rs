//! Explain: what happened to a task, or to one desktop of it, and why, in sentences, in order, with times.

use chrono::SecondsFormat;

use crate::{
    Timestamp,
    event::EventKind,
    opening::{self, Hold, Opening},
    outcome::Outcome,
    record::RecordStatus,
    task::TaskStatus,
    wave::WaveStatus,
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
        EventKind::WaveWaits => format!("{wave} does not open yet"),
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
        EventKind::Ended => "the task ended".to_owned(),
    };
    if detail.is_empty() { text } else { format!("{text}: {detail}") }
}

/// What a task that has not ended waits for, if it is not at work.
pub fn waiting_for(
    status: TaskStatus,
    hold: Option<Hold>,
    current: Option<(u16, WaveStatus, &Opening)>,
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
    match opening::decide(opening, None, now) {
        opening::Turn::Open => None,
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
    pub is_held: bool,
}

/// A target in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// For whom.
    pub worker_id: String,
    /// Since when.
    pub cut_at: Timestamp,
    /// The worker has it.
    pub is_leased: bool,
    /// Its task is held.
    pub is_held: bool,
}

/// Where a target stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
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
    pub handed: Option<Handed>,
    /// A person asked for its stop.
    pub stop_asked_at: Option<Timestamp>,
}

/// The wave of a target, as its story needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoryWave {
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
pub struct StoryRecord {
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
pub struct Surroundings {
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
    pub wave: StoryWave,
    /// Of the target, in the order of the scripts.
    pub records: Vec<StoryRecord>,
}

/// Why a desktop did, or did not, run.
pub fn desktop(story: &Story, around: &Surroundings) -> Vec<Sentence> {
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

fn stop_of(story: &Story) -> Option<Sentence> {
    Some(Sentence::at(story.stop_asked_at?, "a person asked for it to be stopped"))
}

/// Tells what is stored of the records; false when there is nothing.
fn tell_records(told: &mut Vec<Sentence>, records: &[StoryRecord]) -> bool {
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
fn why_not_yet(story: &Story, around: &Surroundings) -> Sentence {
    if let Some(handed) = &story.handed {
        let at = &handed.worker_id;
        return Sentence::at(
            handed.cut_at,
            match (handed.is_leased, handed.is_held) {
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

fn why_it_waits(waits: &Waits, story: &Story, around: &Surroundings) -> String {
    if waits.is_held {
        return format!("it waits: {}", held(around));
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

fn held(around: &Surroundings) -> &str {
    around.waiting_for.as_deref().unwrap_or("the task is held")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn story() -> Story {
        Story {
            ordinal: 3,
            wave: 2,
            first_script: 0,
            pick: None,
            online_at: None,
            waits: None,
            handed: None,
            stop_asked_at: None,
        }
    }

    fn around(task: TaskStatus, wave: WaveStatus) -> Surroundings {
        Surroundings {
            now: at(50),
            accepted_at: at(0),
            task,
            halt_reason: None,
            waiting_for: None,
            wave: StoryWave { status: wave, opened_at: None, closed_at: None, verdict: None },
            records: Vec::new(),
        }
    }

    fn last(story: &Story, around: &Surroundings) -> String {
        desktop(story, around).pop().unwrap().text
    }

    #[test]
    fn what_did_not_run_says_why() {
        let running = around(TaskStatus::Running, WaveStatus::Open);
        let waits = Waits { until: at(600), not_before: None, is_held: false };
        let handed = Handed { worker_id: "w".into(), cut_at: at(5), is_leased: false, is_held: false };
        let away = Story { waits: Some(waits), ..story() };
        let pending = around(TaskStatus::Running, WaveStatus::Pending);
        let paused = Surroundings { waiting_for: Some("the task is paused".into()), ..running.clone() };
        let halted = Surroundings {
            halt_reason: Some("2 of 4 targets failed".into()),
            ..around(TaskStatus::Halted, WaveStatus::Pending)
        };
        for (story, around, expected) in [
            (story(), pending.clone(), "it waits: wave 2 is not open"),
            (
                story(),
                Surroundings {
                    waiting_for: Some("wave 2: it waits for a person's approval".into()),
                    ..pending
                },
                "it waits: wave 2 is not open; wave 2: it waits for a person's approval",
            ),
            (story(), running.clone(), "it waits: its turn in the wave has not come"),
            (
                away.clone(),
                running.clone(),
                "its desktop is away: it is UNDELIVERED if it does not come back before 1970-01-01T00:10:00Z",
            ),
            (
                Story { online_at: Some("w".into()), ..away },
                running.clone(),
                "its desktop is back at worker w, and waits for a place",
            ),
            (
                Story {
                    online_at: Some("w".into()),
                    waits: Some(Waits { not_before: Some(at(60)), ..waits }),
                    ..story()
                },
                running.clone(),
                "it waits for its window, which opens at 1970-01-01T00:01:00Z",
            ),
            (
                Story { waits: Some(Waits { is_held: true, ..waits }), ..story() },
                paused.clone(),
                "it waits: the task is paused",
            ),
            (
                Story { handed: Some(handed.clone()), ..story() },
                running.clone(),
                "it is ready for worker w, which has not pulled it yet",
            ),
            (
                Story { handed: Some(Handed { is_held: true, ..handed.clone() }), ..story() },
                paused,
                "it is ready for worker w, and held: the task is paused",
            ),
            (
                Story { handed: Some(Handed { is_leased: true, ..handed }), ..story() },
                running,
                "worker w has it, and its result is not in",
            ),
            (story(), halted, "it never started: the rollout ended before its turn (2 of 4 targets failed)"),
        ] {
            assert_eq!(last(&story, &around), expected);
        }
    }

    #[test]
    fn what_ran_is_told_in_order() {
        let record = |name: &str, started: i64, outcome, reason: &str| StoryRecord {
            name: name.into(),
            status: RecordStatus::Ended(outcome),
            exit_code: None,
            started_at: Some(at(started)),
            ended_at: Some(at(started + 5)),
            reason: reason.into(),
        };
        let around = Surroundings {
            wave: StoryWave { opened_at: Some(at(1)), ..around(TaskStatus::Failed, WaveStatus::Closed).wave },
            records: vec![
                record("first", 10, Outcome::Success, ""),
                record("second", 20, Outcome::Failed, "exit code 7"),
            ],
            ..around(TaskStatus::Failed, WaveStatus::Closed)
        };
        let story = Story { pick: Some("named in gray_resource_ids".into()), first_script: 1, ..story() };
        let told: Vec<_> = desktop(&story, &around).into_iter().map(|it| (it.at, it.text)).collect();
        let expected = [
            (Some(at(0)), "the task was accepted"),
            (None, "it is target 3 of the plan, in wave 2: named in gray_resource_ids"),
            (None, "the first 1 scripts succeeded in the task that is retried and are not run again"),
            (Some(at(1)), "wave 2 was opened"),
            (Some(at(10)), "first started"),
            (Some(at(15)), "first ended as SUCCESS"),
            (Some(at(20)), "second started"),
            (Some(at(25)), "second ended as FAILED: exit code 7"),
        ];
        assert_eq!(told, expected.map(|(at, text)| (at, text.to_owned())));
    }

    #[test]
    fn every_event_is_a_sentence() {
        for kind in EventKind::ALL {
            let text = event(kind, Some(2), "alice", "why");
            let begins_alike = matches!(kind, EventKind::Stopped | EventKind::Expired);
            assert!(text.ends_with(if begins_alike { " why" } else { ": why" }), "{kind}: {text}");
            assert!(!event(kind, None, "", "").contains(" by "), "{kind}");
        }
        assert_eq!(event(EventKind::Halted, Some(1), "", "x"), "the gate halted the rollout in wave 1: x");
        assert_eq!(event(EventKind::Paused, None, "bob", ""), "the task was paused by bob");
    }

    #[test]
    fn a_task_says_what_it_waits_for() {
        let opening = Opening { needs_approval: true, ..Opening::default() };
        let current = Some((2, WaveStatus::Pending, &opening));
        let wait = |status, hold, current| waiting_for(status, hold, current, at(0));
        assert_eq!(
            wait(TaskStatus::Running, None, current).unwrap(),
            "wave 2: it waits for a person's approval"
        );
        assert_eq!(wait(TaskStatus::Running, Some(Hold::Frozen), current).unwrap(), "the project is frozen");
        assert_eq!(wait(TaskStatus::Running, None, Some((2, WaveStatus::Open, &opening))), None);
        assert_eq!(wait(TaskStatus::Halting, Some(Hold::Paused), current), None);
        assert_eq!(
            wait(TaskStatus::Running, None, Some((2, WaveStatus::Pending, &Opening::default()))),
            None
        );
    }

    #[test]
    fn an_end_is_told_with_its_reason_or_else_its_exit_code() {
        let ended = |outcome, exit_code, reason: &str| {
            let record = StoryRecord {
                name: "it".into(),
                status: RecordStatus::Ended(outcome),
                exit_code,
                started_at: None,
                ended_at: Some(at(9)),
                reason: reason.into(),
            };
            let around =
                Surroundings { records: vec![record], ..around(TaskStatus::Failed, WaveStatus::Closed) };
            last(&story(), &around)
        };
        use Outcome::{Failed, Success, Timeout};
        assert_eq!(ended(Success, Some(0), ""), "it ended as SUCCESS");
        assert_eq!(ended(Success, Some(9), "a success here"), "it ended as SUCCESS: a success here");
        assert_eq!(ended(Failed, Some(7), ""), "it ended as FAILED: exit code 7");
        assert_eq!(ended(Failed, Some(7), "killed"), "it ended as FAILED: killed");
        assert_eq!(ended(Timeout, None, ""), "it ended as TIMEOUT");
        assert_eq!(ended(Timeout, None, "too long"), "it ended as TIMEOUT: too long");
    }

    #[test]
    fn a_stop_is_told_and_what_was_not_done_earlier_is_not() {
        let stopped = Story { stop_asked_at: Some(at(7)), ..story() };
        let told = desktop(&stopped, &around(TaskStatus::Running, WaveStatus::Open));
        let texts: Vec<&str> = told.iter().map(|it| it.text.as_str()).collect();
        assert!(texts.contains(&"a person asked for it to be stopped"), "{texts:?}");
        assert!(!texts.iter().any(|text| text.contains("succeeded in the task")), "{texts:?}");
    }
}
