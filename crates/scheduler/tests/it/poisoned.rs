//! Values that the database refuses although every edge accepts them: a constraint of the test
//! stands for them. They cost no other desktop anything.

use domain::{desktop::DesktopFacts, outcome::Outcome};
use scheduler::TargetReport;
use store::batch::StartedTarget;
use testkit::{Submit, desktop, desktop_id};

use crate::harness::{Harness, after, results, returned, start, worker};

const POISON: &str = "poison";

impl Harness {
    pub(crate) async fn execute(&self, statement: &'static str) {
        let mut connection = self.database.connection().await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
}

fn poison(report: &mut TargetReport) {
    report.scripts[0].output = POISON.into();
}

#[tokio::test]
async fn refused_values_make_that_result_alone_unknown() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..40, start()).await;
    harness.execute("ALTER TABLE record ADD CHECK (output <> 'poison')").await;
    harness.submit_and_cut(Submit { targets: 40, ..Submit::default() }).await;
    let leased = harness.lease(&w, 100, start()).await;
    let mut all = results(&leased[0], Outcome::Success);
    for place in [0, 17, 18, 39] {
        poison(&mut all[place]);
    }
    let answer = harness.engine.report(&w, all.clone(), Vec::new(), after(1)).await.unwrap();
    assert_eq!((answer.stored, answer.refused.len(), answer.failed.len()), (40, 0, 0));
    let unknown = "SELECT count(*) FROM record WHERE outcome = 'UNKNOWN' AND output = ''
                   AND reason LIKE 'the database refused%' AND ordinal IN (0, 17, 18, 39)";
    assert_eq!(harness.count(unknown).await, 4);
    assert_eq!(harness.count("SELECT count(*) FROM record WHERE outcome = 'SUCCESS'").await, 36);
    assert_eq!(harness.count("SELECT count(*) FROM batch").await, 0, "no target is left over");

    let again = harness.engine.report(&w, all, Vec::new(), after(2)).await.unwrap();
    assert_eq!((again.stored, again.failed.len()), (0, 0), "a repeated report is answered as well");
}

#[tokio::test]
async fn refused_result_keeps_no_returned_target() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..3, start()).await;
    harness.execute("ALTER TABLE record ADD CHECK (output <> 'poison')").await;
    harness.submit_and_cut(Submit { targets: 3, ..Submit::default() }).await;
    let leased = harness.lease(&w, 100, start()).await;
    let mut all = results(&leased[0], Outcome::Success);
    all.truncate(2);
    poison(&mut all[1]);
    let back = returned(&leased[0], 2, false);
    let answer = harness.engine.report(&w, all, vec![back], after(1)).await.unwrap();
    assert_eq!((answer.stored, answer.failed.len()), (2, 0));
    assert_eq!(harness.count("SELECT count(*) FROM deferred_target WHERE ordinal = 2").await, 1);
}

#[tokio::test]
async fn refused_description_refuses_that_desktop_alone() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    harness.execute("ALTER TABLE desktop ADD CHECK (computer_name <> 'poison')").await;
    let facts: Vec<DesktopFacts> = (1..6)
        .map(|number| match number {
            3 => DesktopFacts { computer_name: POISON.into(), ..desktop(number) },
            _ => desktop(number),
        })
        .collect();
    let gone = [(testkit::project(), desktop_id(0))];
    let refused = harness.engine.presence(&w, &facts, &gone, after(1)).await.unwrap().unwrap();
    assert!(
        matches!(&refused[..], [scheduler::Refused::Claim(_, refused, _)] if *refused == desktop_id(3)),
        "{refused:?}"
    );
    assert_eq!(harness.count("SELECT count(*) FROM desktop WHERE worker_id = 'w'").await, 4);
}

#[tokio::test]
async fn refused_start_blocks_no_report() {
    let harness = Harness::new().await;
    let w = worker("w");
    harness.online(&w, 0..1, start()).await;
    harness.execute("ALTER TABLE batch ADD CHECK (started = '{}')").await;
    let task_id = harness.submit_and_cut(Submit::default()).await;
    let leased = harness.lease(&w, 100, start()).await;
    let started = StartedTarget {
        task_id,
        batch_id: leased[0].batch.batch_id,
        ordinal: 0,
        script: domain::batching::StartedScript { script: 0, at: start() },
    };
    harness.engine.add_started(&w, &[started]).await.unwrap();
    harness.report(&w, &leased[0], Outcome::Success, after(1)).await;
}
