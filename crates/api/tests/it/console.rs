//! The web console: its files, and its sessions with their protection.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use domain::ids::ProjectId;
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, OTHER_TOKEN, TOKEN};

const SESSION: &str = "/console/session";
const SCRIPTS: &str = "/v2/project-1/scripts";

/// A browser with the cookie of a session.
struct Browser {
    cookie: String,
    csrf_token: String,
    shown: Value,
}

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "gw.example");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()
}

async fn post(harness: &Harness, headers: &[(&str, &str)], body: &Value) -> Answer {
    let json = [&[("content-type", "application/json")], headers].concat();
    harness.send(request(Method::POST, SESSION, &json, Some(body))).await
}

fn cookie_of(answer: &Answer) -> String {
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{set}");
    set.split(';').next().unwrap().to_owned()
}

async fn sign_in(harness: &Harness, body: &Value) -> Browser {
    let answer = post(harness, &[("sec-fetch-site", "same-origin")], body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    Browser {
        cookie: cookie_of(&answer),
        csrf_token: answer.body["csrf_token"].as_str().unwrap().to_owned(),
        shown: answer.body,
    }
}

impl Browser {
    async fn call(&self, harness: &Harness, method: Method, path: &str, more: &[(&str, &str)]) -> Answer {
        let headers = [&[("cookie", self.cookie.as_str()), ("sec-fetch-site", "same-origin")], more].concat();
        let body = json!({"name": "s", "type": "SHELL", "content": "true"});
        let body = (method == Method::POST).then_some(&body);
        harness.send(request(method, path, &headers, body)).await
    }

    async fn status(&self, harness: &Harness) -> (StatusCode, String) {
        let answer = self.call(harness, Method::GET, SCRIPTS, &[]).await;
        (answer.status, reason(&answer))
    }

    async fn is_signed_in(&self, harness: &Harness) -> bool {
        match self.status(harness).await {
            (StatusCode::OK, _) => true,
            (StatusCode::UNAUTHORIZED, reason) if reason == "SESSION_EXPIRED" => false,
            other => panic!("{other:?}"),
        }
    }
}

fn reason(answer: &Answer) -> String {
    let text = answer.body["error_msg"].as_str().unwrap_or_default();
    text.rsplit('#').next().unwrap_or_default().trim_end_matches(')').to_owned()
}

async fn execute(harness: &Harness, statement: &'static str) {
    let mut connection = harness.database.connection().await.unwrap();
    let done = sqlx::query(statement).execute(&mut connection).await.unwrap();
    assert!(done.rows_affected() > 0, "{statement}");
}

#[tokio::test]
async fn session_acts_as_the_principal_of_its_token() {
    let harness = Harness::new().await;
    let token = harness.token("reader", &["reader"]).await;
    let browser = sign_in(&harness, &json!({"token": token})).await;
    assert_eq!(browser.shown["principal"], "reader");
    assert_eq!(browser.shown["project_id"], "project-1");
    assert_eq!(browser.shown["provider"], Value::Null);
    assert_eq!(browser.shown["expires_at"], "2027-01-15T20:00:00.000Z");
    assert_eq!(browser.shown["idle_expires_at"], "2027-01-15T08:30:00.000Z");
    assert_eq!(browser.call(&harness, Method::GET, SCRIPTS, &[]).await.status, StatusCode::OK);
    let csrf = [("x-csrf-token", browser.csrf_token.as_str())];
    let refused = browser.call(&harness, Method::POST, SCRIPTS, &csrf).await;
    assert_eq!((refused.status, reason(&refused).as_str()), (StatusCode::FORBIDDEN, "NO_POLICY_ALLOWS"));
    let other = browser.call(&harness, Method::GET, "/v2/project-2/scripts", &[]).await;
    assert_eq!(reason(&other), "OTHER_PROJECT");
    harness.token("reader", &["operator"]).await;
    let allowed = browser.call(&harness, Method::POST, SCRIPTS, &csrf).await;
    assert_eq!(allowed.status, StatusCode::OK, "rights are those of the moment: {}", allowed.body);
    let shown = browser.call(&harness, Method::GET, SESSION, &[]).await;
    assert_eq!(shown.body, browser.shown);
}

#[tokio::test]
async fn change_needs_the_csrf_token_and_the_same_origin() {
    let harness = Harness::new().await;
    let browser = sign_in(&harness, &json!({"token": TOKEN})).await;
    let other = sign_in(&harness, &json!({"token": TOKEN})).await;
    for wrong in [&[] as &[(&str, &str)], &[("x-csrf-token", "")], &[("x-csrf-token", &other.csrf_token)]] {
        let refused = browser.call(&harness, Method::POST, SCRIPTS, wrong).await;
        assert_eq!(
            (refused.status, reason(&refused).as_str()),
            (StatusCode::FORBIDDEN, "CSRF_TOKEN_INVALID")
        );
    }
    let good = [("x-csrf-token", browser.csrf_token.as_str())];
    assert_eq!(browser.call(&harness, Method::POST, SCRIPTS, &good).await.status, StatusCode::OK);
    for cross in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
    ] {
        for method in [Method::GET, Method::POST] {
            let headers = [("cookie", browser.cookie.as_str()), ("x-csrf-token", &browser.csrf_token), cross];
            let refused = harness.send(request(method, SCRIPTS, &headers, None)).await;
            assert_eq!(reason(&refused), "CROSS_SITE_REQUEST", "{cross:?}");
        }
    }
    // A token that a program sends counts, with no regard to a cookie.
    let headers = [("cookie", "__Host-graywave-session=unknown"), ("x-auth-token", OTHER_TOKEN)];
    let answer = harness.send(request(Method::GET, "/v2/project-2/scripts", &headers, None)).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn sign_in_of_another_site_or_form_is_refused() {
    let harness = Harness::new().await;
    let body = json!({"token": TOKEN});
    for cross in [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "none"), ("origin", "null")] {
        let refused = post(&harness, &[cross], &body).await;
        assert_eq!(
            (refused.status, reason(&refused).as_str()),
            (StatusCode::FORBIDDEN, "CROSS_SITE_REQUEST")
        );
        assert!(!refused.headers.contains_key(header::SET_COOKIE));
    }
    let text = [("content-type", "text/plain")];
    let form = harness.send(request(Method::POST, SESSION, &text, Some(&body))).await;
    assert_eq!((form.status, reason(&form).as_str()), (StatusCode::BAD_REQUEST, "REQUEST_UNREADABLE"));
    for bad in [
        json!({}),
        json!({"token": 7}),
        json!({"password": "x"}),
        json!({"token": "a", "one_time_code": "b"}),
    ] {
        assert_eq!(post(&harness, &[], &bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let unknown = post(&harness, &[], &json!({"token": "an unknown token"})).await;
    assert_eq!((unknown.status, reason(&unknown).as_str()), (StatusCode::UNAUTHORIZED, "CREDENTIAL_UNKNOWN"));
    let large = post(&harness, &[], &json!({"token": "x".repeat(20_000)})).await;
    assert_eq!((large.status, reason(&large).as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "REQUEST_TOO_LARGE"));
}

#[tokio::test]
async fn sign_in_replaces_the_session_of_the_browser() {
    let harness = Harness::new().await;
    let first = sign_in(&harness, &json!({"token": TOKEN})).await;
    let stranger = sign_in(&harness, &json!({"token": TOKEN})).await;
    let answer = post(&harness, &[("cookie", &first.cookie)], &json!({"token": TOKEN})).await;
    let second = Browser { cookie: cookie_of(&answer), csrf_token: String::new(), shown: Value::Null };
    assert_ne!(first.cookie, second.cookie, "a planted secret is never taken over");
    assert!(!first.is_signed_in(&harness).await);
    assert!(second.is_signed_in(&harness).await && stranger.is_signed_in(&harness).await);
}

#[tokio::test]
async fn sign_out_ends_one_session_or_all_of_the_principal() {
    let harness = Harness::new().await;
    let (alice, bob) = (harness.token("alice", &["reader"]).await, harness.token("bob", &["reader"]).await);
    let (alice, bob) = (json!({"token": alice}), json!({"token": bob}));
    let (first, second) = (sign_in(&harness, &alice).await, sign_in(&harness, &alice).await);
    let (third, other) = (sign_in(&harness, &alice).await, sign_in(&harness, &bob).await);
    let refused = first.call(&harness, Method::DELETE, SESSION, &[]).await;
    assert_eq!(reason(&refused), "CSRF_TOKEN_INVALID", "another page must not sign a person out");
    let csrf = [("x-csrf-token", first.csrf_token.as_str())];
    let ended = first.call(&harness, Method::DELETE, SESSION, &csrf).await;
    assert_eq!(ended.status, StatusCode::NO_CONTENT);
    assert!(ended.headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    assert!(!first.is_signed_in(&harness).await && second.is_signed_in(&harness).await);
    let again = first.call(&harness, Method::DELETE, SESSION, &csrf).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT, "a repetition is no failure");
    let csrf = [("x-csrf-token", second.csrf_token.as_str())];
    let path = "/console/session?everywhere=true";
    assert_eq!(second.call(&harness, Method::DELETE, path, &csrf).await.status, StatusCode::NO_CONTENT);
    assert!(!second.is_signed_in(&harness).await && !third.is_signed_in(&harness).await);
    assert!(other.is_signed_in(&harness).await);
    let bad = other.call(&harness, Method::DELETE, "/console/session?everywhere=1", &[]).await;
    assert_eq!(reason(&bad), "FIELD_INVALID");
}

#[tokio::test]
async fn session_ends_with_its_token_principal_or_project() {
    let harness = Harness::new().await;
    let actor: ProjectId = "project-1".parse().unwrap();
    let actor = control::Actor::Database(&actor);
    let token = json!({"token": harness.token("alice", &["reader"]).await});
    let browser = sign_in(&harness, &token).await;
    let token_id = harness.control.list_tokens(actor, None, 10).await.unwrap()[0].id.clone();
    harness.control.revoke_token(actor, &token_id).await.unwrap();
    assert!(!browser.is_signed_in(&harness).await, "a revoked token");
    let token = json!({"token": harness.token("alice", &["reader"]).await});
    let browser = sign_in(&harness, &token).await;
    harness.control.put_principal(actor, "alice", &[]).await.unwrap();
    assert_eq!(browser.status(&harness).await, (StatusCode::FORBIDDEN, "NO_POLICY_ALLOWS".to_owned()));
    execute(&harness, "UPDATE token SET expires_at = '2027-01-15T07:59:59Z' WHERE revoked_at IS NULL").await;
    assert!(!browser.is_signed_in(&harness).await, "an expired token");
    let configured = sign_in(&harness, &json!({"token": TOKEN})).await;
    execute(&harness, "UPDATE project SET revoked_at = now()").await;
    let (status, _) = configured.status(&harness).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a revoked project");
}

#[tokio::test]
async fn session_of_a_removed_configured_token_ends() {
    let harness = Harness::new().await;
    let browser = sign_in(&harness, &json!({"token": TOKEN})).await;
    assert!(browser.is_signed_in(&harness).await);
    execute(&harness, "UPDATE session SET configured_sha256 = sha256('another token')").await;
    assert!(!browser.is_signed_in(&harness).await);
}

#[tokio::test]
async fn unused_and_old_sessions_end() {
    let harness = Harness::new().await;
    let browser = sign_in(&harness, &json!({"token": TOKEN})).await;
    execute(&harness, "UPDATE session SET used_at = used_at - interval '29 min', created_at = created_at - interval '29 min'").await;
    let background = [("x-graywave-background", "true")];
    assert_eq!(browser.call(&harness, Method::GET, SCRIPTS, &background).await.status, StatusCode::OK);
    let shown = browser.call(&harness, Method::GET, SESSION, &background).await;
    assert_eq!(
        shown.body["idle_expires_at"], "2027-01-15T08:01:00.000Z",
        "timers of a page do not extend it"
    );
    let stream = [("accept", "text/event-stream")];
    browser.call(&harness, Method::GET, SCRIPTS, &stream).await;
    let shown = browser.call(&harness, Method::GET, SESSION, &background).await;
    assert_eq!(shown.body["idle_expires_at"], "2027-01-15T08:01:00.000Z", "nor does a stream");
    assert!(browser.is_signed_in(&harness).await);
    let shown = browser.call(&harness, Method::GET, SESSION, &background).await;
    assert_eq!(shown.body["idle_expires_at"], "2027-01-15T08:30:00.000Z", "a use does");
    execute(&harness, "UPDATE session SET used_at = used_at - interval '30 min'").await;
    assert!(!browser.is_signed_in(&harness).await, "idle");
    let browser = sign_in(&harness, &json!({"token": TOKEN})).await;
    execute(&harness, "UPDATE session SET created_at = created_at - interval '12 h'").await;
    assert!(!browser.is_signed_in(&harness).await, "old");
    harness.control.forget_expired().await.unwrap();
    assert_eq!(harness.count("SELECT count(*) FROM session").await, 1, "the idle one is deleted");
}

#[tokio::test]
async fn excess_session_ends_the_longest_unused_one() {
    let harness = Harness::new().await;
    let token = json!({"token": harness.token("alice", &["reader"]).await});
    let first = sign_in(&harness, &token).await;
    execute(&harness, "UPDATE session SET used_at = used_at - interval '2 min'").await;
    let second = sign_in(&harness, &token).await;
    for _ in 2..20 {
        sign_in(&harness, &token).await;
    }
    assert_eq!(harness.count("SELECT count(*) FROM session").await, 20);
    let stranger = sign_in(&harness, &json!({"token": TOKEN})).await;
    assert!(stranger.is_signed_in(&harness).await);
    sign_in(&harness, &token).await;
    assert_eq!(harness.count("SELECT count(*) FROM session WHERE principal = 'alice'").await, 20);
    assert!(!first.is_signed_in(&harness).await && second.is_signed_in(&harness).await);
}

#[tokio::test]
async fn one_time_code_signs_in_once_and_briefly() {
    let harness = Harness::new().await;
    harness.token("alice", &["operator"]).await;
    let project_id: ProjectId = "project-1".parse().unwrap();
    let code = harness.control.create_sign_in_code(&project_id, "alice").await.unwrap();
    let browser = sign_in(&harness, &json!({"one_time_code": code})).await;
    assert_eq!(browser.shown["principal"], "alice");
    assert!(browser.is_signed_in(&harness).await);
    let late = harness.control.create_sign_in_code(&project_id, "alice").await.unwrap();
    execute(&harness, "UPDATE sign_in_code SET expires_at = '2027-01-15T08:00:00Z'").await;
    for code in [code.as_str(), &late, "unknown", ""] {
        let refused = post(&harness, &[], &json!({"one_time_code": code})).await;
        assert_eq!(
            (refused.status, reason(&refused).as_str()),
            (StatusCode::UNAUTHORIZED, "CREDENTIAL_UNKNOWN")
        );
    }
    let missing = harness.control.create_sign_in_code(&project_id, "nobody").await.unwrap_err();
    assert_eq!(missing.reason, domain::Reason::PrincipalNotFound);
    harness.control.forget_expired().await.unwrap();
    assert_eq!(harness.count("SELECT count(*) FROM sign_in_code").await, 0);
}

#[tokio::test]
async fn concurrent_use_of_a_code_signs_in_once() {
    let harness = Harness::new().await;
    harness.token("alice", &["reader"]).await;
    let project_id: ProjectId = "project-1".parse().unwrap();
    let code = harness.control.create_sign_in_code(&project_id, "alice").await.unwrap();
    let body = json!({"one_time_code": code});
    let answers = futures::future::join_all((0..5).map(|_| post(&harness, &[], &body))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == StatusCode::OK).count(), 1);
    assert_eq!(harness.count("SELECT count(*) FROM session").await, 1);
}

#[tokio::test]
async fn sign_in_and_sign_out_are_audited() {
    let harness = Harness::new().await;
    let token = json!({"token": harness.token("alice", &["reader"]).await});
    let browser = sign_in(&harness, &token).await;
    let csrf = [("x-csrf-token", browser.csrf_token.as_str()), ("user-agent", "a browser")];
    browser.call(&harness, Method::POST, SCRIPTS, &csrf).await;
    browser.call(&harness, Method::DELETE, SESSION, &csrf).await;
    let session = format!("session:{}", browser.shown["session_id"].as_str().unwrap());
    let entry = |action: &'static str| {
        let harness = &harness;
        async move {
            let statement =
                "SELECT principal || ' ' || credential || ' ' || resource || ' ' || result || ' ' || source
                             FROM audit WHERE action = $1";
            let mut connection = harness.database.connection().await.unwrap();
            let found: String =
                sqlx::query_scalar(statement).bind(action).fetch_one(&mut connection).await.unwrap();
            found
        }
    };
    let signed_in = entry("graywave:sessions:create").await;
    assert!(signed_in.starts_with("alice token:") && signed_in.contains(&session), "{signed_in}");
    let signed_out = entry("graywave:sessions:delete").await;
    assert_eq!(signed_out, format!("alice {session} {session} DONE a browser"));
    let refused = entry("workspace:scripts:create").await;
    assert!(refused.starts_with(&format!("alice {session} ")), "calls name their session: {refused}");
}

#[tokio::test]
async fn secret_of_a_session_is_stored_as_hash_alone() {
    let harness = Harness::new().await;
    let browser = sign_in(&harness, &json!({"token": TOKEN})).await;
    let secret = browser.cookie.split('=').nth(1).unwrap();
    assert_eq!(secret.len(), 48);
    let dump = "SELECT (SELECT string_agg(s::text, '') FROM session s) || (SELECT string_agg(a::text, '') FROM audit a)";
    let dump: String = harness.scalar(dump).await.unwrap();
    assert!(!dump.contains(secret) && !dump.contains(TOKEN) && !dump.contains(&browser.csrf_token), "{dump}");
}

#[tokio::test]
async fn fast_sign_ins_of_an_address_are_refused() {
    let harness = Harness::new().await;
    let body = json!({"token": "an unknown token"});
    let mut limited = None;
    for _ in 0..500 {
        let answer = post(&harness, &[], &body).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            limited = Some(answer);
            break;
        }
    }
    assert_eq!(limited.unwrap().headers[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn console_is_served_with_its_files_and_nothing_else() {
    let harness = Harness::new().await;
    let get = async |path: &str| harness.send(request(Method::GET, path, &[], None)).await;
    let bare = get("/console").await;
    assert_eq!(bare.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(bare.headers[header::LOCATION], "console/");
    let index = get("/console/").await;
    assert_eq!(index.status, StatusCode::OK);
    assert_eq!(index.headers[header::CACHE_CONTROL], "no-cache");
    assert!(index.headers.contains_key(header::CONTENT_SECURITY_POLICY));
    assert_eq!(get("/console/assets/missing.js").await.status, StatusCode::NOT_FOUND);
    let providers = get("/console/providers").await;
    assert_eq!((providers.status, &providers.body["providers"]), (StatusCode::OK, &json!([])));
    assert_eq!(reason(&get(SESSION).await), "CREDENTIAL_REQUIRED");
}

#[tokio::test]
async fn switched_off_console_has_no_pages_and_no_sessions() {
    let on = Harness::new().await;
    let browser = sign_in(&on, &json!({"token": TOKEN})).await;
    let options = api::Options { console: None, ..api::Options::default() };
    let off = api::router(on.control.clone(), &options);
    let status = async |request: Request<Body>| {
        tower::ServiceExt::oneshot(off.clone(), request).await.map(|response| response.status()).unwrap()
    };
    assert_eq!(status(request(Method::GET, "/console/", &[], None)).await, StatusCode::NOT_FOUND);
    let headers = [("cookie", browser.cookie.as_str())];
    assert_eq!(status(request(Method::GET, SCRIPTS, &headers, None)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn public_url_names_the_origin_behind_a_proxy() {
    let harness = Harness::new().await;
    let browser = sign_in(&harness, &json!({"token": TOKEN})).await;
    let console =
        api::ConsoleOptions { public_url: Some("https://public.example".into()), ..Default::default() };
    let options = api::Options { console: Some(console), ..api::Options::default() };
    let router = api::router(harness.control.clone(), &options);
    let status = async |origin: &str| {
        let headers = [("cookie", browser.cookie.as_str()), ("origin", origin)];
        let request = request(Method::GET, SCRIPTS, &headers, None);
        tower::ServiceExt::oneshot(router.clone(), request).await.map(|response| response.status()).unwrap()
    };
    assert_eq!(status("https://public.example").await, StatusCode::OK);
    assert_eq!(status("https://evil.example").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn command_line_gets_a_token_that_ends_with_the_session() {
    use sha2::{Digest as _, Sha256};
    let harness = Harness::new().await;
    let token = json!({"token": harness.token("alice", &["operator"]).await});
    let browser = sign_in(&harness, &token).await;
    let challenge = hex::encode(Sha256::digest("the verifier"));
    let query = format!("port=40000&challenge={challenge}&state=Abc1");
    let ask = format!("/console/cli?{query}");
    let get = async |headers: &[(&str, &str)]| {
        let response =
            tower::ServiceExt::oneshot(harness.router.clone(), request(Method::GET, &ask, headers, None));
        let body = axum::body::to_bytes(response.await.unwrap().into_body(), 10_000).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let signed_out = get(&[]).await;
    assert!(
        signed_out.contains("0;url=./#/sign-in?return_to=cli%3Fport%3D40000%26challenge"),
        "{signed_out}"
    );
    let page = get(&[("cookie", &browser.cookie), ("sec-fetch-site", "none")]).await;
    assert!(page.contains("<strong>alice</strong>") && page.contains(challenge.get(..8).unwrap()), "{page}");
    let allow = async |csrf: &str, site: &str| {
        let headers = [("cookie", browser.cookie.as_str()), ("sec-fetch-site", site)];
        let mut asked = request(Method::POST, "/console/cli", &headers, None);
        *asked.body_mut() = format!("{query}&csrf_token={csrf}").into();
        let response = tower::ServiceExt::oneshot(harness.router.clone(), asked).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(allow("", "same-origin").await.0, StatusCode::FORBIDDEN);
    assert_eq!(allow(&browser.csrf_token, "cross-site").await.0, StatusCode::FORBIDDEN);
    let code = async || {
        let (status, page) = allow(&browser.csrf_token, "same-origin").await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let target = page.split("0;url=").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
        let query = target.strip_prefix("http://127.0.0.1:40000/?code=").unwrap();
        query.strip_suffix("&state=Abc1").unwrap().to_owned()
    };
    let exchange = async |code: &str, verifier: &str| {
        let body = json!({"code": code, "verifier": verifier});
        harness.send(request(Method::POST, "/console/cli/token", &[], Some(&body))).await
    };
    let first = code().await;
    let made = exchange(&first, "the verifier").await;
    assert_eq!((made.status, &made.body["principal"]), (StatusCode::OK, &json!("alice")), "{}", made.body);
    assert_eq!(made.body["expires_at"], "2027-01-15T20:00:00Z", "the end of the session");
    let token = made.body["token"].as_str().unwrap();
    assert_eq!(harness.call_as(token, Method::GET, SCRIPTS, None).await.status, StatusCode::OK);
    assert_eq!(reason(&exchange(&first, "the verifier").await), "CREDENTIAL_UNKNOWN", "a code is valid once");
    let stolen = exchange(&code().await, "another verifier").await;
    assert_eq!(reason(&stolen), "CREDENTIAL_UNKNOWN");
    assert_eq!(
        post(&harness, &[], &json!({"one_time_code": code().await})).await.status,
        StatusCode::UNAUTHORIZED
    );
    let configured = sign_in(&harness, &json!({"token": TOKEN})).await;
    let headers = [("cookie", configured.cookie.as_str())];
    let mut asked = request(Method::POST, "/console/cli", &headers, None);
    *asked.body_mut() = format!("{query}&csrf_token={}", configured.csrf_token).into();
    assert_eq!(reason(&harness.send(asked).await), "PRINCIPAL_NOT_FOUND");
}

#[tokio::test]
async fn half_sent_sign_ins_hold_few_places() {
    use futures::FutureExt as _;
    let harness = Harness::with(|options| api::Options { max_in_flight: 100, ..options }).await;
    let (end, ended) = futures::channel::oneshot::channel::<()>();
    let ended = ended.shared();
    let half_sent = || {
        let rest = ended.clone().map(|_| Ok::<_, std::convert::Infallible>(""));
        let mut asked = request(Method::POST, SESSION, &[("content-type", "application/json")], None);
        *asked.body_mut() = Body::from_stream(futures::stream::once(rest));
        tower::ServiceExt::oneshot(harness.router.clone(), asked)
    };
    let mut pending = Box::pin(futures::future::join_all((0..64).map(|_| half_sent())));
    assert!(pending.as_mut().now_or_never().is_none(), "each waits for its body");
    let refused = post(&harness, &[], &json!({"token": TOKEN})).await;
    assert_eq!((refused.status, reason(&refused).as_str()), (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED"));
    harness.get("/scripts").await;
    let login = harness.send(request(Method::GET, "/console/login/corp", &[], None)).await;
    assert_eq!(login.status, StatusCode::NOT_FOUND, "sign-ins with a provider have places of their own");
    end.send(()).unwrap();
    let ended = pending.await;
    assert!(ended.into_iter().all(|response| response.unwrap().status() == StatusCode::BAD_REQUEST));
    sign_in(&harness, &json!({"token": TOKEN})).await;
}

#[tokio::test]
async fn sign_in_whose_body_never_arrives_is_given_up() {
    let body_timeout = std::time::Duration::from_millis(50);
    let harness = Harness::new().await;
    let router =
        api::router(harness.control.clone(), &api::Options { body_timeout, ..api::Options::default() });
    let mut asked = request(Method::POST, SESSION, &[("content-type", "application/json")], None);
    *asked.body_mut() =
        Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::convert::Infallible>>());
    let response = tower::ServiceExt::oneshot(router, asked).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn operator_of_the_database_ends_all_sessions() {
    let harness = Harness::new().await;
    let token = json!({"token": harness.token("alice", &["reader"]).await});
    let (first, second) = (sign_in(&harness, &token).await, sign_in(&harness, &token).await);
    let other = sign_in(&harness, &json!({"token": TOKEN})).await;
    let project_id: ProjectId = "project-1".parse().unwrap();
    assert_eq!(harness.control.end_sessions(&project_id, "alice").await.unwrap(), 2);
    assert!(!first.is_signed_in(&harness).await && !second.is_signed_in(&harness).await);
    assert!(other.is_signed_in(&harness).await);
    let audited =
        "SELECT count(*) FROM audit WHERE action = 'graywave:sessions:delete' AND principal = 'database'";
    assert_eq!(harness.count(audited).await, 1);
}
