//! Leases: never larger than requested, fenced by an epoch, released when they expire.

use std::collections::HashSet;

use chrono::TimeDelta;
use domain::{limits, outcome::Outcome, task::TaskStatus};
use store::batch::LeaseKey;
use testkit::Submit;

use crate::harness::{Harness, after, key, ordinals, start, worker};

#[tokio::test]
async fn a_worker_never_gets_more_than_it_has_room_for() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1_200, start()).await;
    harness.submit_and_cut(Submit { targets: 1_200, ..Submit::default() }).await;
    let mut seen = HashSet::new();
    for room in [1, 7, 500, 600, 1_000, 1_500] {
        let leased = harness.lease(&w, room, start()).await;
        let got = ordinals(&leased);
        assert!(got.len() <= room as usize);
        assert!(leased.iter().all(|leased| leased.batch.members.len() <= limits::MAX_TARGETS_PER_BATCH));
        seen.extend(got);
    }
    assert_eq!(seen.len(), 1_200, "every target is leased exactly once");
    assert!(harness.lease(&w, 1_000, start()).await.is_empty());
}

#[tokio::test]
async fn a_batch_goes_to_the_worker_that_holds_the_desktops() {
    let harness = Harness::new().await;
    let (w, v) = (worker("w"), worker("v"));
    harness.online(&w, 0..3, start()).await;
    harness.online(&v, 3..5, start()).await;
    harness.submit_and_cut(Submit { targets: 5, ..Submit::default() }).await;
    assert_eq!(ordinals(&harness.lease(&w, 100, start()).await), [0, 1, 2]);
    assert_eq!(ordinals(&harness.lease(&v, 100, start()).await), [3, 4]);
}

#[tokio::test]
async fn a_renewed_lease_is_kept_and_one_that_ran_out_is_over() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    harness.submit_and_cut(Submit::default()).await;
    let first = harness.lease(&w, 100, start()).await;
    assert_eq!(first[0].batch.epoch, 1);
    assert!(harness.engine.renew(&w, &[key(&first[0])], after(20)).await.unwrap().is_empty());
    harness.online(&w, 0..1, after(35)).await;
    harness.reap(after(35)).await;
    assert!(harness.lease(&w, 100, after(35)).await.is_empty(), "the renewed lease is still valid");

    harness.online(&w, 0..1, after(51)).await;
    harness.reap(after(51)).await;
    let lost = harness.engine.renew(&w, &[key(&first[0])], after(51)).await.unwrap();
    assert_eq!(lost, [key(&first[0])], "the old lease has expired");
    let second = harness.lease(&w, 100, after(51)).await;
    assert_eq!(ordinals(&second), [0]);
}

#[tokio::test]
async fn a_lease_is_renewed_by_its_holder_and_epoch_alone() {
    let harness = Harness::new().await;
    let (w, v) = (worker("w"), worker("v"));
    harness.online(&w, 0..1, start()).await;
    harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(&w, 100, start()).await;
    let good = key(&leased[0]);
    let wrong_epoch = LeaseKey { epoch: 2, ..good };
    assert_eq!(harness.engine.renew(&v, &[good], after(1)).await.unwrap(), [good]);
    assert_eq!(harness.engine.renew(&w, &[wrong_epoch, good], after(1)).await.unwrap(), [wrong_epoch]);
}

#[tokio::test]
async fn silent_worker_loses_desktops_and_work_to_the_next_one() {
    let harness = Harness::new().await;
    let (w, v) = (worker("w"), worker("v"));
    harness.online(&w, 0..4, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: 4, ..Submit::default() }).await;
    let pulled = harness.lease(&w, 2, start()).await;
    assert_eq!(ordinals(&pulled), [0, 1]);
    // The worker is silent beyond its timeout, with two targets leased and two ready.
    harness.reap(after(16)).await;
    assert_eq!(harness.count("SELECT count(*) FROM desktop WHERE worker_id IS NOT NULL").await, 0);
    assert_eq!(harness.count("SELECT count(*) FROM deferred_target").await, 4);
    assert_eq!(
        harness.count("SELECT count(*) FROM deferred_target WHERE maybe_delivered").await,
        2,
        "the leased targets of the lost worker"
    );

    harness.online(&v, 0..4, after(17)).await;
    harness.reap(after(17)).await;
    let taken_over = harness.lease(&v, 100, after(17)).await;
    let mut got = ordinals(&taken_over);
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3]);
    for leased in &taken_over {
        harness.report(&v, leased, Outcome::Success, after(18)).await;
    }
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Success);
}

#[tokio::test]
async fn a_worker_that_is_not_known_cannot_tell_its_presence() {
    let harness = Harness::new().await;
    let known = harness.engine.presence(&worker("w"), &[testkit::desktop(0)], &[], start()).await.unwrap();
    assert_eq!(known, None);
    assert_eq!(harness.count("SELECT count(*) FROM desktop").await, 0);
}

#[tokio::test]
async fn a_draining_worker_gets_nothing_new() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    harness.engine.heartbeat(&w, "here", 10, true, after(1)).await.unwrap();
    harness.submit_and_cut(Submit { delivery: TimeDelta::minutes(1), ..Submit::default() }).await;
    assert!(harness.lease(&w, 100, after(1)).await.is_empty());
    assert_eq!(harness.count("SELECT count(*) FROM deferred_target").await, 1);
}
