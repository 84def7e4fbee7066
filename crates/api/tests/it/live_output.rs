//! Output of a record while its script runs.

use std::ops::Deref as _;

use axum::http::{Method, StatusCode};
use domain::{live_output::Chunk, record::RecordId};
use scheduler::{Answer, OutputPart};
use serde_json::{Value, json};

use crate::harness::{Harness, OTHER_TOKEN, TOKEN, ids};

async fn read(harness: &Harness, record_id: &str, query: &str) -> Value {
    let path = format!("/v1/projects/project-1/records/{record_id}/output{query}");
    let answer = harness.call_as(TOKEN, Method::GET, &path, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body
}

#[tokio::test]
async fn output_is_read_from_an_offset_on_while_the_script_runs() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let body = json!({"resource_ids": ids(1), "command": "true", "command_type": "SHELL"});
    let task_id = harness.execute(&body).await;
    let record_id = format!("{task_id}-0-0-1");
    assert_eq!(read(&harness, &record_id, "").await["state"], "WAITING");
    let leased = harness.lease(&task_id).await;
    assert_eq!(read(&harness, &record_id, "?from=0").await["state"], "REQUESTED");
    let content = "one\ntwo €".as_bytes();
    let chunk = Chunk { from_offset: 0, offset: 0, content: content[..content.len() - 1].to_vec() };
    let part = OutputPart {
        record_id: record_id.parse::<RecordId>().unwrap(),
        desktop: (testkit::project(), testkit::desktop_id(0)),
        answer: Answer::Output { chunk, is_last: false },
    };
    harness.engine.add_outputs(vec![part]).await.unwrap();
    let first = read(&harness, &record_id, "").await;
    let expected = json!({
        "record_id": record_id, "state": "LIVE", "offset": 0, "output": "one\ntwo ", "next_offset": 8,
        "is_incomplete": false
    });
    assert_eq!(first, expected, "a character is never divided");
    let success = testkit::script_report(domain::outcome::Outcome::Success, Some(0), "one\ntwo €");
    harness.deref().report(&leased, vec![vec![success]]).await.unwrap();
    let whole = read(&harness, &record_id, "").await;
    assert_eq!((&whole["state"], &whole["output"]), (&json!("ENDED"), &json!("one\ntwo €")));
}

#[tokio::test]
async fn output_belongs_to_its_project_and_to_readers_of_output() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let body = json!({"resource_ids": ids(1), "command": "true", "command_type": "SHELL"});
    let record_id = format!("{}-0-0-1", harness.execute(&body).await);
    let path = |project: &str| format!("/v1/projects/{project}/records/{record_id}/output");
    let of_another = harness.call_as(OTHER_TOKEN, Method::GET, &path("project-2"), None).await;
    assert_eq!(of_another.status, StatusCode::NOT_FOUND);
    let lister = r#"lister={"Version":"5.0","Statement":[{"Effect":"Allow","Action":["workspace:scripts:listRecords"]}]}"#;
    let token = harness.token("bob", &[lister]).await;
    let refused = harness.call_as(&token, Method::GET, &path("project-1"), None).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let malformed = format!("{}?from=-1", path("project-1"));
    let malformed = harness.call_as(TOKEN, Method::GET, &malformed, None).await;
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
}
