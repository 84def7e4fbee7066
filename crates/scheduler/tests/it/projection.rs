//! The loop behind fast lists: failures of one task or project keep no other one waiting.

use chrono::TimeDelta;
use sqlx::AssertSqlSafe;
use testkit::Submit;
use tokio_util::sync::CancellationToken;

use crate::harness::{Harness, start, worker};

/// Adds a trigger that refuses new rows of a table under a condition.
async fn refuse(harness: &Harness, table: &str, condition: &str) {
    let mut connection = harness.database.connection().await.unwrap();
    for statement in [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$"
            .to_owned(),
        format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
}

#[tokio::test]
async fn failing_task_keeps_no_other_task_waiting() {
    let harness = Harness::new().await;
    harness.online(&worker("w"), 0..1, start()).await;
    let failing = harness.submit(Submit::default()).await;
    harness.submit(Submit::default()).await;
    refuse(&harness, "newest_record", &format!("NEW.task_id = '{}'", failing.0)).await;
    let stop = CancellationToken::new();
    let project = async |minutes| {
        harness.engine.project_all(start() + TimeDelta::minutes(minutes), &stop).await.unwrap();
        harness.count("SELECT count(*) FROM unprojected_task").await
    };
    // Two rounds, because a failure ends the round of its project.
    project(0).await;
    assert_eq!(project(0).await, 1);
    harness.execute("DROP FUNCTION refuse CASCADE").await;
    assert_eq!(project(4).await, 1, "the task is postponed");
    assert_eq!(project(5).await, 0);
}

#[tokio::test]
async fn failing_project_keeps_no_other_project_waiting() {
    let harness = Harness::new().await;
    harness
        .execute(
            "INSERT INTO desktop (project_id, desktop_id, canonical_id, computer_name, os_host_name, os_type, ip_address,
                 pool_id, availability_zone, agent_version, tags, presence_at, created_at)
             SELECT p, 'd', 'd', 'pc', '', 'Linux', '', '', '', '', '{}', 'epoch', 'epoch'
             FROM unnest(ARRAY['a', 'b', 'c']) AS p",
        )
        .await;
    refuse(&harness, "desktop_mark", "NEW.project_id = 'b'").await;
    let stop = CancellationToken::new();
    assert!(harness.engine.project_all(start(), &stop).await.is_err());
    assert_eq!(harness.count("SELECT count(*) FROM desktop_change WHERE project_id = 'b'").await, 1);
    assert_eq!(harness.count("SELECT count(*) FROM desktop_change").await, 1);
    harness.execute("DROP FUNCTION refuse CASCADE").await;
    harness.engine.project_all(start(), &stop).await.unwrap();
    assert_eq!(harness.count("SELECT count(*) FROM desktop_change").await, 0);
}
