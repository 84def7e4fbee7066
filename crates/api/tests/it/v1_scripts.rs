//! Scripts and their revisions in the native family.

use axum::{
    body::Body,
    http::{Method, Request},
};
use domain::script::{ScriptType, sha256};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Harness, TOKEN},
    v1_tasks::all,
};

const SCRIPTS: &str = "/v1/projects/project-1/scripts";

async fn call(harness: &Harness, method: Method, path: &str, body: Option<&Value>) -> Answer {
    harness.call_as(TOKEN, method, &format!("{SCRIPTS}{path}"), body).await
}

async fn save(harness: &Harness, name: &str, script_type: &str) -> Value {
    let body = json!({"name": name, "script_type": script_type, "content": "true"});
    let made = call(harness, Method::POST, "", Some(&body)).await;
    assert_eq!(made.status, 200, "{}", made.body);
    made.body
}

#[tokio::test]
async fn a_script_is_saved_shown_saved_anew_and_deleted() {
    let harness = Harness::new().await;
    let body = json!({"name": "one", "script_type": "SHELL", "content": "true", "description": "d",
                      "version": "v1"});
    let made = call(&harness, Method::POST, "", Some(&body)).await;
    assert_eq!(made.status, 200, "{}", made.body);
    insta::assert_json_snapshot!("native_script", made.body);
    assert_eq!(made.body["sha256"], hex::encode(sha256(ScriptType::Shell, "true")));
    let path = format!("/{}", made.body["script_id"].as_str().unwrap());
    assert_eq!(call(&harness, Method::GET, &path, None).await.body, made.body);

    let put = json!({"name": "two", "content": "false"});
    let saved = call(&harness, Method::PUT, &path, Some(&put)).await;
    assert_eq!(saved.status, 200, "{}", saved.body);
    let field = |name: &str| saved.body[name].clone();
    assert_eq!(
        (field("revision"), field("name"), field("content")),
        (json!(2), json!("two"), json!("false"))
    );
    assert_eq!(
        (field("script_type"), field("description")),
        (json!("SHELL"), json!("")),
        "the type does not change"
    );
    assert_eq!(field("sha256"), hex::encode(sha256(ScriptType::Shell, "false")));
    assert_eq!(call(&harness, Method::GET, &path, None).await.body, saved.body);
    let old = call(&harness, Method::GET, &format!("{path}?revision=1"), None).await;
    assert_eq!(old.body, made.body, "a saved revision does not change");

    let deleted = call(&harness, Method::DELETE, &path, None).await;
    assert_eq!((deleted.status.as_u16(), deleted.body), (204, json!(null)));
    for (method, path, body) in [
        (Method::GET, path.clone(), None),
        (Method::GET, format!("{path}?revision=1"), None),
        (Method::GET, format!("{path}/revisions"), None),
        (Method::PUT, path.clone(), Some(&put)),
        (Method::DELETE, path.clone(), None),
    ] {
        let missing = call(&harness, method, &path, body).await;
        assert_eq!(missing.status, 404, "{path}: {}", missing.body);
        assert!(missing.body["error_msg"].as_str().unwrap().contains("does not exist"), "{}", missing.body);
    }
    assert_eq!(all(&harness, "/scripts", "scripts", 10).await, Vec::<Value>::new());
}

#[tokio::test]
async fn scripts_are_paged_and_filtered() {
    let harness = Harness::new().await;
    for number in 0..5 {
        let script_type = if number == 3 { "BAT" } else { "SHELL" };
        save(&harness, &format!("script-{}", number % 4), script_type).await;
    }
    let names = |found: &[Value]| -> Vec<String> {
        found.iter().map(|script| script["name"].as_str().unwrap().to_owned()).collect()
    };
    for size in [1, 2, 5] {
        let found = all(&harness, "/scripts", "scripts", size).await;
        assert_eq!(names(&found), ["script-0", "script-3", "script-2", "script-1", "script-0"], "{size}");
        assert!(found[0].get("content").is_none(), "no content in a list");
        assert_eq!(found[0]["sha256"], hex::encode(sha256(ScriptType::Shell, "true")));
    }
    assert_eq!(all(&harness, "/scripts?name=script-0", "scripts", 1).await.len(), 2);
    assert_eq!(names(&all(&harness, "/scripts?script_type=BAT", "scripts", 9).await), ["script-3"]);
    assert_eq!(all(&harness, "/scripts?name=none", "scripts", 9).await.len(), 0);
}

#[tokio::test]
async fn revisions_are_listed_newest_first() {
    let harness = Harness::new().await;
    let script = save(&harness, "s", "SHELL").await;
    let id = script["script_id"].as_str().unwrap();
    for content in ["one", "two", "three"] {
        let put = json!({"name": "s", "content": content});
        call(&harness, Method::PUT, &format!("/{id}"), Some(&put)).await;
    }
    for size in [1, 3, 4, 9] {
        let found = all(&harness, &format!("/scripts/{id}/revisions"), "revisions", size).await;
        let numbers: Vec<i64> = found.iter().map(|row| row["revision"].as_i64().unwrap()).collect();
        assert_eq!(numbers, [4, 3, 2, 1], "{size}");
        assert_eq!(
            found[1],
            json!({"revision": 3, "sha256": hex::encode(sha256(ScriptType::Shell, "two")),
                   "create_time": "2027-01-15T08:00:00.000Z"})
        );
    }
    let missing = call(&harness, Method::GET, &format!("/{id}?revision=5"), None).await;
    assert_eq!(missing.status, 404);
    assert!(missing.body["error_msg"].as_str().unwrap().contains("no revision 5"), "{}", missing.body);
}

#[tokio::test]
async fn what_is_wrong_with_a_script_is_named() {
    let harness = Harness::new().await;
    let script = save(&harness, "s", "SHELL").await;
    let path = format!("/{}", script["script_id"].as_str().unwrap());
    for (body, word) in [
        (json!({}), "script_type: a script needs a type"),
        (json!({"script_type": "SHELL", "content": "true"}), "name: a script needs a name"),
        (json!({"name": "s", "script_type": "SHELL"}), "content: a script needs a content"),
        (json!({"name": "s", "script_type": "PERL", "content": "1"}), "POWERSHELL, BAT, SHELL"),
        (json!({"name": 7, "script_type": "SHELL", "content": "1"}), "name: invalid type"),
        (json!({"name": "s", "type": "SHELL", "content": "1"}), "unknown field `type`"),
        (json!([]), "the body is a list"),
    ] {
        let refused = call(&harness, Method::POST, "", Some(&body)).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.body["error_msg"].as_str().unwrap().contains(word), "{word}: {}", refused.body);
    }
    let body = json!({"name": "s", "content": "1", "script_type": "BAT"});
    let refused = call(&harness, Method::PUT, &path, Some(&body)).await;
    assert!(refused.body["error_msg"].as_str().unwrap().contains("unknown field"), "{}", refused.body);
    for (query, word) in [
        ("?page_size=1001", "page_size"),
        ("?page_token=00", "page_token"),
        ("?script_type=PERL", "POWERSHELL"),
        (&format!("{path}?revision=0"), "begin with 1"),
        (&format!("{path}?revision=x"), "revision"),
        (&format!("{path}?revision=2147483648"), "revision"),
        (&format!("{path}/revisions?page_token=7a7a"), "page_token"),
    ] {
        let refused = call(&harness, Method::GET, query, None).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.body["error_msg"].as_str().unwrap().contains(word), "{query}: {}", refused.body);
    }
    assert_eq!(call(&harness, Method::GET, "/nonsense", None).await.status, 404);
    assert_eq!(harness.count("SELECT count(*) FROM script_revision").await, 1);
}

#[tokio::test]
async fn a_repeated_request_saves_one_script_and_is_answered_the_same() {
    let harness = Harness::new().await;
    let send = async || {
        let body = json!({"name": "s", "script_type": "SHELL", "content": "true"});
        let request = Request::post(SCRIPTS).header("X-Auth-Token", TOKEN).header("Idempotency-Key", "one");
        harness.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let first = send().await;
    assert_eq!(first.status, 200, "{}", first.body);
    let put = json!({"name": "s", "content": "false"});
    let path = format!("/{}", first.body["script_id"].as_str().unwrap());
    assert_eq!(call(&harness, Method::PUT, &path, Some(&put)).await.body["revision"], 2);
    let second = send().await;
    assert_eq!((second.status, second.body), (first.status, first.body));
    assert_eq!(harness.count("SELECT count(*) FROM script").await, 1);
}

#[tokio::test]
async fn content_is_returned_as_it_was_sent() {
    let harness = Harness::new().await;
    for content in ["\u{feff}set -e\r\nfalse\r\n", "a\r\nb\n", " \n\t:", ":\r", "x\n\n\n", "\u{7f}\u{1b}[0m"]
    {
        let body = json!({"name": "s", "script_type": "SHELL", "content": content});
        let made = call(&harness, Method::POST, "", Some(&body)).await;
        assert_eq!(made.body["content"], content);
        assert_eq!(made.body["sha256"], hex::encode(sha256(ScriptType::Shell, content)));
        let script_id = made.body["script_id"].as_str().unwrap();
        let shown = call(&harness, Method::GET, &format!("/{script_id}"), None).await;
        assert_eq!(shown.body["content"], content);
        assert_eq!(harness.get(&format!("/scripts/{script_id}")).await["content"], content, "in /v2");
        let put = json!({"name": "s", "content": content});
        let saved = call(&harness, Method::PUT, &format!("/{script_id}"), Some(&put)).await;
        assert_eq!(saved.body["content"], content);
    }
}

#[tokio::test]
async fn text_that_no_interpreter_reads_is_refused() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    for (content, word) in [
        ("e\0c\0h\0o\0", "the text is UTF-16: save it as UTF-8"),
        ("\u{fe}\u{ff}\0e\0c", "the text is UTF-16: save it as UTF-8"),
        ("echo a\0b", "must not contain a NUL character; character 7 is one"),
        ("\u{feff}", "must have more than a byte order mark"),
    ] {
        let save = json!({"name": "s", "type": "SHELL", "content": content});
        let (status, message) = harness.refusal(Method::POST, "/scripts", Some(&save)).await;
        assert_eq!(status, 400);
        assert!(message.contains(&format!("content: {word}")), "{message}");
        let run = json!({"resource_ids": ["desktop-0"], "command": content, "command_type": "SHELL"});
        for path in ["/v1/projects/project-1/executions", "/v1/projects/project-1/executions/preview"] {
            let answer = harness.call_as(TOKEN, Method::POST, path, Some(&run)).await;
            assert_eq!(answer.status, 400);
            let message = answer.body["error_msg"].as_str().unwrap();
            assert!(message.contains(&format!("command: {word}")), "{message}");
        }
    }
}

#[tokio::test]
async fn mixed_line_ends_are_warned_of() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let post = async |path: &str, body: &Value| {
        let path = format!("/v1/projects/project-1{path}");
        let answer = harness.call_as(TOKEN, Method::POST, &path, Some(body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    let mixed = harness.create_script("mixed", "a\r\nb\n").await;
    let good = harness.create_script("good", "a\r\nb\r\n").await;
    let body = json!({"resource_ids": ["desktop-0"], "script_ids": [good, mixed]});
    for path in ["/executions/preview", "/executions"] {
        let answer = post(path, &body).await;
        let warnings = answer["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 1, "{answer}");
        assert_eq!((&warnings[0]["code"], &warnings[0]["wave"]), (&json!("MIXED_LINE_ENDS"), &json!(null)));
        let message = warnings[0]["message"].as_str().unwrap();
        assert!(message.starts_with("script \"mixed\" has lines"), "{message}");
    }
    let command = json!({"resource_ids": ["desktop-0"], "command": "a\nb", "command_type": "SHELL"});
    assert_eq!(post("/executions", &command).await["warnings"], json!([]));
    assert_eq!(post("/executions/preview", &command).await["warnings"], json!([]));
}
