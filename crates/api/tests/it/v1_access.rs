//! Access control managed through the API: the rules of the commands, with the caller in the audit.

use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Harness, TOKEN},
    v1_tasks::all,
};

const ACCESS: &str = "/v1/projects/project-1/access";

async fn call(harness: &Harness, token: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
    harness.call_as(token, method, &format!("{ACCESS}{path}"), body).await
}

/// Sends a request that must succeed and returns its response.
async fn done(harness: &Harness, token: &str, method: Method, path: &str, body: &Value) -> Value {
    let answer = call(harness, token, method.clone(), path, Some(body)).await;
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
    answer.body
}

async fn refused(
    harness: &Harness,
    token: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> (u16, String) {
    let answer = call(harness, token, method, path, body).await;
    (answer.status.as_u16(), answer.body["error_msg"].as_str().unwrap_or_default().to_owned())
}

async fn looks(harness: &Harness, token: &str, path: &str) -> u16 {
    let path = format!("/v1/projects/project-1{path}");
    harness.call_as(token, Method::GET, &path, None).await.status.as_u16()
}

fn allow(action: &str, resource: &str) -> Value {
    json!({"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": [action], "Resource": [resource]}]})
}

#[tokio::test]
async fn a_principal_is_made_given_a_token_and_shut_out() {
    let harness = Harness::new().await;
    let admin = harness.token("boss", &["admin"]).await;
    let made =
        done(&harness, &admin, Method::PUT, "/principals/alice%20b", &json!({"policies": ["reader"]})).await;
    insta::assert_json_snapshot!("native_principal", made);

    let body = json!({"principal": "alice b", "expire_time": "2027-01-15T10:00:00+01:00"});
    let answer = call(&harness, &admin, Method::POST, "/tokens", Some(&body)).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let (token, token_id) =
        (answer.body["token"].as_str().unwrap(), answer.body["token_id"].as_str().unwrap());
    assert_eq!(answer.body["expire_time"], "2027-01-15T09:00:00.000Z", "{}", answer.body);
    assert_eq!(
        (looks(&harness, token, "/scripts").await, looks(&harness, token, "/audit").await),
        (200, 403)
    );

    let listed = all(&harness, "/access/tokens", "tokens", 1).await;
    assert_eq!(listed.len(), 2, "includes the token of the admin");
    insta::assert_json_snapshot!("native_token_listed", listed[1]);
    assert_eq!(listed[1]["token_id"], token_id);

    // Other policies apply from the next request on.
    done(&harness, &admin, Method::PUT, "/principals/alice%20b", &json!({"policies": []})).await;
    assert_eq!(looks(&harness, token, "/scripts").await, 403);
    let path = format!("/tokens/{token_id}");
    let gone = call(&harness, &admin, Method::DELETE, &path, None).await;
    assert_eq!((gone.status.as_u16(), gone.body), (204, json!(null)));
    assert_eq!(looks(&harness, token, "/scripts").await, 401);
    let (status, message) = refused(&harness, &admin, Method::DELETE, &path, None).await;
    assert_eq!(status, 404);
    assert!(message.contains("revoked already"), "{message}");
    let listed = all(&harness, "/access/tokens", "tokens", 10).await;
    assert_eq!(listed[1]["revoke_time"], "2027-01-15T08:00:00.000Z", "a revoked token stays in the list");
    let names: Vec<Value> = all(&harness, "/access/principals", "principals", 1)
        .await
        .into_iter()
        .map(|row| row["principal"].clone())
        .collect();
    assert_eq!(names, ["alice b", "boss"]);
}

#[tokio::test]
async fn a_key_is_made_listed_and_revoked() {
    let harness = Harness::new().await;
    harness.token("alice", &["reader"]).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let answer = call(&harness, TOKEN, Method::POST, "/keys", Some(&json!({"principal": "alice"}))).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["cache-control"]),
            (200, &"no-store".parse().unwrap())
        );
        assert_eq!(answer.body["secret_key"].as_str().unwrap().len(), 40);
        assert_eq!(answer.body["expire_time"], json!(null));
        made.push(answer.body["access_key"].as_str().unwrap().to_owned());
    }
    let path = format!("/keys/{}", made[0]);
    assert_eq!(call(&harness, TOKEN, Method::DELETE, &path, None).await.status, 204);
    for path in [path.as_str(), "/keys/none", "/keys/a%00b"] {
        assert_eq!(refused(&harness, TOKEN, Method::DELETE, path, None).await.0, 404, "{path}");
    }
    let listed = all(&harness, "/access/keys", "keys", 2).await;
    let mut names: Vec<&str> = listed.iter().map(|key| key["access_key"].as_str().unwrap()).collect();
    assert_eq!(listed.iter().filter(|key| key["revoke_time"].is_string()).count(), 1);
    names.sort_unstable();
    made.sort_unstable();
    assert_eq!(names, made);
}

#[tokio::test]
async fn policies_are_stored_listed_and_deleted_when_nobody_has_them() {
    let harness = Harness::new().await;
    let admin = harness.token("boss", &["admin"]).await;
    let document = json!({"Version": "5.0", "Statement": [
        {"Effect": "Allow", "Action": ["workspace:*:list*"]},
        {"Effect": "Deny", "Action": ["workspace:scripts:list"], "Resource": ["script:*"]}]});
    let stored = done(&harness, &admin, Method::PUT, "/policies/lists", &document).await;
    insta::assert_json_snapshot!("native_policy", stored);
    for name in ["a", "zz"] {
        done(&harness, &admin, Method::PUT, &format!("/policies/{name}"), &allow("*", "*")).await;
    }
    for size in [1, 2, 3, 4, 6, 9] {
        let listed = all(&harness, "/access/policies", "policies", size).await;
        let names: Vec<&str> = listed.iter().map(|policy| policy["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["reader", "operator", "admin", "a", "lists", "zz"], "{size}");
        assert_eq!(listed[4], stored);
        assert_eq!((&listed[2]["ready"], &listed[2]["document"]), (&json!(true), &allow("*", "*")));
    }

    done(&harness, &admin, Method::PUT, "/principals/alice", &json!({"policies": ["lists"]})).await;
    let (status, message) = refused(&harness, &admin, Method::DELETE, "/policies/lists", None).await;
    assert_eq!(status, 409);
    assert!(message.contains("principal \"alice\" has the policy \"lists\""), "{message}");
    done(&harness, &admin, Method::PUT, "/principals/alice", &json!({"policies": ["reader"]})).await;
    let gone = call(&harness, &admin, Method::DELETE, "/policies/lists", None).await;
    assert_eq!(gone.status, 204);
    for (method, path, body, status, word) in [
        (Method::DELETE, "/policies/lists", None, 404, "does not exist"),
        (Method::DELETE, "/policies/a%00", None, 404, "does not exist"),
        (Method::DELETE, "/policies/reader", None, 409, "ready policy"),
        (Method::PUT, "/policies/reader", Some(allow("*", "*")), 409, "ready policy"),
    ] {
        let (answered, message) = refused(&harness, &admin, method.clone(), path, body.as_ref()).await;
        assert_eq!(answered, status, "{method} {path}: {message}");
        assert!(message.contains(word), "{method} {path}: {message}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_about_access_is_named() {
    let harness = Harness::new().await;
    let admin = harness.token("boss", &["admin"]).await;
    let (long, many) = ("x".repeat(129), vec!["reader"; 21]);
    for (method, path, body, status, word) in [
        (Method::PUT, "/principals/a", json!({}), 400, "policies"),
        (Method::PUT, "/principals/a", json!({"policies": [], "roles": []}), 400, "unknown field `roles`"),
        (Method::PUT, "/principals/a", json!({"policies": many}), 400, "policies: at most 20"),
        (
            Method::PUT,
            "/principals/a",
            json!({"policies": ["none"]}),
            404,
            "ready are reader, operator, admin",
        ),
        (Method::PUT, "/principals/a%0Ab", json!({"policies": []}), 400, "control character"),
        (Method::PUT, &format!("/principals/{long}"), json!({"policies": []}), 400, "1 to 128"),
        (Method::PUT, "/principals/database", json!({"policies": []}), 400, "must not be database"),
        (Method::PUT, "/principals/configuration", json!({"policies": []}), 400, "must not be configuration"),
        (Method::PUT, "/policies/p", json!([]), 400, "the body is a list"),
        (Method::PUT, "/policies/p", json!({"Version": "5.0"}), 400, "Statement"),
        (Method::PUT, "/policies/p", allow("workspace:scripts:exceute", "*"), 400, "matches no known action"),
        (Method::PUT, "/policies/p", allow("*", "desktops:x"), 400, "is not one of"),
        (Method::PUT, "/policies/p", allow(&"x".repeat(20_000), "*"), 400, "at most 16384 bytes"),
        (Method::POST, "/tokens", json!({}), 400, "principal"),
        (Method::POST, "/tokens", json!({"principal": "none"}), 404, "PUT /access/principals/NAME"),
        (Method::POST, "/tokens", json!({"principal": "boss", "days": 5}), 400, "unknown field `days`"),
        (Method::POST, "/tokens", json!({"principal": "boss", "expire_time": "soon"}), 400, "expire_time"),
        (
            Method::POST,
            "/tokens",
            json!({"principal": "boss", "expire_time": "2027-01-15T08:00:00Z"}),
            400,
            "not in the future",
        ),
        (Method::POST, "/keys", json!({"principal": "\0"}), 404, "does not exist"),
        (
            Method::POST,
            "/keys",
            json!({"principal": "boss", "expire_time": "2020-01-01T00:00:00Z"}),
            400,
            "not in the future",
        ),
    ] {
        let (answered, message) = refused(&harness, &admin, method.clone(), path, Some(&body)).await;
        assert_eq!(answered, status, "{method} {path} {body}: {message}");
        assert!(message.contains(word), "{method} {path} {body}: {message}");
    }
    let garbled = Request::put(format!("{ACCESS}/policies/p")).header("X-Auth-Token", &admin);
    let answer = harness.send(garbled.body(Body::from(&b"{\"Version\": \"\xff\"}"[..])).unwrap()).await;
    assert_eq!((answer.status.as_u16(), &answer.body["error_code"]), (400, &json!("WKS.00211102")));
    for path in ["/principals", "/policies", "/tokens", "/keys"] {
        for query in ["page_size=0", "page_token=zz", "page_token=00"] {
            let path = format!("{path}?{query}");
            assert_eq!(refused(&harness, &admin, Method::GET, &path, None).await.0, 400, "{path}");
        }
    }
    let (status, message) = refused(&harness, &admin, Method::DELETE, "/tokens/nonsense", None).await;
    assert_eq!(status, 404, "{message}");
    let before = "SELECT (SELECT count(*) FROM principal) + (SELECT count(*) FROM token)";
    assert_eq!(harness.count(before).await, 2, "a refused request changes nothing");
}

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_nowhere() {
    let harness = Harness::new().await;
    let admin = harness.token("boss", &["admin"]).await;
    let body = json!({"principal": "boss"});
    let mut secrets = Vec::new();
    for (path, field) in [("/tokens", "token"), ("/keys", "secret_key")] {
        // The response could not be repeated.
        let request = Request::post(format!("{ACCESS}{path}"))
            .header("X-Auth-Token", &admin)
            .header("Idempotency-Key", "one");
        let answer = harness.send(request.body(Body::from(body.to_string())).unwrap()).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        let message = answer.body["error_msg"].as_str().unwrap();
        assert!(message.contains("Idempotency-Key: not supported here"), "{message}");
        secrets.push(
            done(&harness, &admin, Method::POST, path, &body).await[field].as_str().unwrap().to_owned(),
        );
    }
    assert_eq!(harness.count("SELECT count(*) FROM token").await, 2);
    assert_eq!(harness.count("SELECT count(*) FROM access_key").await, 1);
    assert_eq!(harness.count("SELECT count(*) FROM idempotency").await, 0);
    let mut connection = harness.database.connection().await.unwrap();
    let mut kept: Vec<String> = sqlx::query_scalar(
        "SELECT a::text FROM audit a UNION ALL SELECT t::text FROM token t UNION ALL SELECT i::text FROM idempotency i
         UNION ALL SELECT k::text || encode(k.encrypted_secret, 'escape') FROM access_key k",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for list in ["/access/tokens", "/access/keys", "/access/principals", "/audit"] {
        kept.push(harness.native(list).await.to_string());
    }
    for text in kept {
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    }
}

#[tokio::test]
async fn rights_are_given_by_those_alone_who_have_them_all() {
    let harness = Harness::new().await;
    let admin = harness.token("boss", &["admin"]).await;
    let deny = r#"noboss={"Version": "5.0", "Statement": [
        {"Effect": "Deny", "Action": ["workspace:scripts:execute"], "Resource": ["desktop:boss-*"]}]}"#;
    let access = format!("access={}", allow("graywave:*", "*"));
    let some = format!("some={}", allow("*", "task:*"));
    let operator = harness.token("operator", &["operator"]).await;
    let reader = harness.token("reader", &["reader"]).await;
    let clerk = harness.token("clerk", &[&access]).await;
    let almost = harness.token("almost", &["admin", deny]).await;
    let on_tasks = harness.token("on-tasks", &[&some]).await;
    let before = harness.count("SELECT count(*) FROM token").await;
    let giving = [
        (Method::PUT, "/principals/clerk", json!({"policies": ["admin"]}), "principals:put"),
        (Method::PUT, "/policies/access", allow("*", "*"), "policies:put"),
        (Method::POST, "/tokens", json!({"principal": "boss"}), "tokens:create"),
        (Method::POST, "/keys", json!({"principal": "boss"}), "keys:create"),
    ];
    for (method, path, body, action) in giving {
        for (token, why) in [
            (&operator, "no policy allows graywave:"),
            (&reader, "no policy allows graywave:"),
            (&on_tasks, "no policy allows graywave:"),
            (&clerk, "gives rights"),
            (&almost, "gives rights"),
        ] {
            let (status, message) = refused(&harness, token, method.clone(), path, Some(&body)).await;
            assert_eq!(status, 403, "{method} {path}: {message}");
            assert!(message.contains(why) && message.contains(action), "{method} {path}: {message}");
        }
    }
    assert_eq!(harness.count("SELECT count(*) FROM token").await, before);
    for list in ["/principals", "/policies", "/tokens", "/keys"] {
        for (token, status) in
            [(&operator, 403), (&reader, 403), (&on_tasks, 403), (&clerk, 200), (&almost, 200)]
        {
            assert_eq!(call(&harness, token, Method::GET, list, None).await.status, status, "{list}");
        }
    }
    // Revoking a token grants no right: any caller who finds a leaked token may revoke it.
    let leaked = done(&harness, &admin, Method::POST, "/tokens", &json!({"principal": "reader"})).await;
    let path = format!("/tokens/{}", leaked["token_id"].as_str().unwrap());
    assert_eq!(refused(&harness, &operator, Method::DELETE, &path, None).await.0, 403);
    assert_eq!(call(&harness, &clerk, Method::DELETE, &path, None).await.status, 204);
    assert_eq!(looks(&harness, leaked["token"].as_str().unwrap(), "/scripts").await, 401);
}

#[tokio::test]
async fn the_audit_says_who_managed_access() {
    let harness = Harness::new().await;
    let admin = harness.token("boss", &["admin"]).await;
    done(&harness, &admin, Method::PUT, "/policies/all", &allow("*", "*")).await;
    done(&harness, &admin, Method::PUT, "/principals/alice", &json!({"policies": ["all", "reader"]})).await;
    let token = done(&harness, &admin, Method::POST, "/tokens", &json!({"principal": "alice"})).await;
    let key = done(&harness, &admin, Method::POST, "/keys", &json!({"principal": "alice"})).await;
    let (token_id, access_key) = (token["token_id"].as_str().unwrap(), key["access_key"].as_str().unwrap());
    let alice = token["token"].as_str().unwrap();
    for path in [format!("/keys/{access_key}"), format!("/tokens/{token_id}")] {
        assert_eq!(call(&harness, alice, Method::DELETE, &path, None).await.status, 204, "{path}");
    }
    done(&harness, &admin, Method::PUT, "/principals/alice", &json!({"policies": []})).await;
    call(&harness, &admin, Method::DELETE, "/policies/all", None).await;

    let brief = async |principal: &str| -> Vec<(String, String)> {
        let audit = harness.native(&format!("/audit?result=DONE&principal={principal}")).await;
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
        let entries = audit["entries"].as_array().unwrap();
        entries.iter().map(|entry| (text(entry, "action"), text(entry, "resource"))).collect()
    };
    let expected = |entries: &[(&str, &str)]| -> Vec<(String, String)> {
        entries
            .iter()
            .map(|(action, resource)| (format!("graywave:{action}"), (*resource).to_owned()))
            .collect()
    };
    assert_eq!(
        brief("boss").await,
        expected(&[
            ("policies:delete", "policy:all"),
            ("principals:put", "principal:alice policies:"),
            ("keys:create", &format!("key:{access_key} principal:alice")),
            ("tokens:create", &format!("token:{token_id} principal:alice")),
            ("principals:put", "principal:alice policies:all,reader"),
            ("policies:put", "policy:all"),
        ])
    );
    // A token may revoke itself, because the finder of a leaked token may have no other credential.
    assert_eq!(
        brief("alice").await,
        expected(&[
            ("tokens:delete", &format!("token:{token_id}")),
            ("keys:delete", &format!("key:{access_key}")),
        ])
    );
    let audit = harness.native("/audit?principal=alice&page_size=1").await;
    assert_eq!(audit["entries"][0]["credential"], format!("token:{token_id}"));
    assert_ne!(audit["entries"][0]["request_id"], "");
}

#[tokio::test]
async fn a_project_of_the_configuration_alone_is_told_what_to_do() {
    let harness = Harness::new().await;
    for (method, path, body) in [
        (Method::GET, "/principals", None),
        (Method::GET, "/policies", None),
        (Method::GET, "/tokens", None),
        (Method::GET, "/keys", None),
        (Method::PUT, "/principals/a", Some(json!({"policies": []}))),
        (Method::PUT, "/policies/a", Some(allow("*", "*"))),
        (Method::DELETE, "/policies/a", None),
        (Method::POST, "/tokens", Some(json!({"principal": "a"}))),
        (Method::POST, "/keys", Some(json!({"principal": "a"}))),
    ] {
        let (status, message) = refused(&harness, TOKEN, method.clone(), path, body.as_ref()).await;
        assert_eq!(status, 404, "{method} {path}");
        assert!(message.contains("`graywave admin projects create project-1`"), "{method} {path}: {message}");
    }
    // These credentials may do everything, for a first start.
    harness.control.create_project(&"project-1".parse().unwrap(), "p").await.unwrap();
    done(&harness, TOKEN, Method::PUT, "/principals/first", &json!({"policies": ["admin"]})).await;
    let audit = harness.native("/audit?action=graywave:principals:put&result=DONE").await;
    assert_eq!(audit["entries"][0]["principal"], "configuration");
}

#[tokio::test]
async fn a_policy_that_somebody_is_just_given_is_not_deleted() {
    let harness = Harness::new().await;
    let admin = harness.token("boss", &["admin"]).await;
    let binding = json!({"policies": ["p"]});
    for _ in 0..20 {
        done(&harness, &admin, Method::PUT, "/principals/alice", &json!({"policies": []})).await;
        done(&harness, &admin, Method::PUT, "/policies/p", &allow("*", "*")).await;
        let (bound, deleted) = tokio::join!(
            call(&harness, &admin, Method::PUT, "/principals/alice", Some(&binding)),
            call(&harness, &admin, Method::DELETE, "/policies/p", None),
        );
        // Otherwise its Deny statement would be lost unnoticed.
        let both = (bound.status.as_u16(), deleted.status.as_u16());
        assert!(matches!(both, (200, 409) | (404, 204)), "{both:?}");
    }
}

#[tokio::test]
async fn permitted_caller_makes_lists_revokes_enrolment_tokens() {
    let harness = Harness::new().await;
    let admin = harness.token("boss", &["admin"]).await;
    let operator = harness.token("op", &["operator"]).await;
    const TOKENS: &str = "/enrolment-tokens";
    let body = json!({"uses": 3, "expires_in_hours": 2});
    let answer = call(&harness, &admin, Method::POST, TOKENS, Some(&body)).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let (token, id) = (answer.body["token"].as_str().unwrap(), answer.body["token_id"].as_str().unwrap());
    assert_eq!((token.len(), &answer.body["max_uses"]), (80, &json!(3)));
    done(&harness, &admin, Method::POST, TOKENS, &json!({"desktop_id": "pc-1"})).await;
    for wrong in [
        json!({"uses": 0}),
        json!({"uses": 100_001}),
        json!({"expires_in_hours": 0}),
        json!({"expires_in_hours": 721}),
        json!({"desktop_id": ""}),
        json!({"desktop_id": "pc-1", "uses": 2}),
    ] {
        assert_eq!(refused(&harness, &admin, Method::POST, TOKENS, Some(&wrong)).await.0, 400, "{wrong}");
    }
    assert_eq!(refused(&harness, &operator, Method::POST, TOKENS, Some(&body)).await.0, 403);
    let listed = all(&harness, "/access/enrolment-tokens", "enrolment_tokens", 1).await;
    assert_eq!((&listed[0]["max_uses"], &listed[0]["uses"]), (&json!(3), &json!(0)));
    assert_eq!((&listed[1]["desktop_id"], listed.len()), (&json!("pc-1"), 2));
    assert!(!json!(listed).to_string().contains(token));
    let path = format!("{TOKENS}/{id}");
    assert_eq!(refused(&harness, &operator, Method::DELETE, &path, None).await.0, 403);
    assert_eq!(call(&harness, &admin, Method::DELETE, &path, None).await.status, 204);
    assert_eq!(refused(&harness, &admin, Method::DELETE, &path, None).await.0, 404);
}

#[tokio::test]
async fn a_desktop_is_tagged_retired_and_taken_back_by_those_who_may() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let admin = harness.token("boss", &["admin"]).await;
    let operator = harness.token("op", &["operator"]).await;
    const PATH: &str = "/v1/projects/project-1/desktops/desktop-0";
    let path = |end: &str| format!("{PATH}{end}");
    let body = json!({"set": {"owner": "ann"}});
    let tagged = harness.call_as(&operator, Method::POST, &path("/tags"), Some(&body)).await;
    assert_eq!((tagged.status.as_u16(), &tagged.body["operator_tags"]), (200, &json!({"owner": "ann"})));
    for wrong in [json!({}), json!({"set": {"": "x"}}), json!({"remove": ["a=b"]}), json!({"sett": {}})] {
        let answer = harness.call_as(&operator, Method::POST, &path("/tags"), Some(&wrong)).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
    for method in [Method::POST, Method::DELETE] {
        assert_eq!(harness.call_as(&operator, method, &path("/retire"), None).await.status, 403);
    }
    let retired = harness.call_as(&admin, Method::POST, &path("/retire"), None).await;
    assert_eq!((retired.status.as_u16(), &retired.body["retired_by"]), (200, &json!("boss")));
    let number = async |query: &str| {
        let list = format!("/v1/projects/project-1/desktops{query}");
        let answer = harness.call_as(&operator, Method::GET, &list, None).await;
        answer.body["desktops"].as_array().unwrap().len()
    };
    let numbers = [number("").await, number("?retired=INCLUDED").await, number("?retired=ONLY").await];
    assert_eq!(numbers, [0, 1, 1]);
    let back = harness.call_as(&admin, Method::DELETE, &path("/retire"), None).await;
    assert_eq!((back.status.as_u16(), &back.body["retire_time"]), (200, &json!(null)));
    assert_eq!(number("").await, 1);
}

#[tokio::test]
async fn a_desktop_is_revoked_by_those_who_may() {
    let harness = Harness::new().await;
    let admin = harness.token("boss", &["admin"]).await;
    let operator = harness.token("op", &["operator"]).await;
    let path = "/v1/projects/project-1/desktops/pc-1/revoke";
    let refused = harness.call_as(&operator, Method::POST, path, None).await;
    assert_eq!(refused.status, 403);
    let done = harness.call_as(&admin, Method::POST, path, None).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(done.body, json!({"desktop_id": "pc-1", "certificates": 0, "was_connected": false}));
}
