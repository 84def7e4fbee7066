//! The list of records over many tasks.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use domain::{
    ids::{ScriptId, TaskId},
    page::{Page, SCRIPT_LISTS},
    period::Period,
};
use sqlx::AssertSqlSafe;
use store::{
    PoolOptions, Store,
    record::{self, RecordFilter, RecordRow},
};
use testkit::{database, project};
use uuid::Uuid;

use super::now;

const DESKTOPS: u32 = 5;
const TASKS: u32 = 8;

fn task_id(number: u32) -> TaskId {
    let millis = u64::try_from(now().timestamp_millis()).unwrap() + u64::from(number) * 1_000;
    let random = [u8::try_from(number).unwrap(); 10];
    TaskId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

fn script_id(number: u32) -> Uuid {
    Uuid::from_u128(u128::from(number) + 1)
}

/// Inserts tasks that each run none, one or two of three scripts on some of five desktops. Most
/// targets have records, by a fixed pattern; each seventh task runs a command.
async fn insert_tasks(store: &Store) {
    let mut connection = store.acquire().await.unwrap();
    for number in 0..TASKS {
        let (id, is_command) = (task_id(number).0, number % 7 == 3);
        let scripts = if is_command { 1 } else { 1 + number % 2 };
        let command = if is_command { ("'true'", "'SHELL'") } else { ("NULL", "NULL") };
        let created = format!("to_timestamp({})", now().timestamp() + i64::from(number));
        let desktops: Vec<u32> = (0..DESKTOPS).filter(|desktop| (desktop + number) % 3 != 0).collect();
        let mut statements = format!(
            "INSERT INTO task (task_id, project_id, status, resource_type, resource_group_type, resource_group_id,
                 command, command_type, script_count, target_count, gray, plan_seed, plan_hash, plan_picks,
                 execution_timeout_ms, delivery_timeout_ms, grace_ms, attempt, created_at, ended_at)
             VALUES ('{id}', 'project-1', 'FAILED', 'DESKTOP', 'DESKTOP_POOL', 'pool-{}', {}, {}, {scripts}, {}, true,
                 1, decode(repeat('00', 32), 'hex'), '[]', 1000, 1000, 1000, 1, {created}, {created});",
            number % 2,
            command.0,
            command.1,
            desktops.len(),
        );
        for script in 0..scripts {
            let pinned = if is_command {
                "NULL, NULL, ''".to_owned()
            } else {
                let used = (number + script) % 3;
                format!("'{}', {}, 'script-{used}-{}'", script_id(used), number + 1, number / 4)
            };
            statements += &format!("INSERT INTO task_script VALUES ('{id}', {script}, {pinned});");
        }
        for (wave, first, size) in [(1, 0, 1), (2, 1, desktops.len() - 1)] {
            statements += &format!(
                "INSERT INTO wave (task_id, wave, status, first_ordinal, size)
                 VALUES ('{id}', {wave}, 'CLOSED', {first}, {size});"
            );
        }
        for (ordinal, desktop) in desktops.iter().enumerate() {
            let wave = if ordinal == 0 { 1 } else { 2 };
            statements +=
                &format!("INSERT INTO target VALUES ('{id}', {ordinal}, 'desktop-{desktop}', {wave}, 0);");
            for script in (0..scripts).filter(|script| (number + script + desktop) % 5 != 4) {
                let outcome = if (number + desktop) % 2 == 0 { "SUCCESS" } else { "FAILED" };
                statements += &format!(
                    "INSERT INTO record (task_id, ordinal, script, attempt, outcome, started_at, ended_at, output, reason)
                     VALUES ('{id}', {ordinal}, {script}, 1, '{outcome}', {created}, {created}, 'done', '');"
                );
            }
        }
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *connection).await.unwrap();
    }
}

/// Every record of the project, in the order of the list, by pages within each task.
async fn all_records(store: &Store) -> Vec<RecordRow> {
    let mut connection = store.acquire().await.unwrap();
    let mut found = Vec::new();
    for number in (0..TASKS).rev() {
        let filter = RecordFilter { task_id: Some(task_id(number)), ..RecordFilter::default() };
        found.extend(record::page(&mut connection, &project(), &filter, 100).await.unwrap());
    }
    found
}

/// Applies a filter to records in the order of the list.
fn expected(all: &[RecordRow], filter: &RecordFilter) -> Vec<RecordRow> {
    let created = |row: &RecordRow| {
        (0..TASKS)
            .find(|&number| task_id(number) == row.record_id.task_id)
            .map(|number| now() + chrono::TimeDelta::seconds(number.into()))
    };
    let is_before = |row: &RecordRow| filter.period.until.is_none_or(|until| created(row).unwrap() <= until);
    let mut seen = HashSet::new();
    let newest = all.iter().filter(|row| is_before(row) || !filter.latest_only).filter(|row| {
        let Some(script) = row.script_id.filter(|_| filter.latest_only) else { return true };
        seen.insert((row.desktop_id.clone(), script))
    });
    let within = |row: &RecordRow| {
        let at = row.started_at.or_else(|| created(row)).unwrap();
        filter.period.from.is_none_or(|from| at >= from)
            && filter.period.until.is_none_or(|until| at <= until)
    };
    newest
        .filter(|row| filter.task_id.is_none_or(|id| row.record_id.task_id == id))
        .filter(|row| filter.desktop_ids.is_empty() || filter.desktop_ids.contains(&row.desktop_id))
        .filter(|row| {
            filter.script_ids.as_ref().is_none_or(|ids| row.script_id.is_some_and(|id| ids.contains(&id)))
        })
        .filter(|row| filter.script_names.is_empty() || filter.script_names.contains(&row.script_name))
        .filter(|row| filter.status.as_ref().is_none_or(|word| row.status.status_and_result_code().0 == word))
        .filter(|row| filter.is_first_order.is_none_or(|first| (row.wave == 1) == first))
        .filter(|row| filter.runs_command.is_none_or(|runs| row.command.is_some() == runs))
        .filter(|row| within(row))
        .cloned()
        .collect()
}

fn filters() -> BTreeMap<&'static str, RecordFilter> {
    let all = RecordFilter::default;
    let script_ids = || Some(vec![ScriptId(script_id(1)), ScriptId(script_id(2))]);
    let seconds = |seconds| Some(now() + chrono::TimeDelta::seconds(seconds));
    BTreeMap::from([
        ("all", all()),
        ("task", RecordFilter { task_id: Some(task_id(5)), ..all() }),
        ("desktops", RecordFilter { desktop_ids: vec!["desktop-1".into(), "desktop-4".into()], ..all() }),
        ("scripts", RecordFilter { script_ids: script_ids(), ..all() }),
        ("name of old revisions", RecordFilter { script_names: vec!["script-1-0".into()], ..all() }),
        ("success", RecordFilter { status: Some("SUCCESS".into()), ..all() }),
        ("skipped", RecordFilter { status: Some("SKIPPED".into()), ..all() }),
        ("gray wave", RecordFilter { is_first_order: Some(true), ..all() }),
        ("later waves", RecordFilter { is_first_order: Some(false), ..all() }),
        ("commands", RecordFilter { runs_command: Some(true), ..all() }),
        ("scripts only", RecordFilter { runs_command: Some(false), ..all() }),
        ("since", RecordFilter { period: Period { from: seconds(3), until: None }, ..all() }),
        ("until", RecordFilter { period: Period { from: None, until: seconds(4) }, ..all() }),
        (
            "scripts of a desktop that failed in a period",
            RecordFilter {
                desktop_ids: vec!["desktop-2".into()],
                script_ids: script_ids(),
                status: Some("FAILED".into()),
                period: Period { from: seconds(1), until: seconds(6) },
                ..all()
            },
        ),
    ])
}

#[tokio::test]
async fn each_filter_finds_the_same_records_as_a_scan() {
    let database = database().await.unwrap();
    insert_tasks(&database.store).await;
    let all = all_records(&database.store).await;
    assert_eq!(all.len(), 38, "the pattern of the test data");
    let mut connection = database.store.acquire().await.unwrap();
    for (name, filter) in filters() {
        for latest_only in [false, true] {
            let filter = RecordFilter { latest_only, ..filter.clone() };
            let expected = expected(&all, &filter);
            assert!(latest_only || !expected.is_empty(), "{name}: the filter must find something");
            let page = |offset, limit| Page::new(SCRIPT_LISTS, Some(offset), Some(limit)).unwrap();
            record::catch_up(&mut connection, &project(), &filter).await.unwrap();
            let (count, rows) =
                record::list(&mut connection, &project(), &filter, page(0, 100)).await.unwrap();
            assert_eq!(usize::try_from(count).unwrap(), expected.len(), "{name}, latest only: {latest_only}");
            assert_eq!(rows, expected, "{name}, latest only: {latest_only}");
            let (count, rows) = record::list(&mut connection, &project(), &filter, page(1, 2)).await.unwrap();
            assert_eq!(usize::try_from(count).unwrap(), expected.len());
            assert_eq!(rows, expected.iter().skip(1).take(2).cloned().collect::<Vec<_>>(), "{name}");
            let (count, rows) =
                record::list(&mut connection, &project(), &filter, page(99, 2)).await.unwrap();
            assert_eq!((usize::try_from(count).unwrap(), rows.len()), (expected.len(), 0), "{name}");
        }
    }
}

#[tokio::test]
async fn lists_have_own_connections_and_a_short_time_limit() {
    let database = database().await.unwrap();
    let store = Store::connect(&PoolOptions {
        max_connections: 2,
        list_connections: 1,
        list_timeout: Duration::from_millis(50),
        ..PoolOptions::new(&database.url)
    })
    .unwrap();
    let mut list = store.for_lists().acquire().await.unwrap();
    let slow = sqlx::query("SELECT pg_sleep(10)").execute(&mut *list).await.unwrap_err();
    assert!(store::Error::from(slow).is_timeout());
    // The only connection for lists is taken, and a change needs none of them.
    let tx = store.begin().await.unwrap();
    store.commit(tx).await.unwrap();
}
