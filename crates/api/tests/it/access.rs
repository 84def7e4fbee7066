//! Access control of every call that the OpenAPI document lists.

use axum::http::{Method, StatusCode};
use control::{Actor, NO_LIMIT, NewToken};
use domain::ids::WorkerId;
use serde_json::{Value, json};
use testkit::desktop;

use crate::harness::{Harness, OTHER_TOKEN, TOKEN};

/// Ids that a request may name.
struct Ids {
    script: String,
    task: String,
    record: String,
    desktop: String,
    pool: String,
    policy: String,
    token: String,
    key: String,
}

impl Ids {
    fn path(&self, project: &str, path: &str) -> String {
        path.replace("{project_id}", project)
            .replace("{script_id}", &self.script)
            .replace("{task_id}", &self.task)
            .replace("{record_id}", &self.record)
            .replace("{pool_id}", &self.pool)
            .replace("{wave}", "1")
            .replace("{fingerprint_id}", "1")
            .replace("{desktop_id}", &self.desktop)
            .replace("{principal}", "theirs")
            .replace("{name}", &self.policy)
            .replace("{token_id}", &self.token)
            .replace("{access_key}", &self.key)
    }

    /// A valid body of the call that names these ids.
    fn body(&self, operation: &str) -> Option<Value> {
        let body = match operation {
            "CreateScript" => json!({"name": "s", "type": "SHELL", "content": "true"}),
            "UpdateScript" | "PutScript" => json!({"name": "s", "content": "true"}),
            "SaveScript" => json!({"name": "s", "script_type": "SHELL", "content": "true"}),
            "PutPrincipal" => json!({"policies": [self.policy]}),
            "PutPolicy" => json!({"Version": "5.0", "Statement": [{"Effect": "Deny", "Action": ["*"]}]}),
            "CreateToken" | "CreateKey" => json!({"principal": "theirs"}),
            "ExecuteScriptOrCommand" | "CreateExecution" | "PreviewExecution" => {
                json!({"resource_ids": [self.desktop], "script_ids": [self.script]})
            }
            "ExecuteScriptByDesktopTag" => {
                json!({"desktop_tag": "of=project-2", "script_ids": [self.script]})
            }
            "ExecuteDesktopPoolScript" => json!({"script_ids": [self.script]}),
            "RetryScriptExecution" | "StopScriptExecution" => json!({"task_id": self.task}),
            "StopTask" | "SetConcurrency" | "CreateEnrolmentToken" => json!({}),
            "TagDesktop" => json!({"set": {"ours": "not"}}),
            "WhatIf" => json!({"rollout": {}}),
            "CheckAccess" => json!({"checks": [{"resource": format!("task:{}", self.task)}]}),
            "PutLimits" => json!({"max_in_flight": 5}),
            _ => return None,
        };
        Some(body)
    }
}

/// A script, a task and a desktop of project-2.
async fn foreign(harness: &Harness) -> Ids {
    let worker: WorkerId = "worker-2".parse().unwrap();
    let now = harness.control.now();
    harness.engine.heartbeat(&worker, "there", 10, false, now).await.unwrap();
    let mut facts = desktop(77);
    facts.project_id = "project-2".parse().unwrap();
    facts.pool_id = "pool-2".into();
    facts.tags.insert("of".into(), "project-2".into());
    harness.engine.presence(&worker, &[facts], &[], now).await.unwrap();
    let script = json!({"name": "theirs", "type": "SHELL", "content": "secret"});
    let made = harness.call_as(OTHER_TOKEN, Method::POST, "/v2/project-2/scripts", Some(&script)).await;
    let script = made.body["script_id"].as_str().unwrap().to_owned();
    let execution = json!({"script_ids": [script]});
    let path = "/v2/project-2/desktop-pools/pool-2/script-executions";
    let made = harness.call_as(OTHER_TOKEN, Method::POST, path, Some(&execution)).await;
    let task = made.body["task_id"].as_str().unwrap_or_else(|| panic!("{}", made.body)).to_owned();
    let project_id = "project-2".parse().unwrap();
    harness.control.create_project(&project_id, "another").await.unwrap();
    let actor = Actor::Database(&project_id);
    let policy = r#"{"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["*"]}]}"#;
    harness.control.put_policy(actor, "their-policy", policy).await.unwrap();
    harness.control.put_principal(actor, "theirs", &["reader".to_owned()]).await.unwrap();
    let token = harness.control.create_token(actor, "theirs", None).await.unwrap();
    let key = harness.control.create_key(actor, "theirs", None).await.unwrap();
    Ids {
        script,
        record: format!("{task}-0-0-1"),
        task,
        desktop: "desktop-77".into(),
        pool: "pool-2".into(),
        policy: "their-policy".into(),
        token: token.token_id.simple().to_string(),
        key: key.access_key,
    }
}

/// Access rows of project-2 as text.
async fn foreign_access(harness: &Harness) -> Vec<String> {
    let mut connection = harness.database.connection().await.unwrap();
    sqlx::query_scalar(
        "SELECT p::text FROM principal p WHERE project_id = 'project-2'
         UNION ALL SELECT p::text FROM policy p WHERE project_id = 'project-2'
         UNION ALL SELECT t::text FROM token t WHERE project_id = 'project-2'
         UNION ALL SELECT k::text FROM access_key k WHERE project_id = 'project-2'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn caller_without_policies_is_refused_with_missing_action() {
    let harness = Harness::new().await;
    let ids = foreign(&harness).await;
    let token = harness.token("nobody", &[]).await;
    let document = harness.send(crate::harness::request_with("/openapi.json", None)).await.body;
    for (operation, method, path) in harness.operations().await {
        if operation == "CheckAccess" {
            // Any caller may ask for its own rights.
            continue;
        }
        let word = method.as_str().to_lowercase();
        let action = document["paths"][&path][&word]["x-action"].as_str().unwrap_or_default().to_owned();
        assert!(!action.is_empty(), "{operation} names no action");
        let body = ids.body(&operation);
        let answer = harness.call_as(&token, method, &ids.path("project-1", &path), body.as_ref()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{operation}: {}", answer.body);
        let message = answer.body["error_msg"].as_str().unwrap();
        assert_eq!(
            message,
            format!("no policy allows {action} (see docs/errors.md#NO_POLICY_ALLOWS)"),
            "{operation}"
        );
    }
    // All but CheckAccess.
    let calls = i64::try_from(harness.operations().await.len() - 1).unwrap();
    assert_eq!(harness.count("SELECT count(*) FROM audit WHERE result = 'REFUSED'").await, calls);
}

#[tokio::test]
async fn what_belongs_to_another_project_does_not_exist() {
    let harness = Harness::new().await;
    let ids = foreign(&harness).await;
    harness.token("alice", &["reader"]).await;
    let access = foreign_access(&harness).await;
    let before = harness.count("SELECT count(*) FROM task").await;
    for (operation, method, path) in harness.operations().await {
        let body = ids.body(&operation);
        let query = match operation.as_str() {
            "ListScripts" => format!("?id={}", ids.script),
            "ListScriptTasks" => format!("?task_id={}&script_id={}", ids.task, ids.script),
            "ListScriptRecords" => format!("?script_task_id={}", ids.task),
            "ShowDesktopPoolsScriptExecTasks" => format!("?desktop_pool_id={}", ids.pool),
            "ListDesktops" | "ListDesktopsDetail" => format!("?desktop_id={}", ids.desktop),
            _ => String::new(),
        };
        // Creates a policy in the caller's own project, under a name that project-2 does not use.
        let path = if operation == "PutPolicy" { path.replace("{name}", "ours") } else { path };
        let path = ids.path("project-1", &path) + &query;
        let answer = harness.call_as(TOKEN, method, &path, body.as_ref()).await;
        match operation.as_str() {
            // Names no row.
            "CreateScript"
            | "ListWorkers"
            | "GetFreeze"
            | "FreezeProject"
            | "UnfreezeProject"
            | "GetLimits"
            | "PutLimits"
            | "SaveScript"
            | "CreateEnrolmentToken" => {
                assert_eq!(answer.status, StatusCode::OK, "{operation}: {}", answer.body)
            }
            // The caller's project may revoke a desktop with this id even if it was never
            // connected.
            "RevokeDesktop" => assert_eq!(answer.body["was_connected"], json!(false), "{}", answer.body),
            "PutPolicy" => assert_eq!(answer.status, StatusCode::OK, "{operation}: {}", answer.body),
            // Show the state of the caller's project.
            "ListPrincipals"
            | "ListPolicies"
            | "ListTokens"
            | "ListKeys"
            | "ListEnrolmentTokens"
            | "ListSavedScripts" => {
                assert_eq!(answer.status, StatusCode::OK, "{operation}: {}", answer.body);
                let shown = answer.body.to_string();
                for theirs in [&ids.script, &ids.token, &ids.key, &ids.policy, "theirs"] {
                    assert!(!shown.contains(theirs), "{operation}: {shown}");
                }
            }
            "CheckAccess" | "GetAttention" | "WatchProject" | "ExportDesktops" => {
                assert_eq!(answer.status, StatusCode::OK, "{operation}: {}", answer.body);
                let shown = answer.body["running"].to_string();
                assert!(!shown.contains(&ids.task), "{operation}: {shown}");
            }
            // Lists rows of the caller's project: the script created above and its principal.
            "ListAudit" => {
                assert!(!answer.body.to_string().contains(&ids.task), "{operation}: {}", answer.body);
            }
            _ if operation.starts_with("List") || operation.starts_with("ShowDesktopPools") => {
                if answer.status == StatusCode::NOT_FOUND {
                    continue;
                }
                assert_eq!(answer.status, StatusCode::OK, "{operation}: {}", answer.body);
                for (name, value) in answer.body.as_object().unwrap() {
                    let is_empty = *value == json!(0) || *value == json!([]) || value.is_null();
                    assert!(is_empty, "{operation} shows {name}: {value}");
                }
            }
            _ => assert_eq!(answer.status, StatusCode::NOT_FOUND, "{operation}: {}", answer.body),
        }
    }
    assert_eq!(foreign_access(&harness).await, access);
    assert_eq!(harness.count("SELECT count(*) FROM task").await, before);
    assert_eq!(harness.count("SELECT count(*) FROM script_revision WHERE project_id = 'project-2'").await, 1);
    assert_eq!(harness.count("SELECT count(*) FROM task WHERE status = 'WAITING'").await, before);
}

#[tokio::test]
async fn a_call_into_another_project_is_refused_and_noted() {
    let harness = Harness::new().await;
    let ids = foreign(&harness).await;
    for (operation, method, path) in harness.operations().await {
        let body = ids.body(&operation);
        let answer = harness.call_as(TOKEN, method, &ids.path("project-2", &path), body.as_ref()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{operation}");
    }
    let noted = "SELECT count(*) FROM audit WHERE result = 'REFUSED' AND project_id = 'project-1'";
    let calls = i64::try_from(harness.operations().await.len()).unwrap();
    assert_eq!(harness.count(noted).await, calls);
}

#[tokio::test]
async fn policies_bind_scripts_and_desktops_and_a_deny_wins() {
    const TESTERS: &str = r#"testers={"Version": "5.0", "Statement": [
        {"Effect": "Allow", "Action": ["workspace:scripts:*", "workspace:desktopPools:*"]},
        {"Effect": "Deny", "Action": ["workspace:scripts:execute"], "Resource": ["desktop:desktop-1", "command"]}]}"#;
    let harness = Harness::new().await;
    harness.online_in_pool(3, "pool-1").await;
    let script = harness.create_script("s", "true").await;
    let token = harness.token("tester", &[TESTERS]).await;
    let run = async |path: &str, body: Value| {
        harness.call_as(&token, Method::POST, &format!("/v2/project-1{path}"), Some(&body)).await
    };
    let execute = "/script-executions";
    let good =
        run(execute, json!({"resource_ids": ["desktop-0", "desktop-2"], "script_ids": [script]})).await;
    assert_eq!(good.status, StatusCode::OK, "{}", good.body);
    for (path, body, denied) in [
        (
            execute,
            json!({"resource_ids": ["desktop-0", "desktop-1"], "script_ids": [script]}),
            "desktop:desktop-1",
        ),
        (
            execute,
            json!({"resource_ids": ["desktop-0"], "command": "true", "command_type": "SHELL"}),
            "command",
        ),
        // Each way to select desktops.
        ("/desktop-pools/pool-1/script-executions", json!({"script_ids": [script]}), "desktop:desktop-1"),
        (
            "/script-executions/by-desktop-tag",
            json!({"desktop_tag": "group=test", "script_ids": [script]}),
            "desktop:desktop-1",
        ),
    ] {
        let refused = run(path, body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {}", refused.body);
        let expected = format!(
            "a policy denies workspace:scripts:execute on {denied} (see docs/errors.md#POLICY_DENIES)"
        );
        assert_eq!(refused.body["error_msg"], expected, "{path}");
    }
    assert_eq!(harness.count("SELECT count(*) FROM task").await, 1);
}

#[tokio::test]
async fn revoked_or_expired_credential_fails_at_the_next_call() {
    let harness = Harness::new().await;
    let project_id = "project-1".parse().unwrap();
    let actor = Actor::Database(&project_id);
    let token = harness.token("alice", &["reader"]).await;
    let look =
        async |token: &str| harness.call_as(token, Method::GET, "/v2/project-1/scripts", None).await.status;
    assert_eq!(look(&token).await, StatusCode::OK);
    let listed = harness.control.list_tokens(actor, None, NO_LIMIT).await.unwrap();
    assert_eq!((listed.len(), listed[0].principal.as_str()), (1, "alice"));
    harness.control.revoke_token(actor, &listed[0].id).await.unwrap();
    assert_eq!(look(&token).await, StatusCode::UNAUTHORIZED);
    assert!(
        harness.control.revoke_token(actor, &listed[0].id).await.is_err(),
        "a second revocation is refused"
    );

    let past = harness.control.now() - chrono::TimeDelta::seconds(1);
    let refused = harness.control.create_token(actor, "alice", Some(past)).await.unwrap_err();
    assert!(refused.message.contains("not in the future"), "{}", refused.message);
    let expired = NewToken::random(uuid::Uuid::from_u128(1));
    harness.control.import_token(&project_id, "alice", &expired, Some(past)).await.unwrap();
    assert_eq!(look(&expired.token).await, StatusCode::UNAUTHORIZED);

    let other = harness.token("bob", &["reader"]).await;
    assert_eq!(look(&other).await, StatusCode::OK);
    harness.control.revoke_project(&project_id).await.unwrap();
    assert_eq!(look(&other).await, StatusCode::UNAUTHORIZED);
    assert_eq!(look("no token of ours at all").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn secrets_are_not_in_the_database() {
    let harness = Harness::new().await;
    let token = harness.token("alice", &["admin"]).await;
    let key = harness.key("alice").await;
    let mut connection = harness.database.connection().await.unwrap();
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT t::text FROM token t UNION ALL SELECT k::text || encode(k.encrypted_secret, 'escape') FROM access_key k",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert!(!row.contains(&token) && !row.contains(&key.secret_key), "{row}");
    }
}

#[tokio::test]
async fn the_audit_says_who_did_what_and_cannot_be_changed() {
    let harness = Harness::new().await;
    let alice = harness.token("alice", &["operator"]).await;
    let script = json!({"name": "s", "type": "SHELL", "content": "true"});
    let path = "/v2/project-1/scripts";
    let made = harness.call_as(&alice, Method::POST, path, Some(&script)).await;
    let script_id = made.body["script_id"].as_str().unwrap().to_owned();
    harness.call_as(&alice, Method::POST, path, Some(&json!({"name": "s"}))).await;
    harness.call_as(&alice, Method::GET, path, None).await;
    let refused = harness.call_as(&alice, Method::GET, "/v1/projects/project-1/audit", None).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);

    let mut shown = Vec::new();
    let mut page = String::new();
    loop {
        let path = format!("/v1/projects/project-1/audit?principal=alice&page_size=1{page}");
        let answer = harness.call_as(TOKEN, Method::GET, &path, None).await.body;
        shown.extend(answer["entries"].as_array().unwrap().clone());
        match answer["next_page_token"].as_str() {
            Some(token) => page = format!("&page_token={token}"),
            None => break,
        }
    }
    let brief: Vec<(&str, &str, &str)> = shown
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap();
            (text("action"), text("result"), text("resource"))
        })
        .collect();
    let resource = format!("script:{script_id}");
    assert_eq!(
        brief,
        [
            ("graywave:audit:list", "REFUSED", "/v1/projects/project-1/audit"),
            ("workspace:scripts:create", "REFUSED", path),
            ("workspace:scripts:create", "DONE", resource.as_str()),
        ]
    );
    assert_eq!(shown[0]["reason"], "no policy allows graywave:audit:list");
    assert_eq!(shown[2]["request_id"], made.headers["x-request-id"].to_str().unwrap());
    assert!(shown[2]["credential"].as_str().unwrap().starts_with("token:"));

    let mut connection = harness.database.connection().await.unwrap();
    for change in ["UPDATE audit SET result = 'DONE'", "DELETE FROM audit", "TRUNCATE audit"] {
        let refused = sqlx::query(change).execute(&mut connection).await.unwrap_err();
        assert!(refused.to_string().contains("append only"), "{change}: {refused}");
    }
}

#[tokio::test]
async fn access_changes_are_audited_and_revoked_project_is_closed() {
    let harness = Harness::new().await;
    harness.token("alice", &["reader"]).await;
    let project_id = "project-1".parse().unwrap();
    let actor = Actor::Database(&project_id);
    let id = harness.control.list_tokens(actor, None, NO_LIMIT).await.unwrap()[0].id.clone();
    harness.control.revoke_token(actor, &id).await.unwrap();
    let audit = harness.native("/audit").await;
    let entries: Vec<&str> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["principal"] == "database")
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        entries,
        [
            "graywave:tokens:delete",
            "graywave:tokens:create",
            "graywave:principals:put",
            "graywave:projects:create"
        ]
    );
    assert_eq!(audit["entries"][2]["resource"], "principal:alice policies:reader");
    harness.control.revoke_project(&project_id).await.unwrap();
    let refused = harness.call_as(TOKEN, Method::GET, "/v2/project-1/scripts", None).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "token from the configuration");
}
