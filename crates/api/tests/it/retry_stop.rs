//! Retry and stop, from the request to the stored rows.

use axum::http::Method;
use domain::outcome::Outcome;
use serde_json::{Value, json};

use crate::harness::{Harness, TOKEN, ids};

/// Outcomes of a task's records, by desktop, in plan order.
async fn statuses(harness: &Harness, task_id: &str) -> Vec<(String, String)> {
    let records = harness.get(&format!("/script-execution-records?script_task_id={task_id}&limit=100")).await;
    let text = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
    let records = records["script_records"].as_array().unwrap();
    records.iter().map(|record| (text(record, "resource_id"), text(record, "status"))).collect()
}

async fn task(harness: &Harness, task_id: &str) -> Value {
    harness.get(&format!("/script-execution-tasks?task_id={task_id}")).await["script_tasks"][0].clone()
}

#[tokio::test]
async fn a_retry_runs_what_did_not_succeed_and_keeps_the_gray_rule() {
    let harness = Harness::new().await;
    harness.desktops(6).await;
    let script = harness.create_script("s", "true").await;
    let body = json!({"resource_ids": ids(6), "script_ids": [script], "gray_resource_ids": ["desktop-4", "desktop-5"],
                      "gray_fail_threshold": 1, "execution_timeout": 7});
    let old = harness.execute(&body).await;
    harness.run(&old, &[Outcome::Success, Outcome::Failed]).await;
    assert_eq!(task(&harness, &old).await["status"], "FAILED");
    // A later revision must not replace the failed one.
    harness
        .call(Method::PUT, &format!("/scripts/{script}"), Some(&json!({"name": "new", "content": "false"})))
        .await;

    let retried = harness.post("/script-executions/retry", &json!({"task_id": old})).await;
    let new = retried.body["task_id"].as_str().unwrap_or_else(|| panic!("{}", retried.body)).to_owned();
    let (old_task, new_task) = (task(&harness, &old).await, task(&harness, &new).await);
    assert_eq!(new_task["retry_of"], old.as_str());
    assert_eq!(old_task["retried_by"], json!([new]));
    assert_eq!(new_task["task_scripts"][0]["name"], "s", "the revision that failed");
    // The failed canary comes first; the successful one is not retried.
    assert_eq!(new_task["gray_resource_ids"], json!(["desktop-5", "desktop-0"]));
    assert_eq!(new_task["resource_ids"].as_array().unwrap().len(), 5);
    let native = harness.native(&format!("/tasks/{new}")).await;
    assert_eq!((&native["attempt"], &native["execution_timeout_ms"]), (&json!(2), &json!(420_000)));
    assert_eq!(native["waves"][0]["fail_threshold"], "1");

    harness.run(&new, &[Outcome::Success; 2]).await;
    harness.run(&new, &[Outcome::Success; 3]).await;
    let ended = task(&harness, &new).await;
    assert_eq!((&ended["status"], &ended["success_num"]), (&json!("SUCCESS"), &json!(5)));

    let nothing =
        harness.refusal(Method::POST, "/script-executions/retry", Some(&json!({"task_id": new}))).await;
    assert_eq!(nothing.0, 409);
    assert!(nothing.1.contains("nothing to retry"), "{}", nothing.1);
    let twice =
        harness.refusal(Method::POST, "/script-executions/retry", Some(&json!({"task_id": old}))).await;
    assert!(twice.0 == 409 && twice.1.contains(&new), "{twice:?}");
}

#[tokio::test]
async fn retry_of_a_deleted_script_is_warned_of() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let script = harness.create_script("s", "true").await;
    let old = harness.execute(&json!({"resource_ids": ids(1), "script_ids": [script]})).await;
    harness.run(&old, &[Outcome::Failed]).await;
    let deleted = harness.call(Method::DELETE, &format!("/scripts/{script}"), None).await;
    assert!(deleted.status.is_success(), "{}", deleted.body);
    let path = format!("/v1/projects/project-1/tasks/{old}/retry");
    let retried = harness.call_as(TOKEN, Method::POST, &path, Some(&json!({}))).await;
    let warnings = &retried.body["warnings"];
    assert_eq!(warnings[0]["code"], "SCRIPT_DELETED", "{}", retried.body);
    assert!(warnings[0]["message"].as_str().unwrap().starts_with("script \"s\" is deleted"), "{warnings}");
}

#[tokio::test]
async fn scripts_that_succeeded_are_not_run_again() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let one = harness.create_script("one", "true").await;
    let two = harness.create_script("two", "true").await;
    let old = harness.execute(&json!({"resource_ids": ids(3), "script_ids": [one, two]})).await;
    use Outcome::{Failed, Skipped, Success};
    harness.run_scripts(&old, &[&[Success, Success], &[Success, Failed], &[Failed, Skipped]]).await;

    let retried = harness.post("/script-executions/retry", &json!({"task_id": old})).await;
    let new = retried.body["task_id"].as_str().unwrap().to_owned();
    let targets = harness.native(&format!("/tasks/{new}/targets")).await;
    let brief: Vec<(&str, i64)> = targets["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| (target["desktop_id"].as_str().unwrap(), target["first_script"].as_i64().unwrap()))
        .collect();
    assert_eq!(brief, [("desktop-1", 1), ("desktop-2", 0)]);
    // The worker receives the stop. Later reports do not change a finished script.
    let leased = harness.lease(&new).await;
    assert_eq!(leased.first_scripts.get(&0), Some(&1));
    harness.report(&leased, &[&[Failed, Failed], &[Success, Success]]).await;
    let ended = task(&harness, &new).await;
    assert_eq!(
        (&ended["status"], &ended["success_num"], &ended["failed_num"]),
        (&json!("FAILED"), &json!(3), &json!(1))
    );
    let again = harness.post("/script-executions/retry", &json!({"task_id": new})).await;
    let third = again.body["task_id"].as_str().unwrap();
    let targets = harness.native(&format!("/tasks/{third}/targets")).await;
    assert_eq!(targets["targets"][0]["first_script"], 1);
    assert_eq!(harness.native(&format!("/tasks/{third}")).await["attempt"], 3);
}

#[tokio::test]
async fn one_record_is_retried_alone_and_the_rest_without_it() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let one = harness.create_script("one", "true").await;
    let two = harness.create_script("two", "true").await;
    let old = harness.execute(&json!({"resource_ids": ids(3), "script_ids": [one, two]})).await;
    let waiting = json!({"record_id": format!("{old}-1-1-1")});
    let refused = harness.refusal(Method::POST, "/script-executions/retry", Some(&waiting)).await;
    assert!(refused.0 == 409 && refused.1.contains("has not ended"), "{refused:?}");
    use Outcome::{Failed, Skipped, Success};
    harness.run_scripts(&old, &[&[Success, Success], &[Success, Failed], &[Failed, Skipped]]).await;

    let retried = harness.post("/script-executions/retry", &waiting).await;
    let new = retried.body["task_id"].as_str().unwrap_or_else(|| panic!("{}", retried.body)).to_owned();
    let new_task = task(&harness, &new).await;
    assert_eq!(new_task["resource_ids"], json!(["desktop-1"]));
    assert_eq!(new_task["task_scripts"], json!([{"id": two, "name": "two"}]));
    assert_eq!(new_task["gray_resource_ids"], json!([]));
    let native = harness.native(&format!("/tasks/{new}")).await;
    assert_eq!(native["retry_of"], json!({"task_id": old, "ordinal": 1, "script": 1}));

    let succeeded = json!({"record_id": format!("{old}-0-0-1")});
    let refused = harness.refusal(Method::POST, "/script-executions/retry", Some(&succeeded)).await;
    assert!(refused.0 == 409 && refused.1.contains("succeeded"), "{refused:?}");
    let refused = harness.refusal(Method::POST, "/script-executions/retry", Some(&waiting)).await;
    assert!(refused.0 == 409 && refused.1.contains(&new), "{refused:?}");

    let rest = harness.post("/script-executions/retry", &json!({"task_id": old})).await;
    let rest = rest.body["task_id"].as_str().unwrap().to_owned();
    assert_eq!(task(&harness, &rest).await["resource_ids"], json!(["desktop-2"]));
    assert_eq!(task(&harness, &old).await["retried_by"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_retry_goes_on_without_a_task_that_is_over_its_age() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let body = json!({"resource_ids": ids(2), "command": "true", "command_type": "SHELL"});
    let old = harness.execute(&body).await;
    harness.run(&old, &[Outcome::Success, Outcome::Failed]).await;
    let retried = harness.post("/script-executions/retry", &json!({"task_id": old})).await;
    let new = retried.body["task_id"].as_str().unwrap().to_owned();
    harness.run(&new, &[Outcome::Failed]).await;
    let mut connection = harness.database.store.acquire().await.unwrap();
    store::retention::delete_tasks(&mut connection, &[old.parse().unwrap()]).await.unwrap();

    assert_eq!(task(&harness, &new).await["retry_of"], old.as_str());
    for call in ["/script-executions/retry", "/script-executions/stop"] {
        let refused = harness.refusal(Method::POST, call, Some(&json!({"task_id": old}))).await;
        assert!(refused.0 == 404 && refused.1.contains("does not exist"), "{call}: {refused:?}");
    }
    let again = harness.post("/script-executions/retry", &json!({"task_id": new})).await;
    let third = again.body["task_id"].as_str().unwrap_or_else(|| panic!("{}", again.body));
    assert_eq!(task(&harness, third).await["resource_ids"], json!(["desktop-1"]));
}

#[tokio::test]
async fn a_task_that_goes_while_its_retry_waits_for_it_does_not_exist() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let body = json!({"resource_ids": ids(1), "command": "true", "command_type": "SHELL"});
    let old = harness.execute(&body).await;
    harness.run(&old, &[Outcome::Failed]).await;
    let mut tx = harness.database.store.begin().await.unwrap();
    sqlx::query("SELECT FROM task FOR UPDATE").execute(&mut *tx).await.unwrap();
    let goes = async {
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity
             WHERE datname = current_database())";
        while harness.count(waiting).await == 0 {}
        store::retention::delete_tasks(&mut tx, &[old.parse().unwrap()]).await.unwrap();
        harness.database.store.commit(tx).await.unwrap();
    };
    let retry = json!({"task_id": old});
    let (refused, ()) =
        tokio::join!(harness.refusal(Method::POST, "/script-executions/retry", Some(&retry)), goes);
    assert!(refused.0 == 404 && refused.1.contains("does not exist"), "{refused:?}");
}

#[tokio::test]
async fn a_stopped_task_admits_nothing_more_and_can_be_retried() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let body = json!({"resource_ids": ids(4), "command": "true", "command_type": "SHELL",
                      "gray_count": 2, "gray_fail_threshold": 1});
    let task_id = harness.execute(&body).await;
    let leased = harness.lease(&task_id).await;
    let running =
        harness.refusal(Method::POST, "/script-executions/retry", Some(&json!({"task_id": task_id}))).await;
    assert!(running.0 == 409 && running.1.contains("has not ended"), "{running:?}");

    let stopped = harness.post("/script-executions/stop", &json!({"task_id": task_id})).await;
    assert_eq!(stopped.status, 200, "{}", stopped.body);
    assert_eq!(
        task(&harness, &task_id).await["status"],
        "RUNNING",
        "the task runs until its running scripts end"
    );
    assert_eq!(harness.native(&format!("/tasks/{task_id}")).await["status"], "STOPPING");
    assert_eq!(harness.engine.stops(&Harness::worker()).await.unwrap().len(), 2);
    harness.report(&leased, &[&[Outcome::Stopped], &[Outcome::Stopped]]).await;

    let ended = task(&harness, &task_id).await;
    assert_eq!(
        (&ended["status"], &ended["failed_num"], &ended["skip_num"]),
        (&json!("FAILED"), &json!(2), &json!(2))
    );
    let native = harness.native(&format!("/tasks/{task_id}")).await;
    assert_eq!(
        (&native["status"], &native["reason"]),
        (&json!("STOPPED"), &json!("stopped by configuration"))
    );
    let words: Vec<String> =
        statuses(&harness, &task_id).await.into_iter().map(|(_, status)| status).collect();
    assert_eq!(words, ["STOPPED", "STOPPED", "SKIPPED", "SKIPPED"]);
    // A second stop changes nothing.
    assert_eq!(harness.post("/script-executions/stop", &json!({"task_id": task_id})).await.status, 200);
    let retried = harness.post("/script-executions/retry", &json!({"task_id": task_id})).await;
    let new = retried.body["task_id"].as_str().unwrap();
    assert_eq!(task(&harness, new).await["resource_ids"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn one_record_is_stopped_and_the_others_go_on() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let one = harness.create_script("one", "true").await;
    let two = harness.create_script("two", "true").await;
    let task_id = harness.execute(&json!({"resource_ids": ids(2), "script_ids": [one, two]})).await;
    // Before admission: the record is stopped immediately and ends in its turn.
    let stop = json!({"record_id": format!("{task_id}-1-0-1")});
    assert_eq!(harness.post("/script-executions/stop", &stop).await.status, 200);
    let of_desktop_1 = |all: Vec<(String, String)>| -> Vec<String> {
        all.into_iter().filter(|(id, _)| id == "desktop-1").map(|(_, status)| status).collect()
    };
    assert_eq!(of_desktop_1(statuses(&harness, &task_id).await), ["STOPPED", "SKIPPED"]);
    let stopped =
        harness.get(&format!("/script-execution-records?script_task_id={task_id}&status=STOPPED")).await;
    assert_eq!(stopped["count"], 1);
    harness.run_scripts(&task_id, &[&[Outcome::Success, Outcome::Success]]).await;
    assert_eq!(of_desktop_1(statuses(&harness, &task_id).await), ["STOPPED", "SKIPPED"]);
    let ended = task(&harness, &task_id).await;
    assert_eq!((&ended["status"], &ended["success_num"]), (&json!("FAILED"), &json!(2)));
}

#[tokio::test]
async fn retry_and_stop_say_what_is_wrong() {
    let harness = Harness::new().await;
    for call in ["/script-executions/retry", "/script-executions/stop"] {
        for (body, status, word) in [
            (json!({}), 400, "task_id: name a task or a record"),
            (json!({"task_id": "a", "record_id": "b"}), 400, "exclude each other"),
            (json!({"task_id": "x"}), 404, "does not exist"),
            (json!({"task_id": "0".repeat(32)}), 404, "does not exist"),
            (json!({"record_id": format!("{}-0-0-1", "0".repeat(32))}), 404, "does not exist"),
            (json!({"record_id": "x"}), 404, "does not exist"),
            (json!({"record_id": [{"id": 1}]}), 400, "record_id"),
        ] {
            let refused = harness.refusal(Method::POST, call, Some(&body)).await;
            assert!(refused.0 == status && refused.1.contains(word), "{call} {body}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn a_retry_keeps_waves_thresholds_and_policy() {
    let harness = Harness::new().await;
    harness.desktops(20).await;
    let body = json!({
        "resource_ids": ids(20), "command": "true", "command_type": "SHELL",
        "rollout": {
            "waves": [
                {"count": 2, "fail_threshold": {"percent": 50}},
                {"count": 5, "fail_threshold": {"count": 4}},
                {"rest": true, "fail_threshold": {"count": 3}},
            ],
            "strict": true, "max_concurrency": 9, "fail_threshold": {"count": 6},
        },
    });
    let old = harness.execute(&body).await;
    harness.run(&old, &[Outcome::Success, Outcome::Failed]).await;
    assert_eq!(task(&harness, &old).await["status"], "FAILED");
    let retried = harness.post("/script-executions/retry", &json!({"task_id": old})).await;
    let new = harness.native(&format!("/tasks/{}", retried.body["task_id"].as_str().unwrap())).await;
    let waves: Vec<(i64, &str)> = new["waves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|wave| (wave["size"].as_i64().unwrap(), wave["fail_threshold"].as_str().unwrap()))
        .collect();
    // Nineteen targets remain, so the last wave is one target smaller.
    assert_eq!(waves, [(2, "50%"), (5, "4"), (12, "3")]);
    assert_eq!(
        [&new["strict"], &new["max_concurrency"], &new["fail_threshold"]],
        [&json!(true), &json!(9), &json!("6")]
    );
}

#[tokio::test]
async fn stopped_retry_keeps_scripts_done_by_the_earlier_task() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let one = harness.create_script("one", "true").await;
    let two = harness.create_script("two", "true").await;
    let old = harness.execute(&json!({"resource_ids": ids(1), "script_ids": [one, two]})).await;
    harness.run_scripts(&old, &[&[Outcome::Success, Outcome::Failed]]).await;
    let retried = harness.post("/script-executions/retry", &json!({"task_id": old})).await;
    let new = retried.body["task_id"].as_str().unwrap().to_owned();
    harness.post("/script-executions/stop", &json!({"task_id": new})).await;
    let words: Vec<String> = statuses(&harness, &new).await.into_iter().map(|(_, status)| status).collect();
    assert_eq!(words, ["SUCCESS", "SKIPPED"]);
    let done = json!({"record_id": format!("{new}-0-0-2")});
    let refused = harness.refusal(Method::POST, "/script-executions/retry", Some(&done)).await;
    assert!(refused.0 == 409 && refused.1.contains("succeeded"), "{refused:?}");
    let left = json!({"record_id": format!("{new}-0-1-2")});
    assert_eq!(harness.post("/script-executions/retry", &left).await.status, 200);
}

#[tokio::test]
async fn stopped_waiting_record_is_retried_only_after_its_turn() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let body = json!({"resource_ids": ids(3), "command": "true", "command_type": "SHELL", "gray_count": 2});
    let task_id = harness.execute(&body).await;
    let record = json!({"record_id": format!("{task_id}-2-0-1")});
    harness.post("/script-executions/stop", &record).await;
    let refused = harness.refusal(Method::POST, "/script-executions/retry", Some(&record)).await;
    assert!(refused.0 == 409 && refused.1.contains("has not ended"), "{refused:?}");
    harness.run(&task_id, &[Outcome::Success; 2]).await;
    while harness.engine.admit_all(Harness::now()).await.unwrap() {}
    assert_eq!(harness.post("/script-executions/retry", &record).await.status, 200);
}
