//! Evidence: a wave without enough successes holds the next one.

use chrono::TimeDelta;
use domain::{
    BasisPoints, Reason,
    ids::TaskId,
    outcome::Outcome,
    policy::{Approval, RolloutPolicy, Weight},
    task::TaskStatus,
    wave::WaveStatus,
    wave_start::WaveHold,
};
use engine::{Approval as GivenApproval, Approved};
use store::TaskRows;
use testkit::{Submit, desktop_id};

use crate::harness::{ENGINE, Harness, after, ordinals, results, start, worker};

/// Ignores every outcome that is not a success.
fn ignoring() -> RolloutPolicy {
    let ignored = [Outcome::Failed, Outcome::Undelivered, Outcome::Timeout];
    RolloutPolicy { outcomes: ignored.map(|it| (it, Weight::Ignore)).into(), ..RolloutPolicy::default() }
}

fn gray(policy: RolloutPolicy) -> Submit {
    Submit { targets: 5, gray: Some((2, 1)), policy, ..Submit::default() }
}

/// Submits a task of five desktops and ends its two canaries with these outcomes, at second 10.
async fn canaries_end(harness: &Harness, submit: Submit, outcomes: [Outcome; 2]) -> TaskId {
    harness.online(&worker("w"), 0..submit.targets, start()).await;
    let task_id = harness.submit(submit).await;
    let [first, second] = outcomes;
    let leased = harness.leased(0).await;
    assert_eq!(ordinals(&leased).len(), 2);
    for batch in &leased {
        let ends = results(batch, first).into_iter().zip(results(batch, second));
        let ends = ends.map(|(first, second)| if first.ordinal == 0 { first } else { second }).collect();
        harness.engine.report(&worker("w"), ends, Vec::new(), after(10)).await.unwrap();
    }
    task_id
}

async fn approve(
    harness: &Harness,
    task_id: TaskId,
    seen_hold: Option<WaveHold>,
    seconds: i64,
) -> Result<(), Reason> {
    let mut tx = harness.store().begin().await.unwrap();
    let approval = GivenApproval {
        wave: 2,
        author: "alice",
        approver: "bob",
        reason: "",
        fits_plan: true,
        fits_scripts: true,
        seen_hold,
    };
    let mut rows = TaskRows::new(&mut tx);
    match ENGINE.approve(&mut rows, task_id, &approval, after(seconds)).await.unwrap() {
        Approved::Done(Some(decision)) => {
            harness.commit(tx, [*decision]).await;
            Ok(())
        }
        Approved::Refused(error) => Err(error.reason),
        other => panic!("{other:?}"),
    }
}

/// Number of the desktop that is the first target.
async fn first_canary(harness: &Harness, task_id: TaskId) -> u32 {
    let mut connection = harness.store().acquire().await.unwrap();
    let ids = store::target::desktop_ids(&mut connection, &[task_id], true, 1).await.unwrap();
    (0..5).find(|&number| desktop_id(number).as_str() == ids[0].1).unwrap()
}

#[tokio::test]
async fn wave_without_a_success_holds_until_a_person_approves() {
    let harness = Harness::new().await;
    let task_id = canaries_end(&harness, gray(ignoring()), [Outcome::Failed, Outcome::Timeout]).await;
    assert!(harness.leased(3_600).await.is_empty());
    let waves = harness.waves(task_id).await;
    assert_eq!((waves[0].state.status, waves[0].state.failed), (WaveStatus::Closed, 0));
    let verdict = waves[0].verdict_reason.as_deref().unwrap();
    assert!(verdict.ends_with("; 0 of 2 targets succeeded, and the next wave needs 1"), "{verdict}");
    assert_eq!(waves[1].opening.hold(), Some(WaveHold::NoEvidence));
    assert_eq!(waves[1].opening.hold_until, Some(after(10) + TimeDelta::days(7)));
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running);
    approve(&harness, task_id, None, 3_601).await.unwrap();
    assert_eq!(ordinals(&harness.leased(3_602).await).len(), 3);
}

#[tokio::test]
async fn one_success_opens_the_next_wave() {
    let harness = Harness::new().await;
    canaries_end(&harness, gray(ignoring()), [Outcome::Success, Outcome::Failed]).await;
    assert_eq!(ordinals(&harness.leased(11).await).len(), 3);
}

#[tokio::test]
async fn share_of_successes_is_of_the_size_of_the_wave() {
    let harness = Harness::new().await;
    let policy = RolloutPolicy { min_success: BasisPoints::new(5_001), ..ignoring() };
    let task_id = canaries_end(&harness, gray(policy), [Outcome::Success, Outcome::Failed]).await;
    assert!(harness.leased(11).await.is_empty());
    let waves = harness.waves(task_id).await;
    let verdict = waves[0].verdict_reason.as_deref().unwrap();
    assert!(verdict.ends_with("; 1 of 2 targets succeeded, and the next wave needs 2"), "{verdict}");
}

#[tokio::test]
async fn task_stops_after_seven_days_without_evidence() {
    let harness = Harness::new().await;
    let task_id = canaries_end(&harness, gray(ignoring()), [Outcome::Failed; 2]).await;
    let week = TimeDelta::days(7).num_seconds();
    assert!(harness.leased(10 + week - 1).await.is_empty());
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Running);
    assert!(harness.leased(10 + week).await.is_empty());
    let task = harness.task(task_id).await;
    assert_eq!(task.status, TaskStatus::Stopped);
    let reason = task.halt_reason.unwrap();
    assert_eq!(reason, "expired: wave 1 gave no evidence, and nobody approved wave 2 in time");
}

#[tokio::test]
async fn task_with_expiry_stops_then_and_not_after_seven_days() {
    let harness = Harness::new().await;
    let submit = Submit { expires_at: Some(after(900)), ..gray(ignoring()) };
    let task_id = canaries_end(&harness, submit, [Outcome::Failed; 2]).await;
    assert_eq!(harness.waves(task_id).await[1].opening.hold_until, Some(after(900)));
    assert!(harness.leased(900).await.is_empty());
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Stopped);
}

#[tokio::test]
async fn planned_approval_does_not_open_a_wave_without_evidence() {
    let harness = Harness::new().await;
    let approval = Approval { before_waves: [2].into(), distinct_approver: false };
    let policy = RolloutPolicy { approval, ..ignoring() };
    let task_id = canaries_end(&harness, gray(policy), [Outcome::Failed; 2]).await;
    assert_eq!(approve(&harness, task_id, None, 20).await, Err(Reason::ApprovalOutdated));
    let planned = approve(&harness, task_id, Some(WaveHold::Approval), 21).await;
    assert_eq!(planned, Err(Reason::ApprovalOutdated));
    assert!(harness.leased(22).await.is_empty());
    approve(&harness, task_id, Some(WaveHold::NoEvidence), 23).await.unwrap();
    assert_eq!(ordinals(&harness.leased(24).await).len(), 3);
}

#[tokio::test]
async fn wave_of_undelivered_targets_gives_no_evidence() {
    let harness = Harness::new().await;
    harness.offline(0..5, start()).await;
    let task_id = harness.submit(gray(ignoring())).await;
    assert!(harness.leased(0).await.is_empty());
    assert!(harness.leased(700).await.is_empty(), "the delivery deadline has passed");
    let waves = harness.waves(task_id).await;
    assert_eq!(waves[0].state.tally.get(Outcome::Undelivered), 2);
    assert_eq!(waves[1].opening.hold(), Some(WaveHold::NoEvidence));
    assert!(harness.leased(800).await.is_empty());
}

#[tokio::test]
async fn late_success_of_a_quorum_wave_ends_the_hold() {
    let harness = Harness::new().await;
    harness.offline(0..5, start()).await;
    let policy = RolloutPolicy { quorum: BasisPoints::new(5_000), ..ignoring() };
    let task_id = harness.submit(gray(policy)).await;
    let canary = first_canary(&harness, task_id).await;
    harness.online(&worker("w"), canary..canary + 1, start()).await;
    for batch in harness.leased(0).await {
        harness.report(&worker("w"), &batch, Outcome::Failed, after(10)).await;
    }
    harness.leased(11).await;
    assert_eq!(harness.waves(task_id).await[1].opening.hold(), Some(WaveHold::NoEvidence));
    harness.online(&worker("w"), 0..5, after(20)).await;
    let late = harness.leased(21).await;
    assert_eq!(ordinals(&late), [1], "only the canary that was offline");
    harness.report(&worker("w"), &late[0], Outcome::Success, after(30)).await;
    assert_eq!(ordinals(&harness.leased(31).await), [2, 3, 4]);
    assert_eq!(harness.waves(task_id).await[1].opening.hold_until, None);
}
