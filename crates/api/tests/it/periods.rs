//! Filters by time: shown times find their objects, and the pages of a period stay as they are.

use axum::http::Method;
use serde_json::{Value, json};

use crate::harness::{Harness, ids};

const TASKS: &str = "/script-execution-tasks";
const RECORDS: &str = "/script-execution-records";

fn count(page: &Value) -> i64 {
    page["count"].as_i64().unwrap()
}

fn list<'a>(page: &'a Value, field: &str) -> Vec<&'a str> {
    let entries = page[field].as_array().unwrap();
    entries.iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

async fn command(harness: &Harness, desktops: u32) -> String {
    let body = json!({"resource_ids": ids(desktops), "command": "true", "command_type": "SHELL"});
    harness.execute(&body).await
}

/// Shifts stored times by a number of seconds. The clock of the harness stands still.
async fn shift(harness: &Harness, statement: &'static str) {
    let mut connection = harness.database.connection().await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn shown_time_of_a_task_or_record_finds_it() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task = command(&harness, 1).await;
    harness.run_scripts(&task, &[&[domain::outcome::Outcome::Success]]).await;
    shift(
        &harness,
        "UPDATE task SET created_at = created_at - interval '9.2 s', started_at = started_at - interval '7.1 s'",
    )
    .await;
    shift(&harness, "UPDATE record SET started_at = started_at - interval '5.6 s'").await;
    for (path, field) in [(TASKS, "script_tasks"), (RECORDS, "script_records")] {
        let shown = harness.get(path).await;
        let start = shown[field][0]["start_time"].as_str().unwrap();
        let found = harness.get(&format!("{path}?execute_time_start={start}&execute_time_end={start}")).await;
        assert_eq!(count(&found), 1, "{path} {start}");
    }
    // Acceptance counts, too. The native family shows it in milliseconds.
    for (start, end, expected) in [
        ("07:59:50.800Z", "07:59:50.800Z", 1),
        ("07:59:50Z", "07:59:50Z", 1),
        ("07:59:51Z", "07:59:51Z", 0),
        ("07:59:52.9Z", "07:59:52.9Z", 1),
        ("07:59:52.8Z", "07:59:52.8Z", 0),
        ("07:59:53Z", "07:59:59Z", 0),
    ] {
        let query = format!("execute_time_start=2027-01-15T{start}&execute_time_end=2027-01-15T{end}");
        assert_eq!(count(&harness.get(&format!("{TASKS}?{query}")).await), expected, "{query}");
    }
}

#[tokio::test]
async fn shown_time_of_a_running_record_finds_it() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task = command(&harness, 1).await;
    harness.lease(&task).await;
    shift(
        &harness,
        "UPDATE batch SET started = jsonb_build_object('0', jsonb_build_array(0, 1799999997432::int8))",
    )
    .await;
    shift(&harness, "UPDATE task SET created_at = created_at - interval '1 h'").await;
    let shown = harness.get(RECORDS).await;
    let start = shown["script_records"][0]["start_time"].as_str().unwrap();
    assert_eq!(start, "2027-01-15T07:59:57Z");
    let found = harness.get(&format!("{RECORDS}?execute_time_start={start}&execute_time_end={start}")).await;
    assert_eq!(count(&found), 1);
}

#[tokio::test]
async fn raw_plus_of_an_offset_is_read_and_otherwise_explained() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    command(&harness, 1).await;
    for path in [TASKS, RECORDS] {
        for (start, expected) in [
            ("2027-01-15T16:00:00+08:00", 1),
            ("2027-01-15T16:00:00%2B08:00", 1),
            ("2027-01-15T16:00:01+08:00", 0),
            ("2027-01-15T03:00:00-05:00", 1),
        ] {
            let found = harness.get(&format!("{path}?execute_time_start={start}")).await;
            assert_eq!(count(&found), expected, "{path} {start}");
        }
        for name in ["execute_time_start", "execute_time_end"] {
            let asked = format!("{path}?{name}=2027-01-15+08:00");
            let (status, message) = harness.refusal(Method::GET, &asked, None).await;
            assert_eq!(status, 400);
            assert!(message.starts_with(name) && message.contains("%2B"), "{message}");
        }
    }
}

#[tokio::test]
async fn pages_of_a_period_stay_while_tasks_are_added() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    for _ in 0..5 {
        command(&harness, 1).await;
    }
    shift(&harness, "UPDATE task SET created_at = created_at - interval '10 s'").await;
    let all = harness.get(&format!("{TASKS}?limit=100")).await;
    let mut found = Vec::new();
    for offset in [0, 2, 4, 6] {
        let query = format!("limit=2&offset={offset}&execute_time_end=2027-01-15T07:59:58Z");
        let page = harness.get(&format!("{TASKS}?{query}")).await;
        assert_eq!(count(&page), 5);
        found.extend(list(&page, "script_tasks").into_iter().map(str::to_owned));
        // One more task, and a start of the old ones.
        command(&harness, 2).await;
        harness.engine.admit_all(Harness::now()).await.unwrap();
    }
    assert_eq!(found, list(&all, "script_tasks"));
}

#[tokio::test]
async fn pages_of_newest_records_stay_while_tasks_are_added() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let script = harness.create_script("s", "true").await;
    let body = json!({"resource_ids": ids(4), "script_ids": [script]});
    let old = harness.execute(&body).await;
    shift(&harness, "UPDATE task SET created_at = created_at - interval '10 s'").await;
    let mut found = Vec::new();
    for offset in [0, 2] {
        let query = format!("limit=2&offset={offset}&execute_time_end=2027-01-15T07:59:58Z");
        let page = harness.get(&format!("{RECORDS}?{query}")).await;
        assert_eq!(count(&page), 4, "{page}");
        found.extend(list(&page, "script_records").into_iter().map(str::to_owned));
        harness.execute(&body).await;
    }
    let expected: Vec<String> = (0..4).map(|ordinal| format!("{old}-{ordinal}-0-1")).collect();
    assert_eq!(found, expected);
    // Without an end, the newer task has the newest records.
    let newest = harness.get(&format!("{RECORDS}?limit=100")).await;
    assert!(list(&newest, "script_records").iter().all(|id| !id.starts_with(&old)));
}

#[tokio::test]
async fn page_waits_for_the_running_second_of_its_end() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    command(&harness, 1).await;
    let path = format!("{TASKS}?execute_time_end=2027-01-15T08:00:00.9999Z");
    let asked = std::time::Instant::now();
    assert_eq!(count(&harness.get(&path).await), 1);
    assert!(asked.elapsed() >= std::time::Duration::from_millis(999));
}
