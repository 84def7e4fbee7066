//! Exports of lists, and executions that select their desktops by pool or tag.

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use domain::outcome::Outcome;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::harness::{Harness, OTHER_TOKEN, TOKEN, ids};

impl Harness {
    async fn export(&self, token: &str, path: &str) -> (u16, HeaderMap, String) {
        let request = Request::builder()
            .uri(format!("/v1/projects/project-1{path}"))
            .header("X-Auth-Token", token)
            .body(Body::empty())
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status.as_u16(), parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn ran(&self, body: &Value) -> String {
        let answer = self.native_post("/executions", body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["task_id"].as_str().unwrap().to_owned()
    }
}

fn column(csv: &str, name: &str) -> Vec<String> {
    let mut lines = csv.split("\r\n");
    let place = lines.next().unwrap().split(',').position(|head| head == name).unwrap();
    lines.filter(|line| !line.is_empty()).map(|line| line.split(',').nth(place).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn caller_has_few_exports_in_progress() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let begin = async || {
        let request = Request::builder()
            .uri("/v1/projects/project-1/exports/desktops")
            .header("X-Auth-Token", TOKEN)
            .body(Body::empty())
            .unwrap();
        harness.router.clone().oneshot(request).await.unwrap()
    };
    let mut unread = Vec::new();
    for _ in 0..domain::limits::MAX_EXPORTS_PER_CALLER {
        unread.push(begin().await);
        assert_eq!(unread.last().unwrap().status(), 200);
    }
    assert_eq!(begin().await.status(), 429);
    unread.pop();
    assert_eq!(begin().await.status(), 200);
}

#[tokio::test]
async fn records_are_exported_as_their_list_filters_them() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let command = json!({"resource_ids": ids(3), "command": "true", "command_type": "SHELL"});
    let task_id = harness.ran(&command).await;
    harness.run(&task_id, &[Outcome::Success, Outcome::Failed, Outcome::Success]).await;
    let path = format!("/tasks/{task_id}/exports/records");
    let (status, headers, csv) = harness.export(TOKEN, &path).await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (200, "text/csv; charset=utf-8; header=present")
    );
    let name = format!("attachment; filename=\"records-{task_id}.csv\"");
    assert_eq!(headers["content-disposition"].to_str().unwrap(), name);
    assert_eq!(column(&csv, "outcome"), ["SUCCESS", "FAILED", "SUCCESS"]);
    assert_eq!(column(&csv, "ordinal"), ["0", "1", "2"]);
    let (_, _, failed) = harness.export(TOKEN, &format!("{path}?status=FAILED")).await;
    assert_eq!(column(&failed, "ordinal"), ["1"]);
    let (_, headers, lines) = harness.export(TOKEN, &format!("{path}?format=jsonl&status=SUCCESS")).await;
    assert_eq!(headers["content-type"], "application/jsonl");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["status"] == "SUCCESS" && line.get("output").is_none()));
    let (_, _, none) = harness.export(TOKEN, &format!("{path}?format=jsonl&wave=7")).await;
    assert_eq!(none, "");
}

#[tokio::test]
async fn targets_are_exported_over_many_pages() {
    let harness = Harness::new().await;
    harness.desktops(2_500).await;
    let command = json!({"resource_ids": ids(2_500), "command": "true", "command_type": "SHELL"});
    let task_id = harness.ran(&command).await;
    let (status, _, csv) = harness.export(TOKEN, &format!("/tasks/{task_id}/exports/targets")).await;
    let ordinals: Vec<u32> = column(&csv, "ordinal").iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!((status, ordinals), (200, (0..2_500).collect()));
}

#[tokio::test]
async fn formulas_of_desktops_are_neutralised() {
    let harness = Harness::new().await;
    let mut facts = testkit::desktop(1);
    facts.computer_name = "=HYPERLINK(\"http://x\",\"y\")".into();
    facts.tags.insert("a".into(), "-1".into());
    harness.connect([facts, testkit::desktop(2)]).await.unwrap();
    let (_, _, csv) = harness.export(TOKEN, "/exports/desktops?desktop_id_prefix=desktop-1").await;
    assert_eq!(csv.matches("\r\n").count(), 2, "{csv}");
    assert!(csv.contains(",\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\","), "{csv}");
    assert!(csv.contains("\"{\"\"a\"\":\"\"-1\"\""), "{csv}");
}

#[tokio::test]
async fn export_refuses_what_its_list_refuses() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let command = json!({"resource_ids": ids(1), "command": "true", "command_type": "SHELL"});
    let task_id = harness.ran(&command).await;
    for (path, status) in [
        (format!("/tasks/{task_id}/exports/records?format=xml"), 400),
        (format!("/tasks/{task_id}/exports/records?wave=0"), 400),
        (format!("/tasks/{}/exports/targets", task_id.replace("019a", "019b")), 404),
        ("/exports/desktops?tag=x".to_owned(), 400),
    ] {
        assert_eq!(harness.export(TOKEN, &path).await.0, status, "{path}");
    }
    let narrow = r#"one={"Version":"5.0","Statement":[{"Effect":"Allow","Action":["graywave:tasks:get"]}]}"#;
    let token = harness.token("alice", &[narrow]).await;
    assert_eq!(harness.export(&token, &format!("/tasks/{task_id}/exports/records")).await.0, 403);
    assert_eq!(harness.export(&token, &format!("/tasks/{task_id}/exports/targets")).await.0, 200);
    assert_eq!(harness.export(OTHER_TOKEN, "/exports/desktops").await.0, 403);
}

#[tokio::test]
async fn pool_and_tag_select_desktops_of_preview_and_run() {
    let harness = Harness::new().await;
    harness.online_in_pool(4, "pool-a").await;
    harness.connect([testkit::desktop(9)]).await.unwrap();
    harness.offline(&[3]).await;
    let body = |selection: Value| {
        let mut body = json!({"command": "true", "command_type": "SHELL", "gray_count": 2});
        body.as_object_mut().unwrap().extend(selection.as_object().unwrap().clone());
        body
    };
    let preview = async |selection: Value| harness.native_post("/executions/preview", &body(selection)).await;
    let by_pool = preview(json!({"desktop_pool_id": "pool-a"})).await;
    assert_eq!(by_pool.status, 200, "{}", by_pool.body);
    assert_eq!(
        (&by_pool.body["target_count"], &by_pool.body["offline"]["desktop_ids"]),
        (&json!(4), &json!(["desktop-3"]))
    );
    assert_eq!(by_pool.body["canaries"].as_array().unwrap().len(), 2);
    assert!(by_pool.body["worst_case"]["failed"].is_u64() && by_pool.body["plan_hash"].is_string());
    let part = preview(
        json!({"desktop_pool_id": "pool-a", "resource_ids": ["desktop-1", "desktop-2"], "gray_count": 1}),
    )
    .await;
    assert_eq!(part.body["target_count"], 2, "{}", part.body);
    let by_tag = preview(json!({"desktop_tag": "group=test"})).await;
    assert_eq!(by_tag.body["target_count"], 4, "{}", by_tag.body);

    for (selection, status, field) in [
        (json!({"desktop_pool_id": "none"}), 404, ""),
        (json!({"desktop_pool_id": "pool-a", "desktop_tag": "group=test"}), 400, "desktop_tag: "),
        (json!({"desktop_tag": "group"}), 400, "desktop_tag: "),
        (json!({"desktop_tag": "group=test", "resource_ids": ["desktop-1"]}), 400, "resource_ids: "),
        (json!({"desktop_pool_id": "pool-a", "resource_ids": ["desktop-9"]}), 400, "resource_ids: "),
        (json!({"desktop_pool_id": "a\u{0}b"}), 404, ""),
        (json!({}), 400, "resource_ids: "),
    ] {
        let answer = preview(selection.clone()).await;
        let message = answer.body["error_msg"].as_str().unwrap_or_default();
        assert_eq!(answer.status, status, "{selection}: {message}");
        assert!(message.starts_with(field), "{selection}: {message}");
    }

    let seed = by_pool.body["seed"].clone();
    let run = body(json!({"desktop_pool_id": "pool-a", "rollout": {"canary": {"seed": seed}}}));
    let task = harness.native_post("/executions", &run).await;
    assert_eq!(task.status, 200, "{}", task.body);
    assert_eq!((&task.body["desktop_pool_id"], &task.body["target_count"]), (&json!("pool-a"), &json!(4)));
    assert_eq!(task.body["plan_hash"], by_pool.body["plan_hash"], "the preview's plan");
}
