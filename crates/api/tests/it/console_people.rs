//! People of identity providers as principals. `tests/oidc` has whole sign-ins.

use axum::http::{Method, StatusCode};
use control::{Actor, NewSession, RequestOrigin, SignedInPerson};
use domain::{Error, Reason, ids::ProjectId};
use serde_json::json;

use crate::harness::{Answer, Harness, ids, request_with};

const PERSON: &str = "oidc:corp:00u1";

fn project() -> ProjectId {
    "project-1".parse().unwrap()
}

fn person(principal: &str, policies: Option<&[&str]>) -> SignedInPerson {
    SignedInPerson {
        provider: "corp".to_owned(),
        project_id: project(),
        principal: principal.to_owned(),
        name: "alice@example.com".to_owned(),
        policies: policies.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
    }
}

async fn sign_in(harness: &Harness, person: &SignedInPerson) -> Result<NewSession, Error> {
    harness.control.sign_in_person(person, None, &RequestOrigin::default()).await
}

async fn call(
    harness: &Harness,
    session: &NewSession,
    method: Method,
    path: &str,
    body: &serde_json::Value,
) -> Answer {
    let mut request = request_with(path, None);
    *request.method_mut() = method.clone();
    let cookie = format!("__Host-graywave-session={}", session.secret);
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    request.headers_mut().insert("x-csrf-token", session.session.csrf_token.parse().unwrap());
    if method != Method::GET {
        *request.body_mut() = body.to_string().into();
    }
    harness.send(request).await
}

#[tokio::test]
async fn person_has_the_policies_of_the_last_sign_in() {
    let harness = Harness::new().await;
    harness.create_project().await.unwrap();
    let session = sign_in(&harness, &person(PERSON, Some(&["operator"]))).await.unwrap();
    assert_eq!(session.session.name, "alice@example.com");
    assert_eq!(session.session.provider.as_deref(), Some("corp"));
    let script = json!({"name": "s", "type": "SHELL", "content": "true"});
    let create = async |session: &NewSession| {
        call(&harness, session, Method::POST, "/v2/project-1/scripts", &script).await.status
    };
    assert_eq!(create(&session).await, StatusCode::OK);
    let other = sign_in(&harness, &person(PERSON, Some(&["reader"]))).await.unwrap();
    for session in [&session, &other] {
        assert_eq!(create(session).await, StatusCode::FORBIDDEN, "fewer rights count in every session");
    }
}

#[tokio::test]
async fn person_without_mapped_groups_loses_all_sessions() {
    let harness = Harness::new().await;
    harness.create_project().await.unwrap();
    let session = sign_in(&harness, &person(PERSON, Some(&["reader"]))).await.unwrap();
    let refused = sign_in(&harness, &person(PERSON, Some(&[]))).await.unwrap_err();
    assert_eq!(refused.reason, Reason::NoPolicyAllows);
    let answer = call(&harness, &session, Method::GET, "/v2/project-1/scripts", &json!(null)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let stranger = sign_in(&harness, &person("oidc:corp:new", Some(&[]))).await.unwrap_err();
    assert_eq!(stranger.reason, Reason::NoPolicyAllows);
    assert_eq!(harness.count("SELECT count(*) FROM principal WHERE principal = 'oidc:corp:new'").await, 0);
    let refusals =
        "SELECT count(*) FROM audit WHERE action = 'graywave:sessions:create' AND result = 'REFUSED'
                    AND details::text LIKE '%alice@example.com%'";
    assert_eq!(harness.count(refusals).await, 2);
}

#[tokio::test]
async fn person_gets_no_other_credentials() {
    let harness = Harness::new().await;
    harness.create_project().await.unwrap();
    let project_id = project();
    let actor = Actor::Database(&project_id);
    let early = harness.control.put_principal(actor, PERSON, &["admin".to_owned()]).await.unwrap_err();
    assert_eq!(early.reason, Reason::FieldInvalid, "nobody prepares a principal for a person");
    sign_in(&harness, &person(PERSON, Some(&["reader"]))).await.unwrap();
    assert!(harness.control.create_token(actor, PERSON, None).await.is_err());
    assert!(harness.control.create_key(actor, PERSON, None).await.is_err());
    let link = harness.control.create_sign_in_code(&project_id, PERSON).await.unwrap_err();
    assert_eq!(link.reason, Reason::FieldInvalid);
    let certificate = harness.control.authenticate_certificate("project-1", PERSON, "1").await.unwrap_err();
    assert_eq!(certificate.reason, Reason::CredentialUnknown);
    harness.control.put_principal(actor, PERSON, &[]).await.expect("an administrator may cut a person off");
}

#[tokio::test]
async fn person_cannot_approve_the_own_task() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let token = harness.token("alice", &["operator"]).await;
    let waves = json!([{"count": 1}, {"rest": true}]);
    let rollout = json!({"waves": waves, "approval": {"before_waves": [2], "distinct_approver": true}});
    let body =
        json!({"command": "true", "command_type": "SHELL", "resource_ids": ids(4), "rollout": rollout});
    let approve = async |session: &NewSession, task: &str| {
        let path = format!("/v1/projects/project-1/tasks/{task}/waves/2/approve");
        let answer = call(&harness, session, Method::POST, &path, &json!({})).await;
        answer.body["error_msg"].as_str().unwrap_or_default().contains("SELF_APPROVAL")
    };
    let first = sign_in(&harness, &person(PERSON, Some(&["operator"]))).await.unwrap();
    let again = sign_in(&harness, &person(PERSON, Some(&["operator"]))).await.unwrap();
    let linked = sign_in(&harness, &person("alice", None)).await.unwrap();
    let path = "/v1/projects/project-1/executions";
    let own = call(&harness, &first, Method::POST, path, &body).await;
    let own = own.body["task_id"].as_str().unwrap_or_else(|| panic!("{}", own.body)).to_owned();
    assert!(approve(&again, &own).await, "another session of the same person");
    assert!(!approve(&linked, &own).await, "another person");
    let by_token = harness.call_as(&token, Method::POST, path, Some(&body)).await;
    let by_token = by_token.body["task_id"].as_str().unwrap().to_owned();
    assert!(approve(&linked, &by_token).await, "a person whose subject is linked to the token's principal");
}
