//! Offline desktops: they use no concurrency, a quorum does not wait for them, and their late
//! results count.

use chrono::TimeDelta;
use domain::{
    ids::{TaskId, WorkerId},
    outcome::Outcome,
    policy::{RolloutPolicy, Weight},
    task::TaskStatus,
    threshold::Threshold,
    wave::WaveStatus,
};
use scheduler::Leased;
use testkit::{Submit, desktop};

use crate::harness::{Harness, after, key, ordinals, results, returned, start, worker};

fn here() -> WorkerId {
    worker("w")
}

/// Connects the first `there` desktops; the next `away` ones stay offline.
async fn fleet(harness: &Harness, there: u32, away: u32) {
    harness.offline(there..there + away, start()).await;
    harness.online(&here(), 0..there, start()).await;
}

async fn comes_back(harness: &Harness, number: u32, seconds: i64) {
    harness.online(&here(), number..number + 1, after(seconds)).await;
}

/// Reports an outcome for some targets of the leased batches.
async fn end(harness: &Harness, leased: &[Leased], which: &[u32], outcome: Outcome, seconds: i64) {
    for batch in leased {
        let mut reports = results(batch, outcome);
        reports.retain(|report| which.contains(&report.ordinal));
        let answer = harness.engine.report(&here(), reports, Vec::new(), after(seconds)).await.unwrap();
        assert!(answer.refused.is_empty(), "{:?}", answer.refused);
    }
}

async fn statuses(harness: &Harness, task_id: TaskId) -> Vec<WaveStatus> {
    harness.waves(task_id).await.iter().map(|row| row.state.status).collect()
}

/// Checks that the counter column equals the number of rows.
async fn check_waiting(harness: &Harness) {
    let wrong = harness
        .count(
            "SELECT count(*) FROM wave w WHERE waiting <> (
                 SELECT count(*) FROM deferred_target s WHERE s.task_id = w.task_id AND s.wave = w.wave AND NOT s.maybe_delivered)",
        )
        .await;
    assert_eq!(wrong, 0);
}

#[tokio::test]
async fn who_is_away_holds_no_place_and_has_one_again_when_back() {
    let harness = Harness::new().await;
    harness.offline(0..2, start()).await;
    harness.online(&here(), 2..6, start()).await;
    let submit = Submit { targets: 6, max_concurrency: Some(2), ..Submit::default() };
    let task_id = harness.submit(submit).await;
    let first = harness.leased(0).await;
    assert_eq!(ordinals(&first), [2, 3], "the first two are offline and use no concurrency");
    let wave = harness.waves(task_id).await[0].clone();
    assert_eq!((wave.state.admitted, wave.state.waiting, wave.state.in_flight()), (4, 2, 2));
    check_waiting(&harness).await;

    // The desktop reconnects while both slots are in use: it waits for one, before targets that
    // have not had a turn.
    comes_back(&harness, 0, 1).await;
    assert!(harness.leased(1).await.is_empty());
    end(&harness, &first, &[2], Outcome::Success, 2).await;
    let second = harness.leased(2).await;
    assert_eq!(ordinals(&second), [0]);
    check_waiting(&harness).await;

    // A connected desktop that waits for a slot is not UNDELIVERED; an offline one is.
    comes_back(&harness, 1, 3).await;
    let held: Vec<_> = first.iter().chain(&second).map(key).collect();
    assert!(harness.engine.renew(&here(), &held, after(699)).await.unwrap().is_empty());
    assert!(harness.leased(700).await.is_empty());
    assert_eq!(harness.count("SELECT count(*) FROM record WHERE outcome = 'UNDELIVERED'").await, 0);
    end(&harness, &first, &[3], Outcome::Success, 701).await;
    assert_eq!(ordinals(&harness.leased(701).await), [1]);
    check_waiting(&harness).await;
}

#[tokio::test]
async fn desktop_back_after_its_deadline_is_undelivered() {
    let harness = Harness::new().await;
    harness.offline(0..2, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 2, ..Submit::default() }).await;
    comes_back(&harness, 0, 599).await;
    comes_back(&harness, 1, 600).await;
    let late = harness.leased(3_000).await;
    assert_eq!(ordinals(&late), [0]);
    assert_eq!(late[0].batch.terms.deadlines.deliver_by, after(3_060), "the start deadline of agents");
    assert_eq!(harness.waves(task_id).await[0].state.tally.get(Outcome::Undelivered), 1);
}

#[tokio::test]
async fn who_waits_for_a_place_keeps_it_over_a_reconnection() {
    let harness = Harness::new().await;
    harness.offline(0..1, start()).await;
    harness.online(&here(), 1..2, start()).await;
    let submit = Submit { targets: 2, max_concurrency: Some(1), ..Submit::default() };
    let task_id = harness.submit(submit).await;
    let first = harness.leased(0).await;
    assert_eq!(ordinals(&first), [1]);
    comes_back(&harness, 0, 10).await;
    // Past its deadline the desktop disconnects for a moment and reconnects.
    let held: Vec<_> = first.iter().map(key).collect();
    for (seconds, is_there) in [(600, true), (635, true), (658, false), (670, true), (700, true), (745, true)]
    {
        harness.engine.renew(&here(), &held, after(seconds)).await.unwrap();
        if is_there {
            comes_back(&harness, 0, seconds).await;
        } else {
            let gone = [(testkit::project(), desktop(0).desktop_id)];
            harness.engine.presence(&here(), &[], &gone, after(seconds)).await.unwrap();
        }
        assert!(harness.leased(seconds + 1).await.is_empty());
    }
    end(&harness, &first, &[1], Outcome::Success, 750).await;
    assert_eq!(ordinals(&harness.leased(750).await), [0]);
    // A desktop that stays offline is not kept.
    let gone = [(testkit::project(), desktop(0).desktop_id)];
    harness.engine.presence(&here(), &[], &gone, after(751)).await.unwrap();
    assert_eq!(harness.waves(task_id).await[0].state.tally.get(Outcome::Undelivered), 0);
}

#[tokio::test]
async fn quorum_is_checked_once_the_last_target_is_deferred() {
    let harness = Harness::new().await;
    harness.online(&here(), 0..3, start()).await;
    harness.offline(3..4, start()).await;
    harness.online(&here(), 4..6, start()).await;
    let policy = RolloutPolicy { quorum: domain::BasisPoints::new(7_500), ..RolloutPolicy::default() };
    let mut seed = 0;
    // The offline desktop is the last of the first wave, which admits one target at a time.
    let task_id = loop {
        let submit = Submit {
            targets: 6,
            gray: Some((4, 2)),
            policy: policy.clone(),
            max_concurrency: Some(1),
            seed,
            ..Submit::default()
        };
        let task_id = harness.submit(submit).await;
        if harness.count("SELECT ordinal::int8 FROM target WHERE desktop_id = 'desktop-3'").await == 3 {
            break task_id;
        }
        forget_all(&harness).await;
        seed += 1;
    };
    for (turn, second) in (0u32..3).zip(1..) {
        let one = harness.leased(second).await;
        assert_eq!(ordinals(&one), [turn]);
        end(&harness, &one, &[turn], Outcome::Success, second).await;
    }
    let next = harness.leased(5).await;
    assert_eq!(statuses(&harness, task_id).await, [WaveStatus::Closed, WaveStatus::Open]);
    assert_eq!(ordinals(&next), [4], "the next wave was batched at once");
}

/// Deletes tasks that were never batched.
async fn forget_all(harness: &Harness) {
    let mut connection = harness.database.connection().await.unwrap();
    for table in [
        "DELETE FROM target",
        "DELETE FROM wave",
        "DELETE FROM task_script",
        "DELETE FROM task_event",
        "DELETE FROM task",
    ] {
        sqlx::query(table).execute(&mut connection).await.unwrap();
    }
}

#[tokio::test]
async fn quorum_skips_offline_desktops_except_in_the_last_wave() {
    let harness = Harness::new().await;
    fleet(&harness, 8, 2).await;
    let policy = RolloutPolicy { quorum: domain::BasisPoints::new(7_500), ..RolloutPolicy::default() };
    // Each wave has one offline desktop: a wave of four with 3 connected, one of six with 5.
    let task_id = submit_two_waves(&harness, policy).await;
    let canaries = harness.leased(0).await;
    let [first, second, third] = ordinals(&canaries)[..] else { panic!("expected three of four desktops") };
    end(&harness, &canaries, &[first, second], Outcome::Success, 1).await;
    assert_eq!(statuses(&harness, task_id).await[0], WaveStatus::Open, "the wave waits for running targets");
    end(&harness, &canaries, &[third], Outcome::Success, 2).await;
    assert_eq!(statuses(&harness, task_id).await, [WaveStatus::Closed, WaveStatus::Open]);
    let verdict = harness.waves(task_id).await[0].verdict_reason.clone().unwrap();
    assert!(verdict.contains("waiting: 1"), "{verdict}");

    let rest = harness.leased(3).await;
    let all = ordinals(&rest);
    assert_eq!(all.len(), 5);
    end(&harness, &rest, &all, Outcome::Success, 4).await;
    assert_eq!(
        harness.task(task_id).await.status,
        TaskStatus::Running,
        "the last wave waits for all targets"
    );

    // The desktop of the first wave reconnects, runs and counts in its own wave; the second one is
    // UNDELIVERED.
    let away = away_of(&harness, task_id, 1).await;
    comes_back(&harness, away, 5).await;
    let late = harness.leased(5).await;
    assert_eq!(late[0].batch.terms.wave, 1);
    let late_ordinals = ordinals(&late);
    end(&harness, &late, &late_ordinals, Outcome::Success, 6).await;
    assert_eq!(harness.waves(task_id).await[0].state.tally.get(Outcome::Success), 4);
    harness.reap(after(4_000)).await;
    let task = harness.task(task_id).await;
    assert_eq!(task.status, TaskStatus::Failed);
    assert_eq!(harness.waves(task_id).await[1].state.tally.get(Outcome::Undelivered), 1);
    check_waiting(&harness).await;
    assert_eq!(harness.count("SELECT count(*) FROM wave WHERE is_trailing").await, 0);
}

/// Two waves over desktops 0 to 9; 8 and 9 are offline, one in each wave.
async fn submit_two_waves(harness: &Harness, policy: RolloutPolicy) -> TaskId {
    let mut tries = 0;
    loop {
        let submit = Submit {
            targets: 10,
            gray: Some((4, 2)),
            policy: policy.clone(),
            seed: tries,
            ..Submit::default()
        };
        let task_id = harness.submit(submit).await;
        let away = harness
            .count("SELECT count(*) FROM target WHERE wave = 1 AND desktop_id IN ('desktop-8', 'desktop-9')")
            .await;
        if away == 1 {
            return task_id;
        }
        // Draw another sample.
        forget_all(harness).await;
        tries += 1;
    }
}

/// Number of the wave's offline desktop.
async fn away_of(harness: &Harness, task_id: TaskId, wave: u16) -> u32 {
    let mut connection = harness.store().acquire().await.unwrap();
    let targets = store::target::page(&mut connection, task_id, None, 100).await.unwrap();
    let number = |id: &str| id.trim_start_matches("desktop-").parse::<u32>().unwrap();
    targets.iter().filter(|it| it.wave == wave).map(|it| number(&it.desktop_id)).find(|it| *it >= 8).unwrap()
}

#[tokio::test]
async fn a_late_failure_of_a_closed_wave_halts_what_runs_by_then() {
    let harness = Harness::new().await;
    fleet(&harness, 8, 2).await;
    let policy = RolloutPolicy { quorum: domain::BasisPoints::new(7_500), ..RolloutPolicy::default() };
    let task_id = submit_two_waves(&harness, policy).await;
    let canaries = harness.leased(0).await;
    let all = ordinals(&canaries);
    end(&harness, &canaries, &all[..1], Outcome::Failed, 1).await;
    end(&harness, &canaries, &all[1..], Outcome::Success, 1).await;
    assert_eq!(statuses(&harness, task_id).await, [WaveStatus::Closed, WaveStatus::Open]);
    let rest = harness.lease(&here(), 2, after(1)).await;
    assert!(rest.is_empty(), "the second wave is not batched yet");
    let rest = harness.leased(1).await;
    assert_eq!(ordinals(&rest).len(), 5);

    let away = away_of(&harness, task_id, 1).await;
    comes_back(&harness, away, 2).await;
    let late = harness.leased(2).await;
    let late_ordinals = ordinals(&late);
    end(&harness, &late, &late_ordinals, Outcome::Failed, 3).await;
    let task = harness.task(task_id).await;
    assert_eq!(task.status, TaskStatus::Halting);
    let reason = task.halt_reason.unwrap();
    assert!(reason.starts_with("wave 1, after it was closed: 2 of 4"), "{reason}");
    assert_eq!(statuses(&harness, task_id).await, [WaveStatus::Closed, WaveStatus::Halted]);
    let running = ordinals(&rest);
    end(&harness, &rest, &running, Outcome::Success, 4).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halted, "the offline target is withdrawn");
    check_waiting(&harness).await;
}

#[tokio::test]
async fn total_threshold_adds_failures_of_closed_and_open_waves() {
    let harness = Harness::new().await;
    fleet(&harness, 8, 2).await;
    let policy = RolloutPolicy {
        quorum: domain::BasisPoints::new(7_500),
        fail_threshold: Some(Threshold::Count(2)),
        ..RolloutPolicy::default()
    };
    let task_id = submit_two_waves(&harness, policy).await;
    let canaries = harness.leased(0).await;
    let all = ordinals(&canaries);
    end(&harness, &canaries, &all, Outcome::Success, 1).await;
    let rest = harness.leased(2).await;
    let running = ordinals(&rest);
    end(&harness, &rest, &running[..1], Outcome::Failed, 3).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running);
    // The second failure of the task is an UNDELIVERED of the first wave.
    harness.reap(after(601)).await;
    let task = harness.task(task_id).await;
    assert_eq!(task.status, TaskStatus::Halting, "{:?}", task.halt_reason);
}

#[tokio::test]
async fn strict_mode_counts_offline_as_at_risk_unless_ignored() {
    for (ignores, expected) in [(false, 1), (true, 3)] {
        let harness = Harness::new().await;
        harness.offline(0..2, start()).await;
        harness.online(&here(), 2..9, start()).await;
        let outcomes = if ignores { [(Outcome::Undelivered, Weight::Ignore)].into() } else { [].into() };
        let policy = RolloutPolicy {
            strict: true,
            fail_threshold: Some(Threshold::Count(3)),
            outcomes,
            ..RolloutPolicy::default()
        };
        let task_id = harness.submit(Submit { targets: 9, policy, ..Submit::default() }).await;
        let first = harness.leased(0).await;
        assert_eq!(ordinals(&first).len(), expected, "ignored: {ignores}");
        // Even if every target that can fail does, at most three fail.
        let all = ordinals(&first);
        end(&harness, &first, &all, Outcome::Failed, 1).await;
        harness.leased(2).await;
        harness.reap(after(10_000)).await;
        let wave = harness.waves(task_id).await[0].clone();
        assert_eq!((wave.state.failed, wave.state.status), (3, WaveStatus::Halted), "ignored: {ignores}");
    }
}

#[tokio::test]
async fn journal_result_or_return_keeps_the_deferred_count() {
    let harness = Harness::new().await;
    fleet(&harness, 2, 2).await;
    let task_id = harness.submit_and_cut(Submit { targets: 4, ..Submit::default() }).await;
    check_waiting(&harness).await;
    let batches = harness.leased(1).await;
    // One returns unstarted; one may have been delivered.
    let back = vec![returned(&batches[0], 0, false), returned(&batches[0], 1, true)];
    harness.engine.report(&here(), Vec::new(), back, after(2)).await.unwrap();
    check_waiting(&harness).await;
    assert_eq!(harness.waves(task_id).await[0].state.waiting, 3);
    let gone: Vec<_> = (0..2).map(|number| (testkit::project(), desktop(number).desktop_id)).collect();
    harness.engine.presence(&here(), &[], &gone, after(2)).await.unwrap();
    let result = crate::harness::result(task_id, None, 1, Outcome::Success);
    harness.engine.report(&here(), vec![result], Vec::new(), after(3)).await.unwrap();
    check_waiting(&harness).await;
    harness.reap(after(3) + TimeDelta::hours(2)).await;
    check_waiting(&harness).await;
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Failed);
}
