//! When a wave opens: soak, approval, pause, freeze, expiry and windows; and the limits over all
//! tasks of a project.

use chrono::TimeDelta;
use domain::{
    event::EventKind,
    ids::TaskId,
    outcome::Outcome,
    policy::{Approval, RolloutPolicy},
    task::TaskStatus,
    wave::WaveStatus,
    window::Window,
};
use engine::{Approval as GivenApproval, Approved, Freeze, Rows as _, Suspension};
use scheduler::Leased;
use store::{
    TaskRows,
    project_limit::{self, FreezeRow, ProjectLimits},
};
use testkit::{Submit, desktop, project};

use crate::harness::{ENGINE, Harness, after, ordinals, returned, start, worker};

async fn submit(harness: &Harness, submit: Submit) -> TaskId {
    harness.online(&worker("w"), 0..submit.targets, start()).await;
    harness.submit(submit).await
}

async fn succeed(harness: &Harness, leased: &[Leased], seconds: i64) {
    for batch in leased {
        harness.report(&worker("w"), batch, Outcome::Success, after(seconds)).await;
    }
}

async fn events(harness: &Harness, task_id: TaskId) -> Vec<EventKind> {
    let mut connection = harness.store().acquire().await.unwrap();
    let events = store::event::list(&mut connection, task_id, 0, 100).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

fn gray(policy: RolloutPolicy) -> Submit {
    Submit { targets: 5, gray: Some((2, 1)), policy, ..Submit::default() }
}

/// Pauses a task; returns its status if it is too late to pause.
async fn pause(harness: &Harness, task_id: TaskId, seconds: i64) -> Option<TaskStatus> {
    let mut tx = harness.store().begin().await.unwrap();
    let mut rows = TaskRows::new(&mut tx);
    let paused = ENGINE.set_paused(&mut rows, task_id, true, "alice", "", after(seconds)).await.unwrap();
    let (decision, too_late) = match paused {
        Suspension::Done(decision) => (decision, None),
        Suspension::TooLate(status) => (None, Some(status)),
    };
    harness.commit(tx, decision.map(|decision| *decision)).await;
    too_late
}

async fn resume(harness: &Harness, task_id: TaskId, seconds: i64) {
    let mut tx = harness.store().begin().await.unwrap();
    let mut rows = TaskRows::new(&mut tx);
    let resumed = ENGINE.set_paused(&mut rows, task_id, false, "alice", "", after(seconds)).await.unwrap();
    let Suspension::Done(decision) = resumed else { return };
    harness.commit(tx, decision.map(|decision| *decision)).await;
}

/// Performs the second half of a freeze.
async fn suspend_project(harness: &Harness, seconds: i64) {
    let mut tx = harness.store().begin().await.unwrap();
    let news = Some(Freeze { actor: "alice", reason: "storm" });
    let mut rows = TaskRows::new(&mut tx);
    let mut decisions = Vec::new();
    for task_id in rows.open_tasks(&project()).await.unwrap() {
        let (project_id, now) = (project(), after(seconds));
        let step = ENGINE.suspend_task_of_project(&mut rows, &project_id, task_id, news, now);
        decisions.extend(step.await.unwrap());
    }
    harness.commit(tx, decisions).await;
}

/// Unfreezes the project; false if it is not frozen.
async fn release_project(harness: &Harness, seconds: i64) -> bool {
    let is_done = unfreeze(harness).await;
    let mut tx = harness.store().begin().await.unwrap();
    let mut rows = TaskRows::new(&mut tx);
    let mut decisions = Vec::new();
    for task_id in rows.open_tasks(&project()).await.unwrap() {
        let news = Some(Freeze { actor: "alice", reason: "" });
        let step = ENGINE.release_task_of_project(&mut rows, task_id, news, after(seconds));
        decisions.extend(step.await.unwrap().filter(|_| is_done));
    }
    harness.commit(tx, decisions).await;
    is_done
}

/// Performs the first half of an unfreeze.
async fn unfreeze(harness: &Harness) -> bool {
    let mut connection = harness.store().acquire().await.unwrap();
    TaskRows::new(&mut connection).unfreeze(&project()).await.unwrap()
}

#[tokio::test]
async fn the_next_wave_opens_when_the_one_before_it_has_soaked() {
    let harness = Harness::new().await;
    let task_id =
        submit(&harness, gray(RolloutPolicy { soak_seconds: 600, ..RolloutPolicy::default() })).await;
    let canaries = harness.leased(0).await;
    succeed(&harness, &canaries, 10).await;
    let waves = harness.waves(task_id).await;
    assert_eq!((waves[0].state.status, waves[1].state.status), (WaveStatus::Closed, WaveStatus::Pending));
    assert_eq!(waves[1].opening.opens_at, Some(after(610)));
    assert!(harness.leased(609).await.is_empty());
    let rest = harness.leased(610).await;
    assert_eq!(ordinals(&rest).len(), 3);
    succeed(&harness, &rest, 611).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Success, "the last wave has no soak time");
    use EventKind::{Accepted, Ended, WaveClosed, WaveOpened, WaveWaiting};
    assert_eq!(
        events(&harness, task_id).await,
        [Accepted, WaveOpened, WaveClosed, WaveWaiting, WaveOpened, WaveClosed, Ended]
    );
}

#[tokio::test]
async fn a_wave_waits_for_its_approval_also_the_first_one() {
    let harness = Harness::new().await;
    let approval = Approval { before_waves: [1, 2].into(), distinct_approver: false };
    let task_id = submit(&harness, gray(RolloutPolicy { approval, ..RolloutPolicy::default() })).await;
    assert!(harness.leased(0).await.is_empty());
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Waiting);
    let approve = async |wave: u16, seconds: i64| {
        let mut tx = harness.store().begin().await.unwrap();
        let (author, approver) = ("alice", "bob");
        let approval = GivenApproval {
            wave,
            author,
            approver,
            reason: "",
            fits_plan: true,
            fits_scripts: true,
            seen_hold: None,
        };
        let mut rows = TaskRows::new(&mut tx);
        let approved = ENGINE.approve(&mut rows, task_id, &approval, after(seconds)).await.unwrap();
        let Approved::Done(Some(decision)) = approved else { panic!("{approved:?}") };
        harness.commit(tx, [*decision]).await;
    };
    approve(1, 5).await;
    let canaries = harness.leased(6).await;
    assert_eq!(ordinals(&canaries).len(), 2);
    succeed(&harness, &canaries, 7).await;
    assert!(harness.leased(7_000).await.is_empty(), "an approval does not come with time");
    // An approval for another plan hash is refused.
    let mut connection = harness.database.connection().await.unwrap();
    let forged =
        "UPDATE wave SET approved_at = now(), approved_by = 'x', approved_plan_hash = '\\x00' WHERE wave = 2";
    sqlx::query(forged).execute(&mut connection).await.unwrap();
    assert!(harness.leased(7_001).await.is_empty());
    approve(2, 7_002).await;
    assert_eq!(ordinals(&harness.leased(7_003).await).len(), 3);
}

#[tokio::test]
async fn paused_task_leases_nothing_and_its_deadlines_stand_still() {
    let harness = Harness::new().await;
    harness.offline(5..6, start()).await;
    let task_id =
        submit(&harness, Submit { targets: 5, max_concurrency: Some(3), ..Submit::default() }).await;
    while harness.engine.admit_all(start()).await.unwrap() {}
    let first = harness.lease(&worker("w"), 2, start()).await;
    assert_eq!(ordinals(&first), [0, 1]);
    assert_eq!(pause(&harness, task_id, 1).await, None);
    assert_eq!(pause(&harness, task_id, 2).await, None, "pausing twice changes nothing");
    // The third target is ready and stays; the first two continue to their end.
    succeed(&harness, &first, 3).await;
    for seconds in [4, 100_000] {
        assert!(harness.leased(seconds).await.is_empty(), "{seconds}");
    }
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running, "no target is UNDELIVERED");
    resume(&harness, task_id, 100_001).await;
    let rest = harness.leased(100_002).await;
    assert_eq!(ordinals(&rest), [2, 3, 4]);
    assert!(rest[0].batch.terms.deadlines.deliver_by >= after(100_001) + TimeDelta::minutes(10));
    succeed(&harness, &rest, 100_003).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Success);
    assert_eq!(pause(&harness, task_id, 100_004).await, Some(TaskStatus::Success));
    let kinds = events(&harness, task_id).await;
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Paused).count(), 1);
}

#[tokio::test]
async fn who_is_away_while_a_task_is_paused_has_all_its_time_again() {
    let harness = Harness::new().await;
    harness.offline(0..2, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    pause(&harness, task_id, 10).await;
    harness.online(&worker("w"), 0..1, after(20)).await;
    assert!(
        harness.leased(50_000).await.is_empty(),
        "the desktop is connected again, but the task is paused"
    );
    resume(&harness, task_id, 50_001).await;
    harness.online(&worker("w"), 0..1, after(50_001)).await;
    assert_eq!(ordinals(&harness.leased(50_002).await), [0]);
    harness.reap(after(50_600)).await;
    assert_eq!(
        harness.count("SELECT count(*) FROM record").await,
        0,
        "the second desktop has its full ten minutes"
    );
    harness.reap(after(50_602)).await;
    assert_eq!(harness.count("SELECT count(*) FROM record WHERE outcome = 'UNDELIVERED'").await, 1);
}

#[tokio::test]
async fn a_frozen_project_admits_nothing_of_any_task() {
    let harness = Harness::new().await;
    let running =
        submit(&harness, Submit { targets: 4, max_concurrency: Some(2), ..Submit::default() }).await;
    while harness.engine.admit_all(start()).await.unwrap() {}
    let freeze = FreezeRow {
        frozen_at: after(1),
        frozen_by: "alice".into(),
        reason: "storm".into(),
        ticket: String::new(),
    };
    let mut connection = harness.store().acquire().await.unwrap();
    project_limit::set_frozen(&mut connection, &project(), &freeze).await.unwrap();
    drop(connection);
    suspend_project(&harness, 1).await;
    assert!(harness.leased(2).await.is_empty(), "ready batches are not leased");
    let late = harness.submit(Submit { targets: 4, ..Submit::default() }).await;
    assert!(harness.leased(50_000).await.is_empty(), "new tasks wait");
    // A paused task stays paused when the project is unfrozen.
    pause(&harness, late, 50_001).await;
    resume(&harness, running, 50_001).await;
    assert!(release_project(&harness, 50_002).await);
    let leased_now = harness.leased(50_003).await;
    assert!(leased_now.iter().all(|batch| batch.batch.terms.task_id == running));
    assert_eq!(ordinals(&leased_now), [0, 1]);
    assert_eq!(
        events(&harness, late).await,
        [EventKind::Accepted, EventKind::Paused, EventKind::Unfrozen],
        "the task was accepted after the freeze"
    );
}

#[tokio::test]
async fn a_task_starts_nothing_after_it_has_expired() {
    let harness = Harness::new().await;
    let expires_at = Some(after(60));
    harness.offline(4..5, start()).await;
    let task_id =
        submit(&harness, Submit { targets: 4, max_concurrency: Some(2), expires_at, ..Submit::default() })
            .await;
    let first = harness.leased(59).await;
    assert_eq!(ordinals(&first), [0, 1]);
    // The scheduler that would stop the task is late: admission still checks the expiry.
    harness.report(&worker("w"), &first[0], Outcome::Success, after(60)).await;
    assert!(!harness.engine.admit(task_id, after(60)).await.unwrap());
    assert!(harness.lease(&worker("w"), 10, after(60)).await.is_empty());
    harness.reap(after(61)).await;
    let task = harness.task(task_id).await;
    assert_eq!(task.status, TaskStatus::Stopped);
    assert!(task.halt_reason.unwrap().starts_with("expired"), "the halt reason names the expiry");
    assert_eq!(harness.count("SELECT count(*) FROM record").await, 2, "SKIPPED targets have no record");
}

#[tokio::test]
async fn a_target_waits_for_its_own_window() {
    let harness = Harness::new().await;
    // 08:00 UTC.
    let zones = ["Europe/Berlin", "UTC", "America/New_York", ""];
    let facts: Vec<_> = zones
        .iter()
        .zip(0..)
        .map(|(zone, number)| {
            let mut facts = desktop(number);
            facts.time_zone = (*zone).to_owned();
            facts
        })
        .collect();
    harness.engine.heartbeat(&worker("w"), "here", 100, false, start()).await.unwrap();
    harness.engine.presence(&worker("w"), &facts, &[], start()).await.unwrap();
    let window = Some(Window::new("09:00", "10:00", "desktop").unwrap());
    let policy = RolloutPolicy { window, ..RolloutPolicy::default() };
    let task_id = harness.submit(Submit { targets: 4, policy, ..Submit::default() }).await;
    let first = harness.leased(0).await;
    assert_eq!(ordinals(&first), [0], "it is 09:00 in Berlin");
    assert_eq!(
        first[0].batch.terms.deadlines.deliver_by,
        after(600),
        "the window closes after the delivery deadline"
    );
    assert!(harness.leased(3_599).await.is_empty());
    let second = harness.leased(3_600).await;
    assert_eq!(ordinals(&second), [1, 3], "desktops without a zone use UTC");
    // 09:00 in New York is 14:00 UTC.
    assert!(harness.leased(6 * 3_600 - 1).await.is_empty());
    assert_eq!(harness.count("SELECT count(*) FROM record WHERE outcome = 'UNDELIVERED'").await, 0);
    let third = harness.leased(6 * 3_600).await;
    assert_eq!(ordinals(&third), [2]);
    succeed(&harness, &[first, second, third].concat(), 6 * 3_600).await;
    // The morning's leases were lost while the worker was silent; a late result still counts.
    assert_eq!(harness.task(task_id).await.target_count, 4);
}

/// Submits to desktops in UTC, where it is 08:00, with a window of one hour from 08:00.
async fn in_a_window(harness: &Harness, targets: u32, window: (&str, &str)) -> TaskId {
    let window = Some(Window::new(window.0, window.1, "UTC").unwrap());
    let policy = RolloutPolicy { window, ..RolloutPolicy::default() };
    submit(harness, Submit { targets, policy, ..Submit::default() }).await
}

const HOUR: i64 = 3_600;

#[tokio::test]
async fn a_pause_does_not_carry_anything_over_the_end_of_its_window() {
    let harness = Harness::new().await;
    let task_id = in_a_window(&harness, 2, ("08:00", "09:00")).await;
    while harness.engine.admit_all(start()).await.unwrap() {}
    pause(&harness, task_id, 1).await;
    resume(&harness, task_id, HOUR + 60).await;
    assert!(harness.leased(HOUR + 61).await.is_empty(), "the window is closed");
    assert_eq!(harness.waves(task_id).await[0].state.waiting, 2);
    let next_day = harness.leased(24 * HOUR).await;
    assert_eq!(ordinals(&next_day), [0, 1]);
    // Resumed within the window, the targets are leased at once, with the window's end as deadline.
    let again = in_a_window(&harness, 2, ("08:00", "09:00")).await;
    while harness.engine.admit_all(start()).await.unwrap() {}
    pause(&harness, again, 1).await;
    resume(&harness, again, HOUR - 60).await;
    let batches = harness.leased(HOUR - 59).await;
    assert_eq!(ordinals(&batches), [0, 1]);
    assert_eq!(batches[0].batch.terms.deadlines.deliver_by, after(HOUR));
}

#[tokio::test]
async fn deadline_in_a_window_does_not_grow_at_each_resume() {
    let harness = Harness::new().await;
    let task_id = in_a_window(&harness, 2, ("08:00", "09:00")).await;
    let leased = harness.leased(0).await;
    let back = vec![returned(&leased[0], 0, true)];
    harness.offline_of(&[0], start()).await;
    harness.engine.report(&worker("w"), Vec::new(), back, start()).await.unwrap();
    let mut deadlines = Vec::new();
    for _ in 0..4 {
        pause(&harness, task_id, 60).await;
        resume(&harness, task_id, 60).await;
        let finish_by = "SELECT extract(epoch FROM finish_by)::int8 FROM deferred_target";
        deadlines.push(harness.count(finish_by).await);
    }
    assert_eq!(deadlines[0], deadlines[3], "{deadlines:?}");
}

#[tokio::test]
async fn target_that_missed_its_window_waits_for_the_next_one() {
    let harness = Harness::new().await;
    let task_id = in_a_window(&harness, 3, ("08:00", "08:01")).await;
    while harness.engine.admit_all(start()).await.unwrap() {}
    let first = harness.lease(&worker("w"), 1, start()).await;
    succeed(&harness, &first, 59).await;
    assert!(harness.leased(60).await.is_empty());
    assert_eq!(harness.count("SELECT count(*) FROM record").await, 1, "no target was UNDELIVERED");
    assert_eq!(harness.waves(task_id).await[0].state.waiting, 2);
    assert!(harness.leased(24 * HOUR - 1).await.is_empty());
    let next_day = harness.leased(24 * HOUR).await;
    assert_eq!(ordinals(&next_day), [1, 2]);
    succeed(&harness, &next_day, 24 * HOUR + 1).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Success);
}

#[tokio::test]
async fn who_stays_away_is_undelivered_whatever_the_window() {
    let harness = Harness::new().await;
    // The delivery timeout of ten minutes exceeds the window.
    let window = Some(Window::new("08:00", "08:01", "UTC").unwrap());
    let policy = RolloutPolicy { window, ..RolloutPolicy::default() };
    harness.offline(0..1, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 1, policy, ..Submit::default() }).await;
    harness.reap(after(601)).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Failed);
}

#[tokio::test]
async fn a_pause_makes_nothing_unknown_that_waits_to_be_asked_for() {
    let harness = Harness::new().await;
    let task_id = submit(&harness, Submit { targets: 1, ..Submit::default() }).await;
    let lost = harness.leased(0).await;
    assert_eq!(ordinals(&lost), [0]);
    // Its worker dies, and whether its agent received the order is unknown.
    assert!(harness.engine.forget_worker(&worker("w"), None, after(1)).await.unwrap());
    harness.reap(after(60)).await;
    pause(&harness, task_id, 61).await;
    harness.online(&worker("v"), 0..1, after(62)).await;
    harness.reap(after(100_000)).await;
    assert_eq!(harness.count("SELECT count(*) FROM record").await, 0);
    resume(&harness, task_id, 100_001).await;
    harness.online(&worker("v"), 0..1, after(100_001)).await;
    harness.reap(after(100_002)).await;
    let asked = harness.lease(&worker("v"), 10, after(100_002)).await;
    assert_eq!(ordinals(&asked), [0]);
    assert!(asked[0].batch.terms.maybe_delivered);
    assert!(
        asked[0].batch.terms.deadlines.deliver_by > after(100_002),
        "an agent that never received the order may still run it"
    );
}

#[tokio::test]
async fn interrupted_unfreeze_is_finished() {
    let harness = Harness::new().await;
    let running = submit(&harness, Submit { targets: 2, ..Submit::default() }).await;
    let paused = submit(&harness, Submit { targets: 2, ..Submit::default() }).await;
    while harness.engine.admit_all(start()).await.unwrap() {}
    pause(&harness, paused, 1).await;
    let freeze = FreezeRow {
        frozen_at: after(1),
        frozen_by: "alice".into(),
        reason: "storm".into(),
        ticket: String::new(),
    };
    let mut connection = harness.store().acquire().await.unwrap();
    assert!(project_limit::set_frozen(&mut connection, &project(), &freeze).await.unwrap());
    drop(connection);
    suspend_project(&harness, 2).await;
    // Longer than the delivery timeout: the deadlines of suspended batches stand still.
    assert!(harness.leased(50_000).await.is_empty());
    assert!(unfreeze(&harness).await);
    let leased = harness.leased(50_001).await;
    let tasks: Vec<TaskId> = leased.iter().map(|leased| leased.batch.terms.task_id).collect();
    assert_eq!(tasks, [running], "the paused task stays suspended");
}

#[tokio::test]
async fn interrupted_freeze_is_finished_and_lifted_freeze_is_gone() {
    let harness = Harness::new().await;
    let task_id = submit(&harness, Submit { targets: 2, ..Submit::default() }).await;
    while harness.engine.admit_all(start()).await.unwrap() {}
    let freeze = FreezeRow {
        frozen_at: after(1),
        frozen_by: "alice".into(),
        reason: "storm".into(),
        ticket: String::new(),
    };
    let mut connection = harness.store().acquire().await.unwrap();
    assert!(project_limit::set_frozen(&mut connection, &project(), &freeze).await.unwrap());
    assert!(!project_limit::set_frozen(&mut connection, &project(), &freeze).await.unwrap());
    drop(connection);
    harness.reap(after(2)).await;
    assert!(harness.leased(3).await.is_empty(), "a scheduler has withheld the ready batches");
    assert!(release_project(&harness, 4).await);
    assert!(!release_project(&harness, 4).await, "the project is already unfrozen");
    // The second half of the freeze comes late: the project is no longer frozen.
    suspend_project(&harness, 5).await;
    assert_eq!(ordinals(&harness.leased(6).await), [0, 1]);
    assert!(!events(&harness, task_id).await.contains(&EventKind::Frozen));
}

#[tokio::test]
async fn no_more_are_in_flight_over_all_tasks_than_the_project_allows() {
    let harness = Harness::new().await;
    let limits = ProjectLimits {
        max_in_flight: Some(5),
        max_running_per_desktop: Some(1),
        ..ProjectLimits::default()
    };
    let mut connection = harness.store().acquire().await.unwrap();
    project_limit::put(&mut connection, &project(), limits).await.unwrap();
    drop(connection);
    harness.online(&worker("w"), 0..4, start()).await;
    for _ in 0..3 {
        harness.submit(Submit { targets: 4, ..Submit::default() }).await;
    }
    let mut ended = 0;
    let mut second = 0;
    while ended < 12 {
        second += 1;
        let batches = harness.leased(second).await;
        let number = ordinals(&batches).len();
        assert!((1..=5).contains(&number), "{number} at once");
        assert_eq!(batches[0].max_running, Some(1), "agents receive the limit");
        succeed(&harness, &batches, second).await;
        ended += number;
    }
    assert_eq!(harness.count("SELECT count(*) FROM task WHERE status = 'SUCCESS'").await, 3);
}
