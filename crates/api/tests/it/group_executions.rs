//! Executions by tag and by pool, and lists of their tasks.

use axum::http::Method;
use domain::outcome::Outcome;
use serde_json::json;

use crate::harness::Harness;

const BY_TAG: &str = "/script-executions/by-desktop-tag";
const ON_POOL: &str = "/desktop-pools/pool-1/script-executions";
const POOL_TASKS: &str = "/desktop-pools/script-execution-tasks/detail";

#[tokio::test]
async fn a_pool_runs_it_on_all_or_some_of_its_desktops() {
    let harness = Harness::new().await;
    harness.online_in_pool(4, "pool-1").await;
    let script = harness.create_script("s", "true").await;
    let body = json!({"script_ids": [script], "gray_count": 2, "gray_desktop_ids": ["desktop-3"],
                      "gray_fail_threshold": 1});
    let all = harness.post(ON_POOL, &body).await.body["task_id"].as_str().unwrap().to_owned();
    let some = json!({"command_content": "true", "command_type": "SHELL", "desktop_ids": ["desktop-2", "desktop-1"]});
    let some = harness.post(ON_POOL, &some).await.body["task_id"].as_str().unwrap().to_owned();

    let listed = harness.get(&format!("/script-execution-tasks?task_id={all}&task_id={some}")).await;
    assert_eq!(listed["script_tasks"][0]["resource_ids"], json!(["desktop-2", "desktop-1"]));
    assert_eq!(listed["script_tasks"][1]["gray_resource_ids"][0], "desktop-3");
    for task in listed["script_tasks"].as_array().unwrap() {
        assert_eq!(
            (&task["resource_group_type"], &task["resource_group_id"]),
            (&json!("DESKTOP_POOL"), &json!("pool-1"))
        );
    }
    // One minute, the default.
    assert_eq!(harness.native(&format!("/tasks/{all}")).await["execution_timeout_ms"], 60_000);

    let pool_tasks = harness.get(&format!("{POOL_TASKS}?desktop_pool_id=pool-1")).await;
    assert_eq!(pool_tasks["total_count"], 2);
    let first = &pool_tasks["script_execution_tasks"][1];
    assert_eq!((&first["desktop_pool_id"], &first["status"]), (&json!("pool-1"), &json!("INIT")));
    assert_eq!(first["scripts"], json!([{"id": script, "name": "s"}]));
    harness.engine.admit_all(Harness::now()).await.unwrap();
    let word = async |task_id: &str| {
        let found = harness.get(&format!("{POOL_TASKS}?task_id={task_id}")).await;
        found["script_execution_tasks"][0]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(word(&some).await, "RUNNING");
    harness.run_some(&some, Outcome::Success).await;
    assert_eq!(word(&some).await, "FINISH");
    let finished = harness.get(&format!("{POOL_TASKS}?status=SUCCESS&task_type=COMMAND")).await;
    assert_eq!(finished["script_execution_tasks"][0]["command_content"], "true");
    assert_eq!(harness.get(&format!("{POOL_TASKS}?status=FAILED")).await["total_count"], 0);
    let records = harness.get("/script-execution-records?resource_group_id=pool-1").await;
    assert!(records["count"].as_i64().unwrap() > 0);
}

#[tokio::test]
async fn a_tag_runs_it_on_all_that_have_it() {
    let harness = Harness::new().await;
    harness.online_in_pool(3, "pool-1").await;
    let body = json!({"desktop_tag": "group=test", "command_content": "true", "command_type": "SHELL"});
    let task_id = harness.post(BY_TAG, &body).await.body["task_id"].as_str().unwrap().to_owned();
    let task = harness.native(&format!("/tasks/{task_id}")).await;
    assert_eq!((&task["desktop_tag"], &task["target_count"]), (&json!("group=test"), &json!(3)));
    assert_eq!(task["command"], json!({"command_type": "SHELL", "content": "true"}));
    // This desktop has no pool.
    assert_eq!(harness.get(POOL_TASKS).await["total_count"], 0);
    assert_eq!(harness.get("/script-execution-tasks?resource_group_type=DESKTOP_POOL").await["count"], 0);
    assert_eq!(harness.get("/script-execution-tasks?resource_group_type=OTHER").await["count"], 0);
}

#[tokio::test]
async fn what_is_wrong_is_named_as_the_call_names_it() {
    let harness = Harness::new().await;
    harness.online_in_pool(3, "pool-1").await;
    let with = |more: serde_json::Value| {
        let mut body =
            json!({"desktop_tag": "group=test", "command_content": "true", "command_type": "SHELL"});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    for (body, status, word) in [
        (json!({"command_content": "true", "command_type": "SHELL"}), 400, "desktop_tag: name a tag"),
        (with(json!({"desktop_tag": "group"})), 400, "k=v"),
        (with(json!({"desktop_tag": "group=other"})), 404, "no desktop has the tag"),
        (with(json!({"command_type": null})), 400, "command_type: a command needs a type"),
        (with(json!({"script_ids": ["x"]})), 404, "script"),
        (with(json!({"gray_count": 1001})), 400, "gray_count: 1001 is out of range: 0 to 1000"),
        (with(json!({"gray_fail_threshold": 0, "gray_count": 2})), 400, "1 to 1000"),
        (
            with(json!({"gray_count": 2, "gray_fail_threshold": 2})),
            400,
            "less than the size of the gray wave",
        ),
        (
            with(json!({"gray_desktop_ids": ["other"], "gray_count": 2})),
            400,
            "gray_desktop_ids: other is not among",
        ),
        (with(json!({"execution_timeout": 0})), 400, "1 to 600"),
        (with(json!({"post_finish": "hibernate"})), 400, "post_finish"),
        (with(json!({"pre_start": "REBOOT"})), 400, "pre_start: not supported"),
        (
            with(json!({"post_finish": "STOP", "rollout": {"post_finish": "reboot"}})),
            400,
            "post_finish: is given twice",
        ),
        (with(json!({"rollout": {"on_halt": "burn"}})), 400, "rollout.on_halt"),
        (with(json!({"desktop_ids": ["desktop-1"]})), 400, "desktop_ids: a tag selects every desktop"),
    ] {
        let refused = harness.refusal(Method::POST, BY_TAG, Some(&body)).await;
        assert!(refused.0 == status && refused.1.contains(word), "{body}: {refused:?}");
    }
    let strangers =
        json!({"command_content": "true", "command_type": "SHELL", "desktop_ids": ["desktop-1", "other"]});
    let refused = harness.refusal(Method::POST, ON_POOL, Some(&strangers)).await;
    assert!(
        refused.0 == 400 && refused.1.contains("desktop_ids: desktops are not in the pool: other ("),
        "{refused:?}"
    );
    let none = json!({"command_content": "true", "command_type": "SHELL", "desktop_ids": []});
    let refused = harness.refusal(Method::POST, ON_POOL, Some(&none)).await;
    assert!(refused.0 == 400 && refused.1.contains("leave the list out for the whole pool"), "{refused:?}");
    let nowhere = "/desktop-pools/pool-9/script-executions";
    assert_eq!(harness.refusal(Method::POST, nowhere, Some(&strangers)).await.0, 404);
    assert_eq!(harness.count("SELECT count(*) FROM task").await, 0);
}

#[tokio::test]
async fn desktops_in_detail() {
    let harness = Harness::new().await;
    harness.online_in_pool(3, "pool-1").await;
    let names = async |query: &str| -> Vec<String> {
        let answer = harness.get(&format!("/desktops/detail{query}")).await;
        let desktops = answer["desktops"].as_array().unwrap();
        assert_eq!(answer["total_count"], desktops.len());
        desktops.iter().map(|desktop| desktop["computer_name"].as_str().unwrap().to_owned()).collect()
    };
    let all = ["computer-0", "computer-1", "computer-2"];
    assert_eq!(names("").await, all);
    assert_eq!(
        names("?sort_field=computer_name&sort_type=DESC").await,
        ["computer-2", "computer-1", "computer-0"]
    );
    assert_eq!(
        names("?computer_names=computer-1&computer_names=computer-2").await,
        ["computer-1", "computer-2"]
    );
    assert_eq!(names("?tag=group=test&pool_id=pool-1,pool-2&status=ACTIVE&agent_version=test").await, all);
    assert_eq!(names("?is_share_desktop=false&enterprise_project_id=0&domain_status=3").await, all);
    for nothing in [
        "without_any_tag=true",
        "user_name=alice",
        "status=ERROR",
        "in_maintenance_mode=true",
        "domain_status=1",
    ] {
        assert!(names(&format!("?{nothing}")).await.is_empty(), "{nothing}");
    }
    let one = harness.get("/desktops/detail?desktop_id=desktop-1").await["desktops"][0].clone();
    assert_eq!((&one["login_status"], &one["status"]), (&json!("REGISTERED"), &json!("ACTIVE")));
    assert_eq!((&one["ipv4"], &one["ip_addresses"]), (&json!("127.0.0.1"), &json!(["127.0.0.1"])));
    assert_eq!(harness.refusal(Method::GET, "/desktops/detail?limit=501", None).await.0, 400);
}
