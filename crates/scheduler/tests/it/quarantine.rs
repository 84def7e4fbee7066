//! Targets that kill their workers: dispatched in smaller and smaller batches, then one at a time,
//! and finally quarantined.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use domain::{
    limits::MAX_TARGETS_PER_BATCH,
    outcome::Outcome,
    quarantine::{QUARANTINE_AFTER, batch_size, is_suspect},
    task::TaskStatus,
};
use scheduler::Leased;
use testkit::Submit;

use crate::harness::{Harness, after, ordinals, start, worker};

/// Ordinal of the target that kills every worker that holds it.
const POISON: u32 = 333;
/// Seconds after which a silent worker is given up.
const SILENT: i64 = 16;

struct Fleet {
    harness: Harness,
    now: i64,
    deaths: u16,
    /// Number of the current worker.
    running: u16,
}

impl Fleet {
    async fn new(targets: u32) -> Self {
        let fleet = Self { harness: Harness::new().await, now: 0, deaths: 0, running: 0 };
        fleet.harness.online(&worker("w-0"), 0..targets, start()).await;
        fleet
    }

    /// Kills the worker silently and connects its desktops to another one.
    async fn die(&mut self, targets: u32) {
        self.deaths += 1;
        self.running += 1;
        self.now += SILENT;
        self.harness.reap(after(self.now)).await;
        self.harness.online(&self.worker(), 0..targets, after(self.now)).await;
        self.harness.reap(after(self.now)).await;
    }

    fn worker(&self) -> domain::ids::WorkerId {
        worker(&format!("w-{}", self.running))
    }

    async fn lease(&self) -> Vec<Leased> {
        self.harness.lease(&self.worker(), 100_000, after(self.now)).await
    }

    /// Renews the worker's heartbeat while the lease time passes.
    async fn a_lease_later(&mut self, leased: &[Leased]) {
        let keys: Vec<_> = leased.iter().map(crate::harness::key).collect();
        for _ in 0..3 {
            self.now += 10;
            let (now, worker) = (after(self.now), self.worker());
            self.harness.engine.heartbeat(&worker, "here", 100_000, false, now).await.unwrap();
            self.harness.engine.renew(&worker, &keys, now).await.unwrap();
        }
        self.now += 1;
    }
}

#[tokio::test]
async fn target_that_kills_workers_is_quarantined_and_others_run() {
    const TARGETS: u32 = 600;
    let mut fleet = Fleet::new(TARGETS).await;
    let task_id = fleet
        .harness
        .submit_and_cut(Submit { targets: TARGETS, delivery: TimeDelta::hours(10), ..Submit::default() })
        .await;
    let mut done = BTreeSet::new();
    let mut sizes = Vec::new();
    while fleet.deaths < QUARANTINE_AFTER {
        let leased = fleet.lease().await;
        assert!(!leased.is_empty(), "{} deaths, {} done", fleet.deaths, done.len());
        let suspects = leased.iter().filter(|leased| is_suspect(leased.batch.terms.worker_deaths)).count();
        assert!(suspects <= 1, "suspects are dispatched one at a time");
        if let Some(poisoned) = leased.iter().find(|leased| has_poison(leased)) {
            assert!(poisoned.batch.members.len() <= batch_size(poisoned.batch.terms.worker_deaths));
            sizes.push(poisoned.batch.members.len());
            fleet.die(TARGETS).await;
            continue;
        }
        for leased in &leased {
            fleet.harness.report(&fleet.worker(), leased, Outcome::Success, after(fleet.now)).await;
            done.extend(ordinals(std::slice::from_ref(leased)));
        }
    }
    assert_eq!(sizes[..2], [MAX_TARGETS_PER_BATCH; 2]);
    assert_eq!(sizes[2..].iter().map(|&size| size <= 25).collect::<Vec<_>>(), [true; 3]);
    assert_eq!(sizes[3..], [1, 1]);
    assert!(!done.contains(&POISON));
    loop {
        let leased = fleet.lease().await;
        if leased.is_empty() {
            break;
        }
        for leased in &leased {
            assert!(!has_poison(leased), "the target is quarantined");
            fleet.harness.report(&fleet.worker(), leased, Outcome::Success, after(fleet.now)).await;
            done.extend(ordinals(std::slice::from_ref(leased)));
        }
    }
    assert_eq!(done.len(), TARGETS as usize - 1, "all remaining targets ran");
    let isolated = "SELECT count(*) FROM task_event WHERE kind = 'QUARANTINED' AND detail LIKE 'desktop desktop-333: 5 %'";
    assert_eq!(fleet.harness.count(isolated).await, 1);
    assert_eq!(fleet.harness.task(task_id).await.status, TaskStatus::Running);
    fleet.harness.reap(after(fleet.now + 100_000)).await;
    let reason = "SELECT count(*) FROM record WHERE outcome = 'UNKNOWN' AND reason LIKE 'quarantined after every worker that held it died%'";
    assert_eq!(fleet.harness.count(reason).await, 1);
    assert_eq!(fleet.harness.task(task_id).await.status, TaskStatus::Failed);
}

fn has_poison(leased: &Leased) -> bool {
    leased.batch.members.iter().any(|member| member.ordinal == POISON)
}

#[tokio::test]
async fn what_an_isolated_target_s_agent_reports_in_the_end_counts() {
    let mut fleet = Fleet::new(1).await;
    let task_id =
        fleet.harness.submit_and_cut(Submit { delivery: TimeDelta::hours(10), ..Submit::default() }).await;
    let mut last = Vec::new();
    for _ in 0..QUARANTINE_AFTER {
        last = fleet.lease().await;
        assert_eq!(ordinals(&last), [0]);
        fleet.die(1).await;
    }
    assert!(fleet.lease().await.is_empty());
    fleet.harness.report(&fleet.worker(), &last[0], Outcome::Success, after(fleet.now)).await;
    assert_eq!(fleet.harness.task(task_id).await.status, TaskStatus::Success);
    assert_eq!(fleet.harness.count("SELECT count(*) FROM deferred_target").await, 0);
}

#[tokio::test]
async fn a_suspect_that_its_worker_survived_keeps_no_other_waiting() {
    const TARGETS: u32 = 50;
    let mut fleet = Fleet::new(TARGETS).await;
    fleet
        .harness
        .submit_and_cut(Submit { targets: TARGETS, delivery: TimeDelta::hours(10), ..Submit::default() })
        .await;
    for _ in 0..2 {
        assert_eq!(fleet.lease().await.len(), 1);
        fleet.die(TARGETS).await;
    }
    let first = fleet.lease().await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].batch.members.len(), 25);
    assert!(fleet.lease().await.is_empty(), "the second suspect waits");
    fleet.a_lease_later(&first).await;
    assert_eq!(fleet.lease().await.len(), 1, "the worker survived");
}

#[tokio::test]
async fn a_worker_that_says_goodbye_makes_nothing_suspect() {
    let mut fleet = Fleet::new(1).await;
    fleet.harness.submit_and_cut(Submit { delivery: TimeDelta::hours(10), ..Submit::default() }).await;
    for _ in 0..QUARANTINE_AFTER {
        let leased = fleet.lease().await;
        assert_eq!(leased[0].batch.terms.worker_deaths, 0);
        assert!(fleet.harness.engine.forget_worker(&fleet.worker(), None, after(fleet.now)).await.unwrap());
        fleet.die(1).await;
    }
    assert_eq!(fleet.lease().await.len(), 1);
}
