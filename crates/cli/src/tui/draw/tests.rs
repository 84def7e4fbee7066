//! Snapshots of the screen at 80x24 and 200x50.

use std::time::{Duration, Instant};

use proto::admin::{
    Command, EventKind, FailureGroup, Outcome, ScriptType, Task, TaskEvent, TaskProgress, TaskStatus, Wave,
    WaveHold, WaveStatus,
};
use ratatui::{Terminal, backend::TestBackend};

use super::draw;
use crate::{
    follow::{Update, fixtures},
    tui::{
        app::{App, Over},
        command::{Command as Key, CommandResult},
    },
};

fn wave(wave: u32, size: u32, status: WaveStatus, counts: [u32; 4]) -> Wave {
    let (fail_threshold, verdict) = match status {
        WaveStatus::Pending => ("2.5%", ""),
        _ => ("2", "0 of 5 targets failed, below the fail threshold 2"),
    };
    Wave {
        fail_threshold: fail_threshold.into(),
        verdict: verdict.into(),
        ..fixtures::wave(wave, size, status, counts)
    }
}

fn event(second: i64, kind: EventKind, wave: u32, detail: &str) -> Update {
    let time = Some(prost_types::Timestamp { seconds: 36_000 + second, nanos: 0 });
    Update::Event(TaskEvent { kind: kind.into(), wave, detail: detail.into(), time, ..TaskEvent::default() })
}

/// Makes the state of a rollout in its second wave.
fn app(begun: Instant) -> App {
    let task = Task {
        task_id: "0192f3c45e6b7a8c9d0e1f2a3b4c5d6e".into(),
        command: Some(Command {
            command_type: ScriptType::Shell.into(),
            content: "systemctl restart agent".into(),
        }),
        created_by: "ann".into(),
        ..Task::default()
    };
    let mut app = App::new(task, false, begun, Duration::ZERO);
    let story = [
        (0, event(0, EventKind::WaveOpened, 1, "5 desktops")),
        (1, event(1, EventKind::WaveClosed, 1, "0 of 5 targets failed, below the fail threshold 2")),
        (2, progress(TaskStatus::Running, "", waves([0, 0, 500, 12]))),
        (12, progress(TaskStatus::Running, "", waves([1_200, 3, 500, 12]))),
    ];
    for (second, update) in story {
        app.apply(&update, begun + Duration::from_secs(second));
    }
    app
}

fn waves(second: [u32; 4]) -> Vec<Wave> {
    vec![
        wave(1, 5, WaveStatus::Closed, [5, 0, 0, 0]),
        wave(2, 5_000, WaveStatus::Open, second),
        wave(3, 94_995, WaveStatus::Pending, [0; 4]),
    ]
}

fn progress(status: TaskStatus, waiting_for: &str, waves: Vec<Wave>) -> Update {
    Update::Progress(TaskProgress { status: status.into(), waiting_for: waiting_for.into(), waves })
}

fn failures() -> CommandResult {
    let group = |records, sample: &str| FailureGroup {
        records,
        share_percent: 50.0,
        outcome: Outcome::Failed.into(),
        exit_code: Some(1),
        sample: sample.into(),
        desktop_ids: (1..=5).map(|n| format!("desktop-{n}")).collect(),
        ..FailureGroup::default()
    };
    CommandResult::Failures(vec![group(2, "unit agent.service not found\u{1b}[2J\n"), group(1, "disk full")])
}

fn shot(app: &mut App, (width, height): (u16, u16), now: Instant) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app, now)).unwrap();
    terminal.backend().to_string()
}

/// Takes snapshots of the screen at both sizes, after `happens` changed its state.
fn shots(name: &str, happens: impl Fn(&mut App, Instant)) {
    for size in [(80, 24), (200, 50)] {
        let begun = Instant::now();
        let mut app = app(begun);
        let now = begun + Duration::from_secs(12);
        happens(&mut app, now);
        insta::assert_snapshot!(format!("{name}_{}", size.0), shot(&mut app, size, now));
    }
}

#[test]
fn a_wave_in_flight() {
    shots("in_flight", |_, _| {});
    shots("failures", |app, now| app.done(failures(), now));
    shots("colored", |app, _| app.colored = true);
}

#[test]
fn a_wave_that_waits_for_approval() {
    shots("approval", |app, now| {
        let mut waves = waves([5_000, 0, 0, 0]);
        waves[1].status = WaveStatus::Closed.into();
        waves[2].hold = WaveHold::Approval.into();
        app.apply(&progress(TaskStatus::Running, "the approval of wave 3", waves), now);
    });
}

#[test]
fn a_halt() {
    shots("halted", |app, now| {
        app.task.reason = "125 of 5000 targets failed: the fail threshold 2.5% is reached".into();
        app.apply(&event(12, EventKind::Halted, 2, "125 of 5000 targets failed"), now);
        app.apply(&progress(TaskStatus::Halted, "", waves([4_000, 125, 0, 0])), now);
        app.apply(&Update::End, now);
        app.done(failures(), now);
    });
}

#[test]
fn nobody_answers() {
    shots("lost", |app, now| app.apply(&Update::Lost("connection refused".into()), now));
}

#[test]
fn questions_help_and_notices() {
    shots("stop", |app, _| app.over = Over::Stop);
    shots("approve", |app, _| app.over = Over::Confirm(Key::Approve(3)));
    shots("help", |app, _| app.over = Over::Help);
    shots("refused", |app, now| {
        app.done(CommandResult::Refused("cannot pause task 1: it has ended".into()), now)
    });
}

#[test]
fn of_many_waves_the_one_at_work_is_in_sight() {
    shots("many_waves", |app, now| {
        let waves = (1..=40).map(|n| {
            let status = if n < 20 { WaveStatus::Closed } else { WaveStatus::Pending };
            wave(n, 10, if n == 20 { WaveStatus::Open } else { status }, [0; 4])
        });
        app.apply(&progress(TaskStatus::Running, "", waves.collect()), now);
    });
}

#[test]
fn no_size_breaks_it() {
    for width in [1, 5, 20, 79, 139, 140, 300] {
        for height in [1, 3, 7, 12] {
            let begun = Instant::now();
            let mut app = app(begun);
            app.done(failures(), begun);
            app.over = Over::Help;
            shot(&mut app, (width, height), begun);
        }
    }
}
