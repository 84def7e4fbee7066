//! Lists at any offset, from maintained numbers and the projection of the newest records.

use chrono::TimeDelta;
use domain::{
    ids::{ProjectId, TaskId},
    page::Page,
    task::TaskStatus,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use store::{
    desktop::{self, DesktopFilter, DesktopOrder},
    projection,
    record::{self, RecordFilter},
    snapshot,
    task::{self, TaskFilter},
};
use testkit::{LargeSize, TestDatabase, database, project, seed_large};
use uuid::Uuid;

use super::now;

const ORDERS: [(DesktopOrder, &str); 5] = [
    (DesktopOrder::Id, "desktop_id"),
    (DesktopOrder::Name, "computer_name, desktop_id"),
    (DesktopOrder::NameDescending, "computer_name DESC, desktop_id DESC"),
    (DesktopOrder::Created, "created_at, desktop_id"),
    (DesktopOrder::CreatedDescending, "created_at DESC, desktop_id DESC"),
];

pub(crate) async fn execute(connection: &mut PgConnection, statement: &str) {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(connection).await.unwrap();
}

/// Opens a connection with a setting of every pool: compilation takes longer than these statements.
pub(crate) async fn connect(database: &TestDatabase) -> PgConnection {
    let mut connection = database.connection().await.unwrap();
    execute(&mut connection, "SET jit = off").await;
    connection
}

pub(crate) async fn number(connection: &mut PgConnection, query: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(connection).await.unwrap()
}

/// Adds desktops from `first` on: two of three names repeat, and times fall.
async fn add_desktops(connection: &mut PgConnection, first: i32, desktops: i32) {
    let statement = format!(
        "INSERT INTO desktop (project_id, desktop_id, canonical_id, computer_name, os_host_name, os_type, ip_address,
             pool_id, availability_zone, agent_version, tags, worker_id, presence_at, created_at)
         SELECT 'project-1', md5(n::text), md5(n::text), 'pc-' || n % (n % 3 * 100 + 7), '', 'Linux', '', '', '', '', '{{}}',
             CASE WHEN n % 4 = 0 THEN 'worker' END, 'epoch', 'epoch'::timestamptz - n / 5 * interval '1 second'
         FROM generate_series({first}, {first} + {desktops} - 1) AS n"
    );
    execute(connection, &statement).await;
}

/// Folds logged changes. Returns whether more of them wait.
async fn fold(connection: &mut PgConnection) -> bool {
    let is_more = projection::fold_counts(connection).await.unwrap();
    for project_id in projection::changed_projects(connection).await.unwrap() {
        projection::fold_desktops(connection, &project_id).await.unwrap();
    }
    is_more
}

/// Checks all numbers of the project. Returns how many were wrong.
async fn repair(connection: &mut PgConnection) -> u64 {
    let counts = projection::repair_counts(connection).await.unwrap().unwrap();
    counts + u64::from(projection::repair_marks(connection, project().as_str()).await.unwrap().unwrap())
}

/// Compares pages of every order with a query of all desktops.
async fn assert_pages(connection: &mut PgConnection, state: &str) {
    for (order, clause) in ORDERS {
        let all = format!("SELECT desktop_id FROM desktop WHERE retired_at IS NULL ORDER BY {clause}");
        let all: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(all)).fetch_all(&mut *connection).await.unwrap();
        for offset in [0, 1, 999, 1_000, 1_001, 2_500, all.len() - 3, all.len(), all.len() + 7] {
            let page = Page { offset: i64::try_from(offset).unwrap(), limit: 10 };
            let filter = DesktopFilter::default();
            let (total, rows) =
                desktop::list(&mut *connection, &project(), &filter, order, page).await.unwrap();
            assert_eq!(usize::try_from(total).unwrap(), all.len(), "{state}, {order:?}");
            let found: Vec<&str> = rows.iter().map(|row| row.facts.desktop_id.as_str()).collect();
            let expected: Vec<&str> = all.iter().skip(offset).take(10).map(String::as_str).collect();
            assert_eq!(found, expected, "{state}, {order:?}, offset {offset}");
        }
    }
    for is_connected in [false, true] {
        let filter = DesktopFilter { connected: Some(is_connected), ..DesktopFilter::default() };
        let page = Page { offset: 0, limit: 1 };
        let (total, _) =
            desktop::list(&mut *connection, &project(), &filter, DesktopOrder::Id, page).await.unwrap();
        let query = format!(
            "SELECT count(*) FROM desktop WHERE retired_at IS NULL AND (worker_id IS NOT NULL) = {is_connected}"
        );
        assert_eq!(total, number(&mut *connection, &query).await, "{state}, connected: {is_connected}");
    }
}

#[tokio::test]
async fn desktop_pages_are_right_before_and_after_each_fold() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    add_desktops(&mut connection, 0, 4_000).await;
    assert_pages(&mut connection, "without a mark").await;
    let changes = [
        "SELECT",
        "UPDATE desktop SET retired_at = 'epoch', retired_by = 'ann', worker_id = NULL WHERE desktop_id < '4'",
        "UPDATE desktop SET computer_name = 'pc-9' WHERE desktop_id BETWEEN '5' AND '7'",
        "UPDATE desktop SET retired_at = NULL, retired_by = NULL WHERE desktop_id < '2'",
        "UPDATE desktop SET worker_id = 'worker-2' WHERE desktop_id > 'a' AND retired_at IS NULL",
        "DELETE FROM desktop WHERE desktop_id BETWEEN '8' AND '9'",
    ];
    for (step, change) in changes.into_iter().enumerate() {
        execute(&mut connection, change).await;
        add_desktops(&mut connection, 4_000 + i32::try_from(step).unwrap() * 500, 500).await;
        assert_pages(&mut connection, change).await;
        assert!(!fold(&mut connection).await);
        assert_eq!(number(&mut connection, "SELECT count(*) FROM desktop_change").await, 0);
        assert_pages(&mut connection, &format!("{change}, folded")).await;
        assert_eq!(repair(&mut connection).await, 0, "{change}");
    }
    let largest = number(&mut connection, "SELECT max(desktops)::int8 FROM desktop_mark").await;
    assert!((1_000..=2_000).contains(&largest), "{largest}");
}

#[tokio::test]
async fn wrong_numbers_are_found_and_repaired() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    execute(&mut connection, "INSERT INTO project VALUES ('project-1', '', 'epoch')").await;
    add_desktops(&mut connection, 0, 3_000).await;
    fold(&mut connection).await;
    // One change is not folded yet.
    add_desktops(&mut connection, 3_000, 1).await;
    execute(&mut connection, "UPDATE desktop_mark SET desktops = desktops + 1 WHERE sort = 'NAME'").await;
    execute(&mut connection, "UPDATE project_count SET number = 7").await;
    execute(&mut connection, "INSERT INTO project_count VALUES ('project-1', 'TASK', 'RUNNING', 3)").await;
    assert_eq!(repair(&mut connection).await, 3);
    assert_pages(&mut connection, "repaired").await;
    let (total, _) = task::list(
        &mut connection,
        &project(),
        &TaskFilter { statuses: Some(vec![TaskStatus::Running]), ..TaskFilter::default() },
        Page { offset: 0, limit: 1 },
    )
    .await
    .unwrap();
    assert_eq!(total, 0);
    assert_eq!(repair(&mut connection).await, 0);
}

#[tokio::test]
async fn wrong_marks_that_add_up_are_found_and_repaired() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    add_desktops(&mut connection, 0, 4_000).await;
    fold(&mut connection).await;
    for sort in ["ID", "NAME", "CREATED"] {
        let ctids = format!("FROM desktop_mark WHERE sort = '{sort}'");
        let statement = format!(
            "UPDATE desktop_mark SET desktops = desktops + CASE WHEN ctid = (SELECT min(ctid) {ctids}) THEN 1 ELSE -1 END
             WHERE ctid IN (SELECT min(ctid) {ctids} UNION SELECT max(ctid) {ctids})"
        );
        execute(&mut connection, &statement).await;
        assert_eq!(repair(&mut connection).await, 1, "{sort}");
        assert_pages(&mut connection, sort).await;
        assert_eq!(repair(&mut connection).await, 0, "{sort}");
    }
}

#[tokio::test]
async fn snapshot_of_a_list_does_not_see_later_changes() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    let mut other = connect(&database).await;
    add_desktops(&mut connection, 0, 10).await;
    let (filter, page) = (DesktopFilter::default(), Page { offset: 5, limit: 10 });
    let mut tx = snapshot::begin(&mut connection).await.unwrap();
    for state in ["before", "after a change", "after a fold"] {
        let (total, rows) =
            desktop::list(&mut tx, &project(), &filter, DesktopOrder::Id, page).await.unwrap();
        assert_eq!((total, rows.len()), (10, 5), "{state}");
        if state == "before" {
            add_desktops(&mut other, 10, 2).await;
        } else {
            fold(&mut other).await;
        }
    }
    drop(tx);
    let (total, rows) =
        desktop::list(&mut connection, &project(), &filter, DesktopOrder::Id, page).await.unwrap();
    assert_eq!((total, rows.len()), (12, 7));
}

#[tokio::test]
async fn concurrent_changes_of_desktops_take_no_common_lock() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    let mut other = connect(&database).await;
    add_desktops(&mut connection, 0, 100).await;
    fold(&mut connection).await;
    let mut open = other.begin().await.unwrap();
    execute(&mut open, "UPDATE desktop SET worker_id = 'worker-3' WHERE desktop_id < '5'").await;
    execute(&mut connection, "SET lock_timeout = '1s'").await;
    execute(&mut connection, "UPDATE desktop SET worker_id = 'worker-3' WHERE desktop_id > '5'").await;
    fold(&mut connection).await;
    open.commit().await.unwrap();
    assert_pages(&mut connection, "both committed").await;
}

/// A task of the tests: its scripts by number and its desktops.
struct Run<'a> {
    number: u8,
    scripts: &'a [u32],
    desktops: std::ops::Range<u32>,
}

impl Run<'_> {
    fn task_id(&self) -> TaskId {
        let millis = u64::try_from(now().timestamp_millis()).unwrap() + u64::from(self.number);
        TaskId(uuid::Builder::from_unix_timestamp_millis(millis, &[self.number; 10]).into_uuid())
    }

    async fn insert(&self, connection: &mut PgConnection) {
        let Self { scripts, desktops, .. } = self;
        let (id, last) = (self.task_id().0, desktops.end - 1);
        let mut tx = connection.begin().await.unwrap();
        let task = format!(
            "INSERT INTO task (task_id, project_id, status, resource_type, script_count, target_count, gray, plan_seed,
                 plan_hash, plan_picks, execution_timeout_ms, delivery_timeout_ms, grace_ms, attempt, created_at)
             VALUES ('{id}', 'project-1', 'RUNNING', 'DESKTOP', {}, {}, false, 1, decode(repeat('00', 32), 'hex'), '[]',
                 1, 1, 1, 1, 'epoch')",
            scripts.len(),
            desktops.len(),
        );
        execute(&mut tx, &task).await;
        for (place, script) in scripts.iter().enumerate() {
            let script_id = Uuid::from_u128(u128::from(*script) + 1);
            let pinned = format!(
                "INSERT INTO task_script VALUES ('{id}', {place}, '{script_id}', 1, 'script-{script}')"
            );
            execute(&mut tx, &pinned).await;
        }
        let targets = format!(
            "INSERT INTO target SELECT '{id}', {last} - n, 'desktop-' || n, 1, 0
             FROM generate_series({}, {last}) AS n",
            desktops.start
        );
        execute(&mut tx, &targets).await;
        tx.commit().await.unwrap();
    }
}

/// The newest records by a query over all targets, in the order of the list.
async fn newest(connection: &mut PgConnection) -> Vec<(Uuid, i32, i16)> {
    let rows = sqlx::query(
        "SELECT t.task_id, t.ordinal, ts.script FROM target t JOIN task_script ts USING (task_id) JOIN task USING (task_id)
         WHERE NOT EXISTS (SELECT FROM target l JOIN task_script ls USING (task_id) JOIN task USING (task_id)
                           WHERE l.desktop_id = t.desktop_id AND ls.script_id = ts.script_id AND l.task_id > t.task_id)
         ORDER BY t.task_id DESC, t.ordinal, ts.script",
    );
    let rows = rows.fetch_all(connection).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

fn newest_filter() -> RecordFilter {
    RecordFilter { latest_only: true, ..RecordFilter::default() }
}

/// The total number of a list of the newest records.
async fn newest_total(connection: &mut PgConnection) -> i64 {
    let (filter, page) = (newest_filter(), Page { offset: 0, limit: 1 });
    record::catch_up(connection, &project(), &filter).await.unwrap();
    record::list(connection, &project(), &filter, page).await.unwrap().0
}

async fn assert_newest(connection: &mut PgConnection, state: &str) {
    let expected = newest(connection).await;
    let filter = newest_filter();
    record::catch_up(&mut *connection, &project(), &filter).await.unwrap();
    for offset in [0, 1, 1_000, 1_700, expected.len() - 1, expected.len()] {
        let page = Page { offset: i64::try_from(offset).unwrap(), limit: 100 };
        let (total, rows) = record::list(&mut *connection, &project(), &filter, page).await.unwrap();
        assert_eq!(usize::try_from(total).unwrap(), expected.len(), "{state}");
        let found: Vec<_> = rows
            .iter()
            .map(|row| {
                let id = row.record_id;
                (id.task_id.0, i32::try_from(id.ordinal).unwrap(), i16::try_from(id.script).unwrap())
            })
            .collect();
        let page: Vec<_> = expected.iter().skip(offset).take(100).copied().collect();
        assert_eq!(found, page, "{state}, offset {offset}");
    }
}

async fn project_all(connection: &mut PgConnection) {
    let projects: Vec<ProjectId> = projection::waiting_projects(connection, now()).await.unwrap();
    for project_id in projects {
        while let Some(task_id) = projection::next_task(connection, &project_id, now()).await.unwrap() {
            assert!(projection::project_task(connection, &project_id, task_id).await.unwrap());
        }
    }
    assert_eq!(projection::backlog(connection).await.unwrap().tasks, 0);
}

#[tokio::test]
async fn newest_records_are_right_in_any_order_of_tasks() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    let runs = [
        Run { number: 5, scripts: &[1, 2], desktops: 0..1_500 },
        // Accepted earlier and committed later.
        Run { number: 3, scripts: &[2, 3], desktops: 1_000..2_600 },
        Run { number: 4, scripts: &[1], desktops: 100..110 },
        Run { number: 9, scripts: &[2, 1], desktops: 1_400..1_700 },
        Run { number: 7, scripts: &[3, 2, 1], desktops: 5..9 },
    ];
    for run in &runs {
        run.insert(&mut connection).await;
        project_all(&mut connection).await;
        assert_newest(&mut connection, &format!("task {}", run.number)).await;
    }
    let parts = number(&mut connection, "SELECT count(*) FROM newest_record WHERE records = 0").await;
    assert_eq!(parts, 0, "a part without a record has no row");
    // The deletion of a later task makes records of earlier ones the newest again.
    store::retention::delete_tasks(&mut connection, &[runs[3].task_id()]).await.unwrap();
    project_all(&mut connection).await;
    assert_newest(&mut connection, "after a deletion").await;
    for (of_time, of_parts) in [(0, 0), (0, u16::MAX), (22_000, u16::MAX), (30_000, 0), (u16::MAX, 9)] {
        let differs = projection::check_part(&mut connection, of_time, of_parts, now()).await.unwrap();
        assert!(!differs, "{of_time} {of_parts}");
    }
}

#[tokio::test]
async fn small_new_task_is_listed_before_the_loop_runs() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    Run { number: 1, scripts: &[1], desktops: 0..1_990 }.insert(&mut connection).await;
    assert_newest(&mut connection, "first list").await;
    assert_eq!(projection::backlog(&mut connection).await.unwrap().tasks, 0);
    // A large one is left to the loop, and hides no small one.
    Run { number: 2, scripts: &[1], desktops: 2_000..4_010 }.insert(&mut connection).await;
    Run { number: 3, scripts: &[1], desktops: 5_000..5_005 }.insert(&mut connection).await;
    assert_eq!(newest_total(&mut connection).await, 1_995);
    assert_eq!(projection::backlog(&mut connection).await.unwrap().tasks, 1);
    // One list projects 2,000 targets at most.
    Run { number: 4, scripts: &[1], desktops: 6_000..7_500 }.insert(&mut connection).await;
    Run { number: 5, scripts: &[1], desktops: 8_000..8_501 }.insert(&mut connection).await;
    assert_eq!(newest_total(&mut connection).await, 3_495);
    assert_eq!(newest_total(&mut connection).await, 3_996);
}

#[tokio::test]
async fn list_answers_without_tasks_that_it_cannot_project() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    let mut other = connect(&database).await;
    Run { number: 1, scripts: &[1], desktops: 0..5 }.insert(&mut connection).await;
    for obstacle in [
        "SELECT pg_advisory_xact_lock(1735549305, hashtext('project-1'))",
        "SELECT FROM unprojected_task FOR UPDATE",
    ] {
        let mut open = other.begin().await.unwrap();
        execute(&mut open, obstacle).await;
        assert_eq!(newest_total(&mut connection).await, 0, "{obstacle}");
        open.rollback().await.unwrap();
        for setting in ["lock_timeout", "statement_timeout"] {
            let query =
                format!("SELECT count(*) FROM pg_settings WHERE name = '{setting}' AND setting = reset_val");
            assert_eq!(number(&mut connection, &query).await, 1, "{setting} stays for the list");
        }
    }
    assert_eq!(newest_total(&mut connection).await, 5);
}

#[tokio::test]
async fn postponed_task_comes_after_all_others() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    let [old, new] = [1, 2].map(|number| Run { number, scripts: &[1], desktops: 0..5 });
    old.insert(&mut connection).await;
    new.insert(&mut connection).await;
    let later = now() + TimeDelta::minutes(1);
    projection::postpone(&mut connection, old.task_id(), later).await.unwrap();
    let next = async |connection: &mut PgConnection, at| {
        projection::next_task(connection, &project(), at).await.unwrap()
    };
    assert_eq!(next(&mut connection, later).await, Some(new.task_id()));
    // A list leaves it to the loop.
    assert_eq!(newest_total(&mut connection).await, 5);
    assert_eq!(next(&mut connection, now()).await, None);
    assert!(projection::waiting_projects(&mut connection, now()).await.unwrap().is_empty());
    assert_eq!(projection::waiting_projects(&mut connection, later).await.unwrap(), [project()]);
    assert_eq!(next(&mut connection, later).await, Some(old.task_id()));
}

#[tokio::test]
async fn deletion_waits_for_the_projection_of_its_project() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    let mut other = connect(&database).await;
    let [old, new] = [1, 2].map(|number| Run { number, scripts: &[1], desktops: 0..5 });
    old.insert(&mut connection).await;
    new.insert(&mut connection).await;
    let mut open = other.begin().await.unwrap();
    execute(&mut open, "SELECT pg_advisory_xact_lock(1735549305, hashtext('project-1'))").await;
    execute(&mut connection, "SET lock_timeout = '50ms'").await;
    let refused = store::retention::delete_tasks(&mut connection, &[new.task_id()]).await.unwrap_err();
    assert!(refused.is_timeout(), "{refused:?}");
    open.rollback().await.unwrap();
    // Only the older task is projected: its bits are cleared for the newer one, which has none.
    assert!(projection::project_task(&mut connection, &project(), old.task_id()).await.unwrap());
    store::retention::delete_tasks(&mut connection, &[new.task_id()]).await.unwrap();
    project_all(&mut connection).await;
    assert_newest(&mut connection, "the newer task is deleted").await;
}

#[tokio::test]
async fn bits_without_a_task_are_deleted() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    Run { number: 1, scripts: &[1], desktops: 0..5 }.insert(&mut connection).await;
    project_all(&mut connection).await;
    let orphan = "INSERT INTO newest_record (project_id, task_id, part, newest)
                  VALUES ('project-1', gen_random_uuid(), 0, B'111')";
    execute(&mut connection, orphan).await;
    assert_eq!(newest_total(&mut connection).await, 8);
    assert_eq!(projection::delete_orphans(&mut connection, project().as_str()).await.unwrap(), 1);
    assert_newest(&mut connection, "without the orphan").await;
    assert_eq!(projection::delete_orphans(&mut connection, project().as_str()).await.unwrap(), 0);
}

#[tokio::test]
async fn wrong_bits_are_found_and_repaired() {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    let (old, new) = (
        Run { number: 1, scripts: &[1], desktops: 0..50 },
        Run { number: 2, scripts: &[1], desktops: 0..20 },
    );
    old.insert(&mut connection).await;
    new.insert(&mut connection).await;
    project_all(&mut connection).await;
    for damage in [
        "UPDATE newest_record SET newest = ~newest WHERE task_id = (SELECT task_id FROM task ORDER BY 1 LIMIT 1)",
        "DELETE FROM newest_record WHERE task_id = (SELECT task_id FROM task ORDER BY 1 LIMIT 1)",
    ] {
        execute(&mut connection, damage).await;
        assert!(projection::check_part(&mut connection, 0, 9, now()).await.unwrap(), "{damage}");
        project_all(&mut connection).await;
        assert_newest(&mut connection, damage).await;
        assert!(!projection::check_part(&mut connection, 0, 9, now()).await.unwrap());
    }
}

/// Rows and index entries that statements of the transaction have read.
pub(crate) async fn rows_read(connection: &mut PgConnection) -> i64 {
    number(
        connection,
        "SELECT sum(pg_stat_get_xact_tuples_returned(oid))::int8 FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')",
    )
    .await
}

/// A database in which a scan of desktops, targets or records reads at least 20,000 rows.
async fn large() -> (TestDatabase, PgConnection, testkit::LargeDatabase) {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    execute(&mut connection, "INSERT INTO project VALUES ('project-1', '', 'epoch')").await;
    let size = LargeSize { desktops: 20_000, tasks: 100, targets_per_task: 100 };
    let tasks = seed_large(&mut connection, &project(), size, now() + TimeDelta::days(1)).await.unwrap();
    fold(&mut connection).await;
    project_all(&mut connection).await;
    execute(&mut connection, "VACUUM ANALYZE").await;
    // Workers count the rows that they read for themselves.
    execute(&mut connection, "SET max_parallel_workers_per_gather = 0").await;
    execute(&mut connection, "SET plan_cache_mode = force_custom_plan").await;
    (database, connection, tasks)
}

#[tokio::test]
async fn no_list_reads_more_than_a_part_of_a_large_table() {
    const MOST: i64 = 6_000;
    let (_database, mut connection, tasks) = large().await;
    let mut read = Vec::new();
    let page = |offset, limit| Page { offset, limit };
    let mut tx = connection.begin().await.unwrap();
    let mut before = rows_read(&mut tx).await;
    macro_rules! reads {
        ($name:expr, $total:expr, $list:expr) => {
            let (total, rows) = $list.await.unwrap();
            assert_eq!((total, rows.is_empty()), ($total, false), "{}", $name);
            read.push(($name, rows_read(&mut tx).await - before));
            // The measure reads rows as well.
            before = rows_read(&mut tx).await;
        };
    }
    let of_large = RecordFilter { task_id: Some(tasks.large), ..RecordFilter::default() };
    let newest = newest_filter();
    let (project, all) = (project(), DesktopFilter::default());
    for (order, name) in ORDERS {
        reads!(name, 20_000, desktop::list(&mut tx, &project, &all, order, page(0, 1_000)));
        reads!(name, 20_000, desktop::list(&mut tx, &project, &all, order, page(17_000, 1_000)));
    }
    let name = DesktopFilter { computer_names: vec!["pc-cfcd208495".into()], ..DesktopFilter::default() };
    reads!("by name", 1, desktop::list(&mut tx, &project, &name, DesktopOrder::Id, page(0, 10)));
    reads!("records", 20_000, record::list(&mut tx, &project, &of_large, page(0, 100)));
    reads!("records, deep", 20_000, record::list(&mut tx, &project, &of_large, page(18_000, 100)));
    let gray = RecordFilter { is_first_order: Some(false), ..of_large.clone() };
    reads!("second wave", 19_990, record::list(&mut tx, &project, &gray, page(18_000, 100)));
    let total = record::list(&mut tx, &project, &newest, page(0, 1)).await.unwrap().0;
    reads!("newest", total, record::list(&mut tx, &project, &newest, page(0, 100)));
    reads!("newest, deep", total, record::list(&mut tx, &project, &newest, page(total - 5_000, 100)));
    reads!("tasks", 101, task::list(&mut tx, &project, &TaskFilter::default(), page(0, 10)));
    let pages = async |tx: &mut PgConnection, after| {
        let filter = RecordFilter { after: Some(after), ..of_large.clone() };
        record::page(tx, &project, &filter, 100).await.map(|rows| (0, rows))
    };
    reads!("page by token", 0, pages(&mut tx, (17_000, 0)));
    let gray_ids = async |tx: &mut PgConnection| {
        store::target::desktop_ids(tx, &[tasks.large], true, 1_000).await.map(|ids| (0, ids))
    };
    reads!("gray desktops", 0, gray_ids(&mut tx));
    let open = async |tx: &mut PgConnection| {
        task::open(tx, &project, None, 100).await.map(|rows| (i64::try_from(rows.len()).unwrap(), rows))
    };
    reads!("open tasks", 10, open(&mut tx));
    let too_many: Vec<_> = read.iter().filter(|(_, rows)| *rows > MOST).collect();
    assert!(too_many.is_empty(), "{too_many:?} of {read:?}");
    // The measure is honest: a scan is visible.
    number(&mut tx, "SELECT count(*) FROM desktop WHERE os_type = 'Linux'").await;
    assert!(rows_read(&mut tx).await - before >= 20_000);
}
