//! Changes of tasks: their order, their gaps and their deletion.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::{ids::TaskId, limits::MAP_CHANGES_PER_LOOK, map::MapChange, stream_position::SeenTransactions};
use sqlx::{Connection as _, PgConnection};
use store::{map, task_change};
use testkit::{Submit, TestDatabase, project, submit};

use crate::now;

async fn task(database: &TestDatabase) -> TaskId {
    submit(&database.store, Submit { targets: 5, ..Submit::default() }, now()).await.unwrap()
}

/// Adds a change that moves one target into a batch, as an operation of the engine does.
async fn change(connection: &mut PgConnection, task_id: TaskId, ordinal: i32, is_reset: bool) {
    sqlx::query(
        "INSERT INTO task_change (task_id, version, project_id, at, is_reset, firsts, lengths, codes)
         SELECT $1, 1 + coalesce((SELECT max(version) FROM task_change WHERE task_id = $1), 0), $2, $3, $4,
                ARRAY[$5]::int4[], '{1}', '\\x02'",
    )
    .bind(task_id.0)
    .bind(project().as_str())
    .bind(now())
    .bind(is_reset)
    .bind(ordinal)
    .execute(connection)
    .await
    .unwrap();
}

async fn event(connection: &mut PgConnection, task_id: TaskId) {
    let insert =
        "INSERT INTO task_event (task_id, at, kind, actor, detail) VALUES ($1, $2, 'PAUSED', 'alice', '')";
    sqlx::query(insert).bind(task_id.0).bind(now()).execute(connection).await.unwrap();
}

async fn news(connection: &mut PgConnection, since: Option<&SeenTransactions>) -> task_change::News {
    task_change::news(connection, &project(), since, None, true).await.unwrap()
}

async fn map_news(
    connection: &mut PgConnection,
    task_id: TaskId,
    after: i64,
) -> Option<task_change::MapNews> {
    task_change::map_news(connection, &BTreeMap::from([(task_id, after)])).await.unwrap().remove(&task_id)
}

#[tokio::test]
async fn change_that_commits_late_is_seen_exactly_once() {
    let database = testkit::database().await.unwrap();
    let (mut early, mut late) = (database.connection().await.unwrap(), database.connection().await.unwrap());
    let mut reader = database.connection().await.unwrap();
    let (one, two) = (task(&database).await, task(&database).await);
    let start = news(&mut reader, None).await;
    assert!(start.tasks.is_empty() && start.events.is_empty(), "a new client starts now");
    assert_eq!(start.connected, Some(0));

    // The event with the smaller id commits last.
    let mut open = late.begin().await.unwrap();
    event(&mut open, one).await;
    change(&mut open, one, 0, false).await;
    event(&mut early, two).await;
    let first = news(&mut reader, Some(&start.seen)).await;
    assert_eq!(first.events.iter().map(|(task_id, _)| *task_id).collect::<Vec<_>>(), [two]);
    assert!(first.tasks.is_empty());
    let position = first.seen.to_string();
    open.commit().await.unwrap();
    let seen = position.parse().unwrap();
    let second = news(&mut reader, Some(&seen)).await;
    assert_eq!((second.events[0].0, second.events.len()), (one, 1), "not the other one again");
    assert_eq!(second.tasks, [one]);
    let third = news(&mut reader, Some(&second.seen)).await;
    assert!(third.tasks.is_empty() && third.events.is_empty());
}

#[tokio::test]
async fn change_that_is_rolled_back_is_never_seen() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let task_id = task(&database).await;
    let start = news(&mut connection, None).await.seen;
    let mut tx = connection.begin().await.unwrap();
    event(&mut tx, task_id).await;
    tx.rollback().await.unwrap();
    assert!(news(&mut connection, Some(&start)).await.events.is_empty());
}

#[tokio::test]
async fn filter_hides_other_tasks_and_projects() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let (one, two) = (task(&database).await, task(&database).await);
    let start = news(&mut connection, None).await.seen;
    event(&mut connection, one).await;
    event(&mut connection, two).await;
    change(&mut connection, two, 0, false).await;
    let found =
        task_change::news(&mut connection, &project(), Some(&start), Some(&[one]), false).await.unwrap();
    assert_eq!((found.events.len(), found.tasks.len(), found.connected), (1, 0, None));
    let other = "project-9".parse().unwrap();
    let found = task_change::news(&mut connection, &other, Some(&start), None, false).await.unwrap();
    assert!(found.events.is_empty() && found.tasks.is_empty());
}

#[tokio::test]
async fn changes_of_a_map_are_merged_and_gaps_are_resets() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let task_id = task(&database).await;
    assert_eq!(map_news(&mut connection, task_id, 0).await, None);
    for ordinal in [0, 1, 3] {
        change(&mut connection, task_id, ordinal, false).await;
    }
    let found = map_news(&mut connection, task_id, 0).await.unwrap();
    assert_eq!((found.version, found.change.runs().len()), (3, 2));
    assert_eq!(map_news(&mut connection, task_id, 2).await.unwrap().change.runs().len(), 1);
    assert_eq!(map_news(&mut connection, task_id, 3).await, None);
    change(&mut connection, task_id, 4, true).await;
    let found = map_news(&mut connection, task_id, 3).await.unwrap();
    assert_eq!((found.version, found.change), (4, MapChange::reset()));

    // The last change of a running task stays, and names its version.
    let later = now() + TimeDelta::seconds(1);
    assert!(!task_change::sweep(&mut connection, later).await.unwrap());
    assert_eq!(map::head(&mut connection, &project(), task_id).await.unwrap().unwrap().version, 4);
    let lagging = map_news(&mut connection, task_id, 1).await.unwrap();
    assert_eq!((lagging.version, lagging.change.is_reset()), (4, true));
    change(&mut connection, task_id, 2, false).await;
    let found = map_news(&mut connection, task_id, 4).await.unwrap();
    assert_eq!((found.version, found.change.is_reset()), (5, false));
    task_change::sweep(&mut connection, now()).await.unwrap();
    assert_eq!(map_news(&mut connection, task_id, 4).await.unwrap().version, 5, "younger changes stay");

    let end = "UPDATE task SET status = 'STOPPED', ended_at = $1";
    sqlx::query(end).bind(now()).execute(&mut connection).await.unwrap();
    task_change::sweep(&mut connection, later).await.unwrap();
    assert_eq!(map::head(&mut connection, &project(), task_id).await.unwrap().unwrap().version, 0);
}

#[tokio::test]
async fn client_that_lags_far_behind_gets_a_reset() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let task_id = task(&database).await;
    let fill = "INSERT INTO task_change (task_id, version, project_id, at, is_reset, firsts, lengths, codes)
                SELECT $1, n, $2, $3, false, '{0}', '{1}', '\\x02' FROM generate_series(1, $4) AS n";
    let fill = sqlx::query(fill).bind(task_id.0).bind(project().into_string()).bind(now());
    fill.bind(MAP_CHANGES_PER_LOOK + 5).execute(&mut connection).await.unwrap();
    let found = map_news(&mut connection, task_id, 0).await.unwrap();
    assert_eq!((found.version, found.change.is_reset()), (MAP_CHANGES_PER_LOOK + 5, true));
    let found = map_news(&mut connection, task_id, 5).await.unwrap();
    assert_eq!((found.version, found.change.is_reset()), (MAP_CHANGES_PER_LOOK + 5, false));
}
