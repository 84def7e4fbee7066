//! Desktops by the version of their agent, over an index.

use sqlx::{Connection as _, PgConnection};
use store::desktop::{self, DesktopFilter, Retired};
use testkit::{TestDatabase, database, project};

use crate::reads::{connect, execute, number, rows_read};

/// Desktops with the common version.
const FLEET: i64 = 20_000;
/// Desktops with each of the rare versions.
const RARE: i64 = 20;

/// A large fleet: most agents have version 1.4.0, some have others, and one row is of another
/// project.
async fn fleet() -> (TestDatabase, PgConnection) {
    let database = database().await.unwrap();
    let mut connection = connect(&database).await;
    let add = |project: &str, version: &str, desktops: i64| {
        format!(
            "INSERT INTO desktop (project_id, desktop_id, canonical_id, computer_name, os_host_name, os_type, ip_address,
                 pool_id, availability_zone, agent_version, tags, presence_at, created_at)
             SELECT '{project}', id, id, id, '', 'Linux', '', '', '', '{version}', '{{}}', 'epoch', 'epoch'
             FROM generate_series(1, {desktops}) AS n, concat(md5(n::text), '-{version}') AS id"
        )
    };
    execute(&mut connection, &add("project-1", "1.4.0", FLEET)).await;
    for version in ["1.3.0", "1.2.1", ""] {
        execute(&mut connection, &add("project-1", version, RARE)).await;
    }
    execute(&mut connection, &add("project-2", "0.1.0", 1)).await;
    execute(&mut connection, "VACUUM ANALYZE desktop").await;
    execute(&mut connection, "SET max_parallel_workers_per_gather = 0").await;
    execute(&mut connection, "SET plan_cache_mode = force_custom_plan").await;
    (database, connection)
}

fn of(versions: &[&str]) -> DesktopFilter {
    let agent_versions = versions.iter().map(|&version| version.to_owned()).collect();
    DesktopFilter { agent_versions, ..DesktopFilter::default() }
}

#[tokio::test]
async fn versions_are_listed_in_a_step_for_each() {
    let (_database, mut connection) = fleet().await;
    let mut tx = connection.begin().await.unwrap();
    let before = rows_read(&mut tx).await;
    let versions = desktop::agent_versions(&mut tx, &project(), 100).await.unwrap();
    assert_eq!(versions, ["", "1.2.1", "1.3.0", "1.4.0"]);
    let read = rows_read(&mut tx).await - before;
    assert!(read <= 1_000, "{read} rows read for 4 versions of {FLEET} desktops");
    assert_eq!(desktop::agent_versions(&mut tx, &project(), 2).await.unwrap(), ["", "1.2.1"]);
    let none = desktop::agent_versions(&mut tx, &"project-9".parse().unwrap(), 100).await.unwrap();
    assert_eq!(none, [""; 0]);
    // The measure is honest: a scan is visible.
    let before = rows_read(&mut tx).await;
    number(&mut tx, "SELECT count(DISTINCT agent_version || '') FROM desktop").await;
    assert!(rows_read(&mut tx).await - before >= FLEET);
}

#[tokio::test]
async fn rare_versions_are_found_without_a_scan() {
    let (_database, mut connection) = fleet().await;
    let mut tx = connection.begin().await.unwrap();
    let before = rows_read(&mut tx).await;
    let found = desktop::page(&mut tx, &project(), &of(&["1.2.1", "1.3.0"]), 1_000).await.unwrap();
    let read = rows_read(&mut tx).await - before;
    assert_eq!(i64::try_from(found.len()).unwrap(), 2 * RARE);
    assert!(found.iter().all(|row| row.facts.agent_version != "1.4.0"));
    assert!(found.is_sorted_by_key(|row| row.facts.desktop_id.to_string()), "by id, as every page");
    assert!(read <= 1_000, "{read} rows read for {} desktops of {FLEET}", 2 * RARE);
    let after = found[9].facts.desktop_id.as_str().to_owned();
    let next = DesktopFilter { after: Some(after), ..of(&["1.2.1", "1.3.0"]) };
    let next = desktop::page(&mut tx, &project(), &next, 5).await.unwrap();
    assert_eq!(next.as_slice(), &found[10..15]);
    let before = rows_read(&mut tx).await;
    let common = desktop::page(&mut tx, &project(), &of(&["1.4.0"]), 100).await.unwrap();
    let read = rows_read(&mut tx).await - before;
    assert_eq!(common.len(), 100);
    assert!(read <= 1_000, "{read} rows read for a page of the common version");
    let retired = DesktopFilter { retired: Retired::Only, ..of(&["1.3.0"]) };
    assert!(desktop::page(&mut tx, &project(), &retired, 10).await.unwrap().is_empty());
}
