use chrono::TimeDelta;

use super::*;
use crate::process::LeftProcess;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn story() -> TargetHistory {
    TargetHistory {
        ordinal: 3,
        wave: 2,
        first_script: 0,
        pick: None,
        online_at: None,
        waits: None,
        returns: None,
        handed: None,
        stop_asked_at: None,
    }
}

fn around(task: TaskStatus, wave: WaveStatus) -> ExplainContext {
    ExplainContext {
        now: at(50),
        accepted_at: at(0),
        task,
        halt_reason: None,
        waiting_for: None,
        wave: HistoryWave { status: wave, opened_at: None, closed_at: None, verdict: None },
        records: Vec::new(),
    }
}

fn last(story: &TargetHistory, around: &ExplainContext) -> String {
    desktop(story, around).pop().unwrap().text
}

fn delivery() -> DeliveryState {
    DeliveryState { worker_id: "w".into(), cut_at: at(5), is_leased: false, is_suspended: false }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn target_that_did_not_run_has_a_reason() {
    let running = around(TaskStatus::Running, WaveStatus::Open);
    let waits =
        Waits { until: at(600), not_before: None, is_suspended: false, worker_deaths: 0, busy_until: None };
    let handed = delivery();
    let online = |waits| TargetHistory { online_at: Some("w".into()), waits: Some(waits), ..story() };
    let away = TargetHistory { waits: Some(waits), ..story() };
    let pending = around(TaskStatus::Running, WaveStatus::Pending);
    let paused = ExplainContext { waiting_for: Some("the task is paused".into()), ..running.clone() };
    let halted = ExplainContext {
        halt_reason: Some("2 of 4 targets failed".into()),
        ..around(TaskStatus::Halted, WaveStatus::Pending)
    };
    for (story, around, expected) in [
        (story(), pending.clone(), "the target waits: wave 2 is not open"),
        (
            story(),
            ExplainContext { waiting_for: Some("wave 2: waiting for a person's approval".into()), ..pending },
            "the target waits: wave 2 is not open; wave 2: waiting for a person's approval",
        ),
        (story(), running.clone(), "the target waits: admission has not reached it"),
        (
            away.clone(),
            running.clone(),
            "the desktop is offline: the target ends as UNDELIVERED unless it connects before 1970-01-01T00:10:00Z",
        ),
        (
            TargetHistory { online_at: Some("w".into()), ..away },
            running.clone(),
            "the desktop is online at worker w, and the target waits for a slot",
        ),
        (
            online(Waits { not_before: Some(at(60)), ..waits }),
            running.clone(),
            "the target waits for its window, which opens at 1970-01-01T00:01:00Z",
        ),
        (
            online(Waits { not_before: Some(at(50)), ..waits }),
            running.clone(),
            "the desktop is online at worker w, and the target waits for a slot",
        ),
        (
            online(Waits { busy_until: Some(at(900)), ..waits }),
            running.clone(),
            "the desktop is online at worker w and busy: the target waits for room, at most until \
             1970-01-01T00:15:00Z",
        ),
        (
            TargetHistory { waits: Some(Waits { is_suspended: true, ..waits }), ..story() },
            paused.clone(),
            "the target waits: the task is paused",
        ),
        (
            TargetHistory { handed: Some(handed.clone()), ..story() },
            running.clone(),
            "the target is ready for worker w, which has not pulled it yet",
        ),
        (
            TargetHistory { handed: Some(DeliveryState { is_suspended: true, ..handed.clone() }), ..story() },
            paused,
            "the target is ready for worker w but suspended: the task is paused",
        ),
        (
            TargetHistory { handed: Some(DeliveryState { is_leased: true, ..handed }), ..story() },
            running,
            "worker w holds the target, and no result has arrived",
        ),
        (
            story(),
            halted,
            "the target never started: the rollout ended before its turn (2 of 4 targets failed)",
        ),
    ] {
        assert_eq!(last(&story, &around), expected);
    }
}

#[test]
fn what_ran_is_told_in_order() {
    let record = |name: &str, started: i64, outcome, reason: &str| HistoryRecord {
        name: name.into(),
        status: RecordStatus::Ended(outcome),
        exit_code: None,
        started_at: Some(at(started)),
        ended_at: Some(at(started + 5)),
        reason: reason.into(),
        process: ProcessReport::default(),
        late: None,
    };
    let around = ExplainContext {
        wave: HistoryWave { opened_at: Some(at(1)), ..around(TaskStatus::Failed, WaveStatus::Closed).wave },
        records: vec![
            record("first", 10, Outcome::Success, ""),
            record("second", 20, Outcome::Failed, "exit code 7"),
        ],
        ..around(TaskStatus::Failed, WaveStatus::Closed)
    };
    let story = TargetHistory { pick: Some("named in gray_resource_ids".into()), first_script: 1, ..story() };
    let sentences: Vec<_> = desktop(&story, &around).into_iter().map(|it| (it.at, it.text)).collect();
    let expected = [
        (Some(at(0)), "the task was accepted"),
        (None, "the desktop is target 3 of the plan, in wave 2: named in gray_resource_ids"),
        (None, "the first 1 scripts succeeded in the task that is retried and are not run again"),
        (Some(at(1)), "wave 2 was opened"),
        (Some(at(10)), "first started"),
        (Some(at(15)), "first ended as SUCCESS"),
        (Some(at(20)), "second started"),
        (Some(at(25)), "second ended as FAILED: exit code 7"),
    ];
    assert_eq!(sentences, expected.map(|(at, text)| (at, text.to_owned())));
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
    assert_eq!(event(EventKind::Stopped, None, "bob", ""), "the task was stopped by bob");
    assert_eq!(event(EventKind::Stopped, None, "bob", "stopped by bob"), "the task was stopped by bob");
    assert_eq!(event(EventKind::Expired, None, "", ""), "the task expired");
    assert_eq!(event(EventKind::Expired, None, "", "expired: at nine"), "the task expired: at nine");
}

#[test]
fn a_task_says_what_it_waits_for() {
    let opening = StartConditions { needs_approval: true, ..StartConditions::default() };
    let current = Some((2, WaveStatus::Pending, &opening));
    let wait = |status, hold, current| waiting_for(status, hold, current, at(0));
    assert_eq!(wait(TaskStatus::Running, None, current).unwrap(), "wave 2: waiting for a person's approval");
    assert_eq!(
        wait(TaskStatus::Running, Some(AdmissionBlock::Frozen), current).unwrap(),
        "the project is frozen"
    );
    assert_eq!(wait(TaskStatus::Running, None, Some((2, WaveStatus::Open, &opening))), None);
    assert_eq!(wait(TaskStatus::Halting, Some(AdmissionBlock::Paused), current), None);
    assert_eq!(
        wait(TaskStatus::Running, None, Some((2, WaveStatus::Pending, &StartConditions::default()))),
        None
    );
}

#[test]
fn an_end_is_told_with_its_reason_or_else_its_exit_code() {
    let ended = |outcome, exit_code, reason: &str| {
        let record = HistoryRecord {
            name: "it".into(),
            status: RecordStatus::Ended(outcome),
            exit_code,
            started_at: None,
            ended_at: Some(at(9)),
            reason: reason.into(),
            process: ProcessReport::default(),
            late: None,
        };
        let around =
            ExplainContext { records: vec![record], ..around(TaskStatus::Failed, WaveStatus::Closed) };
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
    let stopped = TargetHistory { stop_asked_at: Some(at(7)), ..story() };
    let sentences = desktop(&stopped, &around(TaskStatus::Running, WaveStatus::Open));
    let texts: Vec<&str> = sentences.iter().map(|it| it.text.as_str()).collect();
    assert!(texts.contains(&"a person requested the stop of this target"), "{texts:?}");
    assert!(!texts.iter().any(|text| text.contains("succeeded in the task")), "{texts:?}");
}

#[test]
fn processes_that_outlived_a_script_are_told() {
    let left =
        LeftProcess { pid: 4_711, command: "sleep 1000".into(), user: "root".into(), survived_kill: false };
    let record = HistoryRecord {
        name: "it".into(),
        status: RecordStatus::Ended(Outcome::Success),
        exit_code: Some(0),
        started_at: None,
        ended_at: Some(at(9)),
        reason: String::new(),
        process: ProcessReport {
            left_processes: vec![left],
            left_processes_count: 1,
            ..ProcessReport::default()
        },
        late: None,
    };
    let around = ExplainContext { records: vec![record], ..around(TaskStatus::Failed, WaveStatus::Closed) };
    assert_eq!(last(&story(), &around), "it: left 1 process running: 4711 sleep 1000 (root)");
}

#[test]
fn running_script_and_late_result_have_their_times() {
    let record = HistoryRecord {
        name: "it".into(),
        status: RecordStatus::Running,
        exit_code: None,
        started_at: Some(at(7)),
        ended_at: None,
        reason: String::new(),
        late: None,
        process: ProcessReport::default(),
    };
    let ended = HistoryRecord {
        status: RecordStatus::Ended(Outcome::Unknown),
        ended_at: Some(at(60)),
        late: Some((Outcome::Failed, Some(3), at(90))),
        ..record.clone()
    };
    for (record, second, text) in [
        (record, 7, "it started and has been running since"),
        (ended, 90, "a late result of it arrived and changes no count: FAILED, exit code 3"),
    ] {
        let around =
            ExplainContext { records: vec![record], ..around(TaskStatus::Running, WaveStatus::Open) };
        let sentences = desktop(&story(), &around);
        let wanted = Sentence { at: Some(at(second)), text: text.into() };
        assert!(sentences.contains(&wanted), "{sentences:?}");
    }
}

#[test]
fn awaited_return_names_its_condition_and_deadline() {
    let running = around(TaskStatus::Running, WaveStatus::Open);
    let awaited = |another_boot_than: Option<&str>, agent_version: Option<&str>, results| {
        let condition = ReturnCondition {
            another_boot_than: another_boot_than.map(str::to_owned),
            agent_version: agent_version.map(str::to_owned),
        };
        let returns = Some(AwaitedState { condition, return_by: at(900), results });
        last(&TargetHistory { returns, ..story() }, &running)
    };
    let end = "before 1970-01-01T00:15:00Z";
    let reboot = "1 script has ended: the target ends as NOT_RETURNED unless its desktop connects with another boot id";
    assert_eq!(awaited(Some("a"), None, 1), format!("{reboot} {end}"));
    let version = "2 scripts have ended: the target ends as NOT_RETURNED unless its desktop connects with agent version 2.0.0";
    assert_eq!(awaited(None, Some("2.0.0"), 2), format!("{version} {end}"));
    assert!(awaited(Some(""), None, 1).contains("update the agent"));
}
