//! A report reads the rows of its own targets, however large the fleet and the task are.

use domain::{ids::TaskId, outcome::Outcome};
use engine::{Report, ReportedTarget, Rows as _};
use scheduler::Leased;
use store::TaskRows;
use testkit::{Submit, project};

use crate::harness::{ENGINE, Harness, ordinals, results, start, worker};

const FLEET: i64 = 10_000;
const TARGETS: u32 = 1_500;
/// Rows of all tables that a report may read for each of its results.
const MOST_PER_RESULT: i64 = 10;

fn report(task_id: TaskId, leased: &Leased) -> Report {
    let reported = |target: scheduler::TargetReport| ReportedTarget {
        ordinal: target.ordinal,
        attempt: target.attempt,
        batch_id: target.batch_id,
        project_id: target.project_id,
        desktop_id: target.desktop_id,
        agent_id: target.agent_id,
        is_authentic: target.is_authentic,
        scripts: target.scripts,
        reboots_from: target.reboots_from,
    };
    let results = results(leased, Outcome::Success).into_iter().map(reported).collect();
    Report { task_id, worker_id: worker("w"), results, returned: Vec::new() }
}

/// Rows that the connection of this transaction has read so far.
async fn rows_read(tx: &mut store::Tx) -> i64 {
    sqlx::query_scalar(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int8 FROM pg_stat_xact_user_tables",
    )
    .fetch_one(&mut **tx)
    .await
    .unwrap()
}

#[tokio::test]
async fn report_reads_its_own_targets_only() {
    let harness = Harness::new().await;
    sqlx::query(
        "INSERT INTO desktop (project_id, desktop_id, canonical_id, computer_name, os_host_name, os_type, ip_address,
                              pool_id, availability_zone, agent_version, tags, presence_at, created_at)
         SELECT $1, id, id, id, id, 'Linux', '', '', '', '', '{}', now(), now()
         FROM generate_series(1, $2) AS n, concat('away-', n) AS id",
    )
    .bind(project().as_str())
    .bind(FLEET)
    .execute(&mut harness.database.connection().await.unwrap())
    .await
    .unwrap();
    harness.online(&worker("w"), 0..TARGETS, start()).await;
    let task_id = harness.submit_and_cut(Submit { targets: TARGETS, ..Submit::default() }).await;
    let mut held = Vec::new();
    loop {
        let leased = harness.lease(&worker("w"), TARGETS, start()).await;
        if leased.is_empty() {
            break;
        }
        held.extend(leased);
    }
    assert_eq!(ordinals(&held).len(), TARGETS as usize);
    for leased in &held {
        let mut tx = harness.store().begin().await.unwrap();
        let before = rows_read(&mut tx).await;
        let mut rows = TaskRows::new(&mut tx);
        let answer = ENGINE.report(&mut rows, report(task_id, leased), start()).await.unwrap();
        rows.apply(&answer.decision.unwrap().changes).await.unwrap();
        let read = rows_read(&mut tx).await - before;
        let number = i64::from(answer.stored);
        assert_eq!(answer.stored as usize, leased.batch.members.len());
        assert!(read <= number * MOST_PER_RESULT, "{read} rows read for {number} results");
        harness.store().commit(tx).await.unwrap();
    }
}
