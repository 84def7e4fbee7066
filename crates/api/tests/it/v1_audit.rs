//! Details of audit entries, and the audit of reads.

use axum::http::Method;
use domain::script::{ScriptType, sha256};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Harness, TOKEN, ids},
    v1_tasks::all,
};

impl Harness {
    async fn v1(&self, method: Method, path: &str, body: &Value) -> Answer {
        let path = format!("/v1/projects/project-1{path}");
        let answer = self.call_as(TOKEN, method, &path, (!body.is_null()).then_some(body)).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
        answer
    }

    /// Entries of an action, newest first.
    async fn entries(&self, action: &str) -> Vec<Value> {
        all(self, &format!("/audit?action={action}"), "entries", 100).await
    }
}

#[tokio::test]
async fn execution_entry_names_scripts_selection_and_plan() {
    let harness = Harness::new().await;
    harness.desktops(12).await;
    let script_id = harness.create_script("one", "true").await;
    let body = json!({"script_ids": [script_id], "resource_ids": ids(12), "gray_count": 2});
    let task_id = harness.execute(&body).await;
    let entries = harness.entries("workspace:scripts:execute").await;
    assert_eq!(entries[0]["resource"], format!("task:{task_id}"));
    let details = &entries[0]["details"];
    let sha256 = hex::encode(sha256(ScriptType::Shell, "true"));
    assert_eq!(details["scripts"], json!([{"script_id": script_id, "revision": 1, "sha256": sha256}]));
    let mut first = ids(12);
    first.sort_unstable();
    first.truncate(10);
    assert_eq!(details["selection"], json!({"desktop_count": 12, "first_desktop_ids": first}));
    assert_eq!((&details["targets"], &details["waves"]), (&json!(12), &json!(2)));
    let plan_hash = harness.native(&format!("/tasks/{task_id}")).await["plan_hash"].clone();
    assert_eq!(details["plan_hash"], plan_hash, "the hash of the stored plan");

    let entries = harness.entries("workspace:scripts:create").await;
    assert_eq!(entries[0]["details"], json!({}), "other entries have none");
}

#[tokio::test]
async fn policy_entry_says_the_document_before_and_after() {
    let harness = Harness::new().await;
    harness.create_project().await.unwrap();
    let document = |action: &str| {
        json!({"Version": "5.0", "Statement": [
            {"Effect": "Allow", "Action": [action], "Resource": ["*"]}]})
    };
    let (first, second) = (document("workspace:scripts:list"), document("workspace:scripts:get"));
    let path = "/access/policies/p";
    harness.v1(Method::PUT, path, &first).await;
    harness.v1(Method::PUT, path, &second).await;
    harness.v1(Method::DELETE, path, &Value::Null).await;
    let put = harness.entries("graywave:policies:put").await;
    assert_eq!(put[1]["details"], json!({"before": null, "after": first}));
    assert_eq!(put[0]["details"], json!({"before": first, "after": second}));
    let deleted = harness.entries("graywave:policies:delete").await;
    assert_eq!(deleted[0]["details"], json!({"before": second, "after": null}));

    harness.v1(Method::PUT, "/access/principals/ann", &json!({"policies": ["reader"]})).await;
    harness.v1(Method::PUT, "/access/principals/ann", &json!({"policies": ["admin"]})).await;
    let put = harness.entries("graywave:principals:put").await;
    assert_eq!(put[0]["details"], json!({"before": ["reader"], "after": ["admin"]}));
}

#[tokio::test]
async fn reads_are_audited_only_where_the_project_asks() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let script_id = harness.create_script("one", "true").await;
    let body = json!({"script_ids": [script_id], "resource_ids": ids(3)});
    let task_id = harness.execute(&body).await;
    let leased = harness.lease(&task_id).await;
    let printed = (0, "printed".to_owned());
    harness.report_printed(&leased, &[printed.clone(), printed.clone(), printed]).await;
    let record_id = harness.native(&format!("/tasks/{task_id}/records")).await["records"][0]["record_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let read = async || {
        harness.native(&format!("/scripts/{script_id}")).await;
        harness.get(&format!("/scripts/{script_id}")).await;
        harness.native(&format!("/records/{record_id}")).await;
        harness.native(&format!("/tasks/{task_id}/failures")).await;
        // A list has neither contents nor outputs.
        harness.native("/scripts").await;
        harness.native(&format!("/tasks/{task_id}/records")).await;
    };
    let count = async || harness.count("SELECT count(*) FROM audit").await;
    let before = count().await;
    read().await;
    assert_eq!(count().await, before, "off by default");

    harness.v1(Method::PUT, "/limits", &json!({"audit_reads": true})).await;
    let put = harness.entries("graywave:project:putLimits").await;
    assert_eq!(put[0]["details"]["before"]["audit_reads"], false);
    assert_eq!(put[0]["details"]["after"]["audit_reads"], true);
    let before = count().await;
    read().await;
    assert_eq!(count().await, before + 4, "an entry for each call with contents or outputs");
    let scripts = harness.entries("workspace:scripts:get").await;
    assert_eq!(scripts.len(), 2);
    assert_eq!(scripts[0]["resource"], format!("script:{script_id} revision:1"));
    assert_eq!(scripts[0]["details"], json!({"objects": 1}));
    let records = harness.entries("workspace:scripts:getRecordDetail").await;
    assert_eq!(records[1]["resource"], format!("record:{record_id}"));
    assert_eq!(records[0]["resource"], format!("task:{task_id}"));
}

#[tokio::test]
async fn list_of_workers_belongs_to_the_cluster() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let listed = harness.native("/workers").await;
    assert_eq!(listed["workers"].as_array().unwrap().len(), 1, "an administrator of the cluster");
    let tenant = harness.token("boss", &["admin"]).await;
    let refused = harness.call_as(&tenant, Method::GET, "/v1/projects/project-1/workers", None).await;
    assert_eq!(refused.status, 403);
    let message = refused.body["error_msg"].as_str().unwrap();
    assert!(message.contains("access.cluster_admins"), "{message}");
}
