//! The native family: pages, values and operations beyond the compatible family.

use axum::{
    body::Body,
    http::{Method, Request},
};
use domain::outcome::Outcome;
use serde_json::{Value, json};

use crate::harness::{Harness, TOKEN, ids};

/// All entries of a list, fetched page by page.
pub(crate) async fn all(harness: &Harness, path: &str, name: &str, size: u32) -> Vec<Value> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let page = harness.native(&format!("{path}{sign}page_size={size}{token}")).await;
        let entries = page[name].as_array().unwrap();
        assert!(entries.len() <= size as usize);
        found.extend(entries.clone());
        match page["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn an_execution_answers_its_task_with_waves_and_tallies() {
    let harness = Harness::new().await;
    harness.desktops(5).await;
    let body = json!({"resource_ids": ids(5), "command": "true", "command_type": "SHELL",
                      "gray_count": 2, "gray_fail_threshold": 1});
    let path = "/v1/projects/project-1/executions";
    let made = harness.call_as(TOKEN, Method::POST, path, Some(&body)).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let task_id = made.body["task_id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&made.body["status"], &made.body["waves"][1]["status"]),
        (&json!("WAITING"), &json!("PENDING"))
    );
    harness.run(&task_id, &[Outcome::Success, Outcome::Timeout]).await;
    let mut task = harness.native(&format!("/tasks/{task_id}")).await;
    task["plan_hash"] = json!("[hash]");
    insta::assert_json_snapshot!(task);

    let targets = all(&harness, &format!("/tasks/{task_id}/targets"), "targets", 2).await;
    assert_eq!(
        targets.iter().map(|target| target["ordinal"].as_i64().unwrap()).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );
    let records = all(&harness, &format!("/tasks/{task_id}/records"), "records", 2).await;
    let outcomes: Vec<&str> = records.iter().map(|record| record["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["SUCCESS", "TIMEOUT", "SKIPPED", "SKIPPED", "SKIPPED"]);
    let failed =
        all(&harness, &format!("/tasks/{task_id}/records?status=FAILED&wave=1"), "records", 10).await;
    assert_eq!(failed.len(), 1);
    let one = harness.native(&format!("/records/{}", failed[0]["record_id"].as_str().unwrap())).await;
    assert_eq!((&one["outcome"], &one["output"]), (&json!("TIMEOUT"), &json!("")));
}

#[tokio::test]
async fn tasks_are_paged_newest_first_and_by_status() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(
            harness
                .execute(&json!({"resource_ids": ids(1), "command": "true", "command_type": "SHELL"}))
                .await,
        );
    }
    made.reverse();
    let listed = all(&harness, "/tasks", "tasks", 2).await;
    let listed: Vec<&str> = listed.iter().map(|task| task["task_id"].as_str().unwrap()).collect();
    assert_eq!(listed, made);
    let stop = format!("/v1/projects/project-1/tasks/{}/stop", made[0]);
    let stopped = harness.call_as(TOKEN, Method::POST, &stop, Some(&json!({"mode": "drain"}))).await;
    assert_eq!(stopped.body["status"], "STOPPED");
    assert_eq!(all(&harness, "/tasks?status=STOPPED&status=HALTED", "tasks", 10).await.len(), 1);
    let retry = format!("/v1/projects/project-1/tasks/{}/retry", made[0]);
    let retried = harness.call_as(TOKEN, Method::POST, &retry, None).await;
    assert_eq!(retried.body["retry_of"]["task_id"], made[0].as_str(), "{}", retried.body);

    for (path, word) in [
        ("/tasks?page_size=0", "page_size"),
        ("/tasks?page_token=zz", "page_token"),
        ("/tasks?status=DONE", "STOPPED"),
        ("/audit?result=x", "result"),
    ] {
        let path = format!("/v1/projects/project-1{path}");
        let refused = harness.call_as(TOKEN, Method::GET, &path, None).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.body["error_msg"].as_str().unwrap().contains(word), "{path}: {}", refused.body);
    }
    let refused = harness.call_as(TOKEN, Method::POST, &stop, Some(&json!({"mode": "burn"}))).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn workers_are_listed() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let workers = harness.native("/workers").await;
    assert_eq!(workers["workers"][0]["desktops"], 3);
    assert_eq!(workers["workers"][0]["last_heartbeat_time"], "2027-01-15T08:00:00.000Z");
}

#[tokio::test]
async fn a_rollout_object_says_what_the_published_fields_cannot() {
    let harness = Harness::new().await;
    harness.desktops(30).await;
    let body = json!({
        "resource_ids": ids(30), "command": "true", "command_type": "SHELL",
        "rollout": {
            "waves": [
                {"count": 3, "fail_threshold": {"count": 2}},
                {"percent": 25.5, "fail_threshold": {"percent": 12.5, "min_results": 4}},
                {"rest": true},
            ],
            "fail_threshold": {"count": 4}, "strict": true, "max_concurrency": 5, "on_halt": "kill",
            "delivery_timeout_seconds": 90, "outcomes": {"UNDELIVERED": "ignore"},
            "exit_codes": {"3010": "success", "75": "ignore", "42": "halt"},
            "canary": {"by": ["os"], "seed": 11},
        },
    });
    let path = "/v1/projects/project-1/executions";
    let made = harness.call_as(TOKEN, Method::POST, path, Some(&body)).await;
    assert_eq!(made.status, 200, "{}", made.body);
    let task_id = made.body["task_id"].as_str().unwrap().to_owned();
    let task = &made.body;
    assert_eq!(task["warnings"][0]["code"], "IMPOSSIBLE_EXIT_CODE");
    let waves: Vec<(i64, Option<&str>)> = task["waves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|wave| (wave["size"].as_i64().unwrap(), wave["fail_threshold"].as_str()))
        .collect();
    assert_eq!(waves, [(3, Some("2")), (8, Some("12.5%/4")), (19, None)]);
    assert_eq!(
        [&task["fail_threshold"], &task["strict"], &task["max_concurrency"], &task["on_halt"]],
        [&json!("4"), &json!(true), &json!(5), &json!("kill")]
    );
    assert_eq!(task["delivery_timeout_ms"], 90_000);
    // The same seed and the same desktops produce the same plan.
    let again = harness.call_as(TOKEN, Method::POST, path, Some(&body)).await;
    assert_eq!(again.body["plan_hash"], task["plan_hash"]);

    let leased = harness.lease(&task_id).await;
    assert_eq!(leased.batch.members.len(), 2, "strict: at most as many targets as may fail");
    assert_eq!(leased.spec.facts.policy.success_exit_codes, [3010]);
    let concurrency = format!("/v1/projects/project-1/tasks/{task_id}/concurrency");
    let changed =
        harness.call_as(TOKEN, Method::POST, &concurrency, Some(&json!({"max_concurrency": 1}))).await;
    assert_eq!(changed.body["max_concurrency"], 1, "{}", changed.body);
    let refused =
        harness.call_as(TOKEN, Method::POST, &concurrency, Some(&json!({"max_concurrency": 0}))).await;
    assert_eq!(refused.status, 400);
    harness.report(&leased, &[&[Outcome::Undelivered], &[Outcome::Undelivered]]).await;
    let task = harness.native(&format!("/tasks/{task_id}")).await;
    assert_eq!((&task["waves"][0]["failed"], &task["status"]), (&json!(0), &json!("RUNNING")));
}

/// A policy that may run commands everywhere, and as users that `users` matches.
async fn runner_as(harness: &Harness, users: Option<&str>) -> String {
    // Only a project in the database has policies.
    harness.token("first", &["admin"]).await;
    let mut statement = vec![json!({"Effect": "Allow", "Action": ["workspace:*", "graywave:tasks:*"]})];
    if let Some(users) = users {
        let resource = [format!("user:{users}")];
        statement.push(json!({"Effect": "Allow", "Action": ["graywave:users:runAs"], "Resource": resource}));
    }
    let document = json!({"Version": "5.0", "Statement": statement});
    let path = "/v1/projects/project-1/access/policies/runner";
    let put = harness.call_as(TOKEN, Method::PUT, path, Some(&document)).await;
    assert_eq!(put.status, 200, "{}", put.body);
    harness.token("runner", &["runner"]).await
}

#[tokio::test]
async fn run_as_user_needs_an_action_of_its_own() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let executions = "/v1/projects/project-1/executions";
    let body = |user: &str| {
        json!({"resource_ids": ids(1), "command": "id", "command_type": "SHELL",
               "rollout": {"run_as_user": user, "cleanup": "kill"}})
    };
    let token = runner_as(&harness, Some("www-*")).await;
    for path in
        [executions.to_owned(), format!("{executions}/preview"), "/v2/project-1/script-executions".into()]
    {
        let refused = harness.call_as(&token, Method::POST, &path, Some(&body("root"))).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.body);
        let message = refused.body["error_msg"].as_str().unwrap();
        assert!(message.contains("graywave:users:runAs on user:root"), "{message}");
    }
    let operator = harness.token("op", &["operator"]).await;
    let refused = harness.call_as(&operator, Method::POST, executions, Some(&body("www-data"))).await;
    assert_eq!(refused.status, 403, "an operator runs as the configured user only");
    let preview = format!("{executions}/preview");
    let preview = harness.call_as(&token, Method::POST, &preview, Some(&body("www-data"))).await.body;
    assert_eq!((&preview["run_as_user"], &preview["cleanup"]), (&json!("www-data"), &json!("kill")));
    let made = harness.call_as(&token, Method::POST, executions, Some(&body("www-data"))).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!((&made.body["run_as_user"], &made.body["cleanup"]), (&json!("www-data"), &json!("kill")));
    let plain = json!({"resource_ids": ids(1), "command": "id", "command_type": "SHELL"});
    let plain = harness.call_as(&operator, Method::POST, executions, Some(&plain)).await.body;
    assert_eq!((&plain["run_as_user"], &plain["cleanup"]), (&json!(null), &json!("keep")));
    let malformed = harness.call_as(TOKEN, Method::POST, executions, Some(&body("CORP\\anna"))).await;
    assert_eq!(malformed.status, 400);
    let message = malformed.body["error_msg"].as_str().unwrap();
    assert!(message.contains("rollout.run_as_user: \"CORP"), "{message}");
}

#[tokio::test]
async fn retry_runs_as_the_same_user_with_the_same_right() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let body = json!({"resource_ids": ids(1), "command": "id", "command_type": "SHELL",
                      "rollout": {"run_as_user": "www-data", "cleanup": "kill"}});
    let made = harness.call_as(TOKEN, Method::POST, "/v1/projects/project-1/executions", Some(&body)).await;
    let task_id = made.body["task_id"].as_str().unwrap();
    harness.run(task_id, &[Outcome::Failed]).await;
    let retry = format!("/v1/projects/project-1/tasks/{task_id}/retry");
    let token = runner_as(&harness, None).await;
    assert_eq!(harness.call_as(&token, Method::POST, &retry, None).await.status, 403);
    let again = harness.call_as(TOKEN, Method::POST, &retry, None).await.body;
    assert_eq!((&again["run_as_user"], &again["cleanup"]), (&json!("www-data"), &json!("kill")));
    assert_eq!(again["warnings"], json!([]));
}

#[tokio::test]
async fn post_finish_is_accepted_in_both_families_and_shown() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let published = |more: Value| {
        let mut body = json!({"resource_ids": ids(1), "command": "true", "command_type": "SHELL"});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        body
    };
    for (more, action, shown) in [
        (json!({"post_finish": "REBOOT"}), json!("reboot"), json!("REBOOT")),
        (json!({"post_finish": "stop"}), json!("stop"), json!("STOP")),
        (json!({"rollout": {"post_finish": "reboot"}, "post_finish": ""}), json!("reboot"), json!("REBOOT")),
        (json!({"pre_start": ""}), json!(null), json!(null)),
    ] {
        let made = harness.post("/script-executions", &published(more)).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let task_id = made.body["task_id"].as_str().unwrap();
        assert_eq!(harness.native(&format!("/tasks/{task_id}")).await["post_finish"], action);
        let listed = harness.get(&format!("/script-execution-tasks?task_id={task_id}")).await;
        assert_eq!(listed["script_tasks"][0]["post_finish"], shown);
    }
    let rollout = json!({"agent_version": "2.0.0", "return_timeout_seconds": 60, "if_user_active": "ask",
                         "exit_codes": {"42": "reboot"}});
    let made = harness.post("/script-executions", &published(json!({"rollout": rollout}))).await;
    let task_id = made.body["task_id"].as_str().unwrap();
    let task = harness.native(&format!("/tasks/{task_id}")).await;
    assert_eq!((&task["agent_version"], &task["if_user_active"]), (&json!("2.0.0"), &json!("ask")));
    assert_eq!(
        (&task["return_timeout_seconds"], &task["exit_codes"]),
        (&json!(60), &json!({"42": "reboot"}))
    );
    for (more, field) in [
        (json!({"pre_start": "REBOOT"}), "pre_start"),
        (json!({"post_finish": "hibernate"}), "post_finish"),
        (json!({"rollout": {"return_timeout_seconds": 0}}), "rollout.return_timeout_seconds"),
        (json!({"rollout": {"if_user_active": "hurry"}}), "rollout.if_user_active"),
    ] {
        let refused = harness.post("/script-executions", &published(more)).await;
        assert_eq!(refused.status, 400);
        let message = refused.body["error_msg"].as_str().unwrap();
        assert!(message.starts_with(&format!("{field}: ")), "{message}");
    }
}

/// Requests that cannot mean what they say are refused on every way in, with the field.
#[tokio::test]
async fn impossible_exit_code_or_blank_script_is_refused() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let script = harness.create_script("s", "true").await;
    let path = |family: &str| match family {
        "v2" => "/v2/project-1/script-executions",
        "preview" => "/v1/projects/project-1/executions/preview",
        _ => "/v1/projects/project-1/executions",
    };
    let refusal = async |method: Method, path: &str, body: String| {
        let request = Request::builder().method(method).uri(path).header("X-Auth-Token", TOKEN);
        let answer = harness.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        answer.body["error_msg"].as_str().unwrap().to_owned()
    };
    for family in ["v2", "v1", "preview"] {
        for codes in [
            r#""4294967296": "halt""#,
            r#""03010": "success""#,
            r#""3010": "success", "03010": "halt""#,
            r#""+7": "ignore""#,
            r#""3010": "success", "3010": "halt""#,
        ] {
            let rollout = format!(r#"{{"exit_codes": {{{codes}}}}}"#);
            let body = json!({"resource_ids": ["desktop-0"], "script_ids": [script]}).to_string();
            let body = format!("{}, \"rollout\": {rollout}}}", body.trim_end_matches('}'));
            let message = refusal(Method::POST, path(family), body).await;
            assert!(message.starts_with("rollout.exit_codes"), "{family} {codes}: {message}");
        }
        let blank = json!({"resource_ids": ["desktop-0"], "command": "\n \r\n", "command_type": "SHELL"});
        let message = refusal(Method::POST, path(family), blank.to_string()).await;
        assert!(message.starts_with("command: "), "{family}: {message}");
    }
    let saved = json!({"name": "s", "type": "SHELL", "script_type": "SHELL", "content": "\n\t\n"});
    let v2 = "/v2/project-1/scripts".to_owned();
    let native = json!({"name": "s", "script_type": "SHELL", "content": "\n\t\n"});
    let updated = json!({"name": "s", "content": "\n\t\n"});
    let v1 = "/v1/projects/project-1/scripts".to_owned();
    for (method, path, body) in [
        (Method::POST, v2.clone(), &saved),
        (Method::PUT, format!("{v2}/{script}"), &saved),
        (Method::POST, v1.clone(), &native),
        (Method::PUT, format!("{v1}/{script}"), &updated),
    ] {
        let message = refusal(method, &path, body.to_string()).await;
        assert!(message.starts_with("content: "), "{path}: {message}");
    }
    let codes = json!({"3010": "success", "-1073741510": "halt"});
    let body =
        json!({"resource_ids": ["desktop-0"], "script_ids": [script], "rollout": {"exit_codes": codes}});
    harness.execute(&body).await;
}
