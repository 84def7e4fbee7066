//! Two schedulers on one database, each with its own pool, like two processes.

use std::sync::Arc;

use domain::{outcome::Outcome, task::TaskStatus};
use futures::future::join_all;
use scheduler::{Config, Scheduler};
use testkit::Submit;
use tokio::sync::Barrier;

use crate::harness::{Harness, after, ordinals, results, start, worker};

const TARGETS: u32 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_reports_to_two_schedulers_give_exact_tallies() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..TARGETS, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: TARGETS, ..Submit::default() }).await;
    let leased = harness.lease(&w, 2 * TARGETS, start()).await;
    assert_eq!(ordinals(&leased).len(), TARGETS as usize);

    let other = Scheduler::new(harness.database.another_store().unwrap(), Config::default());
    let engines = [harness.engine.clone(), other];
    let mut reports = Vec::new();
    for leased in &leased {
        for mut report in results(leased, Outcome::Success) {
            if report.ordinal % 10 == 0 {
                report.scripts[0].outcome = Outcome::Failed;
            }
            // Both schedulers receive each result, as after a lost acknowledgement.
            reports.push((0, report.clone()));
            reports.push((1, report));
        }
    }
    let barrier = Arc::new(Barrier::new(50));
    let sending = (0..50).map(|lane| {
        let (engines, barrier, w) = (engines.clone(), Arc::clone(&barrier), w.clone());
        let mine: Vec<_> = reports.iter().skip(lane).step_by(50).cloned().collect();
        tokio::spawn(async move {
            barrier.wait().await;
            let mut stored = 0;
            for (engine, report) in mine {
                stored +=
                    engines[engine].report(&w, vec![report], Vec::new(), after(1)).await.unwrap().stored;
            }
            stored
        })
    });
    let stored: u32 = join_all(sending).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(stored, TARGETS);
    let wave = &harness.waves(task_id).await[0];
    assert_eq!(wave.state.tally.get(Outcome::Success), 900);
    assert_eq!(wave.state.tally.get(Outcome::Failed), 100);
    assert_eq!(wave.record_tally, wave.state.tally);
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Failed);
    assert_eq!(harness.count("SELECT count(*) FROM record").await, i64::from(TARGETS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_cut_and_lease_everything_once() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..TARGETS, start()).await;
    let task_id = harness.submit(Submit { targets: TARGETS, ..Submit::default() }).await;
    let other = Scheduler::new(harness.database.another_store().unwrap(), Config::default());
    let engines = [harness.engine.clone(), other];
    join_all(engines.iter().map(|engine| engine.admit(task_id, start()))).await;
    let pulls = join_all((0..20).map(|pull| {
        let (engine, w) = (engines[pull % 2].clone(), w.clone());
        async move { engine.lease(&w, 60, start()).await.unwrap().leased }
    }))
    .await;
    let mut got: Vec<u32> = pulls.iter().flat_map(|leased| ordinals(leased)).collect();
    while let more @ [_, ..] = harness.lease(&w, 1_000, start()).await.as_slice() {
        got.extend(ordinals(more));
    }
    got.sort_unstable();
    assert_eq!(got, (0..TARGETS).collect::<Vec<_>>(), "each target is leased exactly once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_failures_halt_once_and_open_no_further_wave() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..200, start()).await;
    let submit = Submit { targets: 200, gray: Some((100, 5)), ..Submit::default() };
    let task_id = harness.submit_and_cut(submit).await;
    let leased = harness.lease(&w, 200, start()).await;
    let other = Scheduler::new(harness.database.another_store().unwrap(), Config::default());
    let engines = [harness.engine.clone(), other];
    let reports = results(&leased[0], Outcome::Failed);
    let sending = reports.into_iter().enumerate().map(|(number, report)| {
        let (engine, w) = (engines[number % 2].clone(), w.clone());
        tokio::spawn(async move {
            engine.report(&w, vec![report], Vec::new(), after(1)).await.unwrap();
            engine.admit_all(after(1)).await.unwrap();
        })
    });
    for sent in join_all(sending).await {
        sent.unwrap();
    }
    assert_eq!(harness.task(task_id).await.status, TaskStatus::Halted);
    let waves = harness.waves(task_id).await;
    assert_eq!(waves[0].state.tally.failed(), 100, "delivered targets still end");
    assert_eq!(waves[1].state.admitted, 0);
}
