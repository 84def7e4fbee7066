//! State of the full-screen view, and the effects of keys. Nothing here draws or makes a call.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use proto::admin::{EventKind, FailureGroup, StopMode, Task, TaskStatus};

use super::command::{Command, CommandResult};
use crate::{
    ExitStatus,
    follow::{Rollout, Update, WaveNow},
};

/// Time for which a notice is shown.
const NOTICE: Duration = Duration::from_secs(8);
/// Minimum interval between two requests for the failures.
const FAILURES_EVERY: Duration = Duration::from_secs(2);
/// Number of lines that Page Up and Page Down scroll.
const PAGE: usize = 10;

/// Part of the screen that scrolls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Pane {
    Waves,
    #[default]
    Events,
    Failures,
}

/// Overlay on the screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Over {
    #[default]
    Nothing,
    Help,
    /// Question how to stop the task: drain or kill.
    Stop,
    /// Question whether to pause, resume or approve.
    Confirm(Command),
}

/// Message that disappears after [`NOTICE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) is_bad: bool,
    until: Option<Instant>,
}

/// State of the screen.
#[derive(Debug)]
pub(super) struct App {
    pub(super) task: Task,
    pub(super) rollout: Rollout,
    pub(super) failures: Vec<FailureGroup>,
    pub(super) pane: Pane,
    pub(super) over: Over,
    pub(super) notice: Option<Notice>,
    pub(super) colored: bool,
    pub(super) begun: Instant,
    /// Local time of the task's end; `None` while the task runs.
    pub(super) ended_at: Option<Instant>,
    /// Scroll offsets in lines, indexed by [`Pane`]. Waves scroll from the current wave, events
    /// from the last one, failures from the first one.
    pub(super) scrolled: [isize; 3],
    looked_at: Option<Instant>,
    /// Number of unsuccessful targets at the last request for the failures.
    looked: u32,
}

/// Returns the run time of a task, up to `now` if it has not ended. `None` without an end and
/// `now`, or for a negative time.
pub(super) fn took(task: &Task, now: Option<DateTime<Utc>>) -> Option<Duration> {
    let (began, ended) = (task.create_time.as_ref(), task.end_time.as_ref());
    // The clocks of two machines may differ, which can give a negative time.
    (ended.and_then(proto::time_opt).or(now)? - began.and_then(proto::time_opt)?).to_std().ok()
}

impl App {
    /// Makes the state for a task that was created `age` ago.
    pub(super) fn new(task: Task, colored: bool, now: Instant, age: Duration) -> Self {
        Self {
            task,
            rollout: Rollout::default(),
            failures: Vec::new(),
            pane: Pane::default(),
            over: Over::default(),
            notice: None,
            colored,
            begun: now.checked_sub(age).unwrap_or(now),
            ended_at: None,
            scrolled: [0; 3],
            looked_at: None,
            looked: 0,
        }
    }

    /// Applies an update of the event stream.
    pub(super) fn apply(&mut self, update: &Update, now: Instant) {
        self.rollout.apply(update, now);
        if let Update::Event(event) = update {
            match event.kind() {
                EventKind::Paused => self.task.paused = true,
                EventKind::Resumed => self.task.paused = false,
                _ => {}
            }
        }
        if self.rollout.over {
            self.ended_at = Some(now);
            self.over = Over::Nothing;
        }
    }

    /// Applies the result of a command.
    pub(super) fn done(&mut self, done: CommandResult, now: Instant) {
        match done {
            CommandResult::Said(text) => self.say(text, false, now),
            CommandResult::Refused(text) => self.say(text, true, now),
            CommandResult::Task(task) => {
                if self.rollout.over && task.end_time.is_some() {
                    self.ended_at = took(&task, None).and_then(|took| self.begun.checked_add(took));
                }
                self.task = *task;
            }
            CommandResult::Failures(failures) => self.failures = failures,
        }
    }

    fn say(&mut self, text: String, is_bad: bool, now: Instant) {
        self.notice = Some(Notice { text, is_bad, until: now.checked_add(NOTICE) });
    }

    /// Removes an expired notice.
    pub(super) fn tick(&mut self, now: Instant) {
        self.notice.take_if(|notice| notice.until.is_some_and(|until| until <= now));
    }

    /// Reports whether the failures changed since the last request and the next request is due.
    pub(super) fn wants_failures(&mut self, now: Instant) -> bool {
        let failed = self.rollout.waves.iter().map(WaveNow::not_succeeded).sum();
        let is_due = self.looked_at.is_none_or(|at| now.duration_since(at) >= FAILURES_EVERY);
        if failed == self.looked || !is_due {
            return false;
        }
        (self.looked, self.looked_at) = (failed, Some(now));
        true
    }

    /// Returns the exit status for a user who leaves now.
    pub(super) fn exit_status(&self) -> ExitStatus {
        if self.rollout.over { ExitStatus::of_task(self.rollout.status) } else { ExitStatus::Detached }
    }

    /// Reports whether a wave of the running task awaits approval.
    pub(super) fn waits_for_approval(&self) -> bool {
        self.rollout.status == TaskStatus::Running && self.rollout.next_held().is_some()
    }

    /// Handles a key. Returns the command to run; `None` if the key only changes the screen.
    pub(super) fn key(&mut self, key: KeyEvent, now: Instant) -> Option<Command> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Some(Command::Leave);
        }
        match std::mem::take(&mut self.over) {
            // Any key closes the help.
            Over::Help => None,
            Over::Stop => answer(key.code),
            Over::Confirm(command) => matches!(key.code, KeyCode::Char('y' | 'Y')).then_some(command),
            Over::Nothing => self.plain(key.code, now),
        }
    }

    fn plain(&mut self, key: KeyCode, now: Instant) -> Option<Command> {
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Some(Command::Leave),
            KeyCode::Char('?' | 'h') => self.over = Over::Help,
            KeyCode::Tab => self.pane = self.next_pane(),
            KeyCode::Up | KeyCode::Char('k') => self.scroll(-1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll(1),
            KeyCode::PageUp => self.scroll(-(PAGE as isize)),
            KeyCode::PageDown => self.scroll(PAGE as isize),
            KeyCode::Home => self.scroll(isize::MIN / 2),
            KeyCode::End => self.scroll(isize::MAX / 2),
            // An ended task accepts no commands.
            _ if self.rollout.over => {}
            KeyCode::Char('p') if self.task.paused => self.over = Over::Confirm(Command::Resume),
            KeyCode::Char('p') => self.over = Over::Confirm(Command::Pause),
            KeyCode::Char('a') => match self.rollout.next_held() {
                Some(wave) => self.over = Over::Confirm(Command::Approve(wave.wave)),
                None => self.say("no wave awaits approval".to_owned(), true, now),
            },
            KeyCode::Char('s') => self.over = Over::Stop,
            _ => {}
        }
        None
    }

    fn next_pane(&self) -> Pane {
        match self.pane {
            Pane::Waves => Pane::Events,
            Pane::Events if !self.failures.is_empty() => Pane::Failures,
            Pane::Events | Pane::Failures => Pane::Waves,
        }
    }

    /// Scrolls the selected pane; down is towards newer lines. [`Self::bound`] limits the offset
    /// when the pane is drawn.
    fn scroll(&mut self, lines: isize) {
        let scrolled = &mut self.scrolled[self.pane as usize];
        *scrolled = scrolled.saturating_add(lines);
    }

    /// Limits the scroll offset of a pane to the range from `first` to `last`, and returns it.
    pub(super) fn bound(&mut self, pane: Pane, first: isize, last: isize) -> isize {
        let scrolled = &mut self.scrolled[pane as usize];
        *scrolled = (*scrolled).clamp(first.min(last), last);
        *scrolled
    }
}

const fn answer(key: KeyCode) -> Option<Command> {
    match key {
        KeyCode::Char('d') => Some(Command::Stop(StopMode::Drain)),
        KeyCode::Char('k') => Some(Command::Stop(StopMode::Kill)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proto::admin::{Outcomes, TaskEvent, TaskProgress, Wave, WaveHold, WaveStatus};

    use super::*;

    fn app() -> App {
        App::new(Task { task_id: "t".into(), ..Task::default() }, false, Instant::now(), Duration::ZERO)
    }

    fn press(app: &mut App, key: char) -> Option<Command> {
        app.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE), Instant::now())
    }

    fn failed(app: &mut App, failed: u32, now: Instant) {
        let targets = Some(Outcomes { failed, ..Outcomes::default() });
        let waves = vec![Wave { size: 9, targets, ..Wave::default() }];
        let progress = TaskProgress { status: TaskStatus::Running.into(), waves, ..TaskProgress::default() };
        app.apply(&Update::Progress(progress), now);
    }

    #[test]
    fn a_stop_asks_how_and_any_other_key_means_no() {
        let mut app = app();
        assert_eq!((press(&mut app, 's'), app.over), (None, Over::Stop));
        assert_eq!((press(&mut app, 'x'), app.over), (None, Over::Nothing));
        press(&mut app, 's');
        assert_eq!(press(&mut app, 'd'), Some(Command::Stop(StopMode::Drain)));
        press(&mut app, 's');
        assert_eq!(press(&mut app, 'k'), Some(Command::Stop(StopMode::Kill)));
        assert_eq!(press(&mut app, 'd'), None, "only after the question");
    }

    #[test]
    fn changing_keys_ask_with_the_wave_and_its_desktops() {
        let (mut app, now) = (app(), Instant::now());
        let wave = |wave, size, status: WaveStatus, hold: WaveHold| Wave {
            wave,
            size,
            status: status.into(),
            hold: hold.into(),
            ..Wave::default()
        };
        let closed = wave(1, 5, WaveStatus::Closed, WaveHold::Unspecified);
        let held = wave(2, 19_995, WaveStatus::Pending, WaveHold::Approval);
        let progress = TaskProgress {
            status: TaskStatus::Running.into(),
            waves: vec![closed.clone(), held],
            ..TaskProgress::default()
        };
        app.apply(&Update::Progress(progress), now);
        for (key, question, command) in [
            ('a', "Approve wave 2 of 2: 19995 desktops?", Command::Approve(2)),
            ('p', "Pause the task in wave 2 of 2: 19995 desktops?", Command::Pause),
        ] {
            assert_eq!(press(&mut app, key), None);
            assert_eq!(app.question().unwrap().0, question);
            assert_eq!((press(&mut app, 'n'), app.question()), (None, None), "any other key means no");
            press(&mut app, key);
            assert_eq!(press(&mut app, 'y'), Some(command));
        }
        press(&mut app, 's');
        assert_eq!(app.question().unwrap().0, "Stop the task in wave 2 of 2: 19995 desktops?");
        press(&mut app, 'n');
        let none = TaskProgress { waves: vec![closed], ..TaskProgress::default() };
        app.apply(&Update::Progress(none), now);
        assert_eq!((press(&mut app, 'a'), app.question()), (None, None));
        assert!(app.notice.is_some_and(|notice| notice.text == "no wave awaits approval"));
    }

    #[test]
    fn early_exit_detaches_and_late_exit_has_the_tasks_status() {
        let mut app = app();
        assert_eq!((press(&mut app, 'q'), app.exit_status()), (Some(Command::Leave), ExitStatus::Detached));
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        app.over = Over::Stop;
        assert_eq!(app.key(control_c, Instant::now()), Some(Command::Leave), "also during a question");
        app.rollout.status = TaskStatus::Halted;
        app.apply(&Update::End, Instant::now());
        assert_eq!(app.exit_status(), ExitStatus::Halted);
        assert_eq!((press(&mut app, 'p'), press(&mut app, 's'), app.over), (None, None, Over::Nothing));
    }

    #[test]
    fn pause_and_resume_are_one_key_whoever_paused_it() {
        let mut app = app();
        let event = |kind: EventKind| Update::Event(TaskEvent { kind: kind.into(), ..TaskEvent::default() });
        let confirmed = |app: &mut App| {
            assert_eq!(press(app, 'p'), None, "a question comes first");
            press(app, 'y')
        };
        assert_eq!(confirmed(&mut app), Some(Command::Pause));
        app.done(CommandResult::Task(Box::new(Task { paused: true, ..Task::default() })), Instant::now());
        assert_eq!(confirmed(&mut app), Some(Command::Resume));
        app.apply(&event(EventKind::Resumed), Instant::now());
        assert_eq!(confirmed(&mut app), Some(Command::Pause));
        app.apply(&event(EventKind::Paused), Instant::now());
        assert_eq!(confirmed(&mut app), Some(Command::Resume));
    }

    #[test]
    fn what_was_done_is_told_for_a_while() {
        let (mut app, now) = (app(), Instant::now());
        app.done(CommandResult::Refused("no".into()), now);
        app.tick(now + NOTICE / 2);
        assert!(app.notice.as_ref().is_some_and(|notice| notice.is_bad));
        app.tick(now + NOTICE);
        assert_eq!(app.notice, None);
    }

    #[test]
    fn failures_are_looked_at_while_they_grow_and_not_too_often() {
        let (mut app, now) = (app(), Instant::now());
        assert!(!app.wants_failures(now), "there are no failures");
        failed(&mut app, 1, now);
        assert!(app.wants_failures(now) && !app.wants_failures(now));
        failed(&mut app, 2, now);
        assert!(!app.wants_failures(now + FAILURES_EVERY / 2));
        assert!(app.wants_failures(now + FAILURES_EVERY));
    }

    #[test]
    fn scrolling_ends_where_there_is_no_more() {
        let mut app = app();
        app.key(KeyEvent::new(KeyCode::Home, KeyModifiers::NONE), Instant::now());
        assert_eq!(app.bound(Pane::Events, -7, 0), -7);
        app.key(KeyEvent::new(KeyCode::PageDown, KeyModifiers::NONE), Instant::now());
        assert_eq!(app.bound(Pane::Events, -7, 0), 0);
    }
}
