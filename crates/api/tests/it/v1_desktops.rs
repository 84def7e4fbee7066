//! Desktops in the native family.

use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::{Value, json};

use crate::{
    harness::{Harness, TOKEN},
    v1_tasks::all,
};

/// Connects six desktops: 4 and 5 in a pool, on Windows, with tags; 5 is disconnected.
async fn six(harness: &Harness) {
    harness.desktops(4).await;
    let facts: Vec<_> = (4..6)
        .map(|number| {
            let mut facts = testkit::desktop(number);
            facts.os_type = "Windows".into();
            facts.pool_id = "pool-1".into();
            facts.availability_zone = "zone-b".into();
            facts.time_zone = "Europe/Berlin".into();
            facts.tags = [("team", "a=b,c"), ("ring", &number.to_string())]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            facts
        })
        .collect();
    let (worker, now) = (Harness::worker(), Harness::now());
    assert!(harness.engine.presence(&worker, &facts, &[], now).await.unwrap().is_some());
    let gone = [(testkit::project(), testkit::desktop_id(5))];
    let later = now + chrono::TimeDelta::seconds(5);
    assert!(harness.engine.presence(&worker, &[], &gone, later).await.unwrap().is_some());
}

async fn found(harness: &Harness, query: &str, size: u32) -> Vec<String> {
    let found = all(harness, &format!("/desktops{query}"), "desktops", size).await;
    found.iter().map(|desktop| desktop["desktop_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_desktop_is_shown_with_all_that_is_known() {
    let harness = Harness::new().await;
    six(&harness).await;
    insta::assert_json_snapshot!("native_desktop_away", harness.native("/desktops/desktop-5").await);
    insta::assert_json_snapshot!("native_desktop_connected", harness.native("/desktops/desktop-0").await);
    for id in ["desktop-6", "a%00b", &"x".repeat(129)] {
        let path = format!("/v1/projects/project-1/desktops/{id}");
        let missing = harness.call_as(TOKEN, Method::GET, &path, None).await;
        assert_eq!(missing.status, 404, "{id}: {}", missing.body);
    }
}

#[tokio::test]
async fn desktops_are_paged_by_id_and_filtered() {
    let harness = Harness::new().await;
    six(&harness).await;
    let every = crate::harness::ids(6);
    for size in [1, 2, 4, 6, 10] {
        assert_eq!(found(&harness, "", size).await, every, "{size}");
    }
    for (query, expected) in [
        ("?tag=ring%3D4", &every[4..5]),
        // A value may contain both separators.
        ("?tag=team%3Da%3Db%2Cc", &every[4..]),
        ("?tag=team%3Da%3Db%2Cc&tag=ring%3D5", &every[5..]),
        ("?tag=ring%3D4&tag=ring%3D4", &every[4..5]),
        ("?tag=team%3D", &every[..0]),
        ("?desktop_pool_id=pool-1", &every[4..]),
        ("?desktop_pool_id=pool-1&desktop_pool_id=other", &every[4..]),
        ("?desktop_pool_id=other", &every[..0]),
        ("?os_type=Linux", &every[..4]),
        ("?availability_zone=zone-b", &every[4..]),
        ("?status=ACTIVE", &every[..5]),
        ("?status=SHUTOFF", &every[5..]),
        ("?os_type=Windows&status=ACTIVE", &every[4..5]),
        ("?os_type=&availability_zone=&desktop_pool_id=", &every[..]),
    ] {
        assert_eq!(found(&harness, query, 1).await, expected, "{query}");
    }
}

#[tokio::test]
async fn desktops_are_filtered_by_the_age_of_their_agent() {
    let harness = Harness::new().await;
    let versions = ["0.0.9", "0.1.0-rc.1", env!("CARGO_PKG_VERSION"), "99.0.0", "test"];
    let facts: Vec<_> = (0..)
        .zip(versions)
        .map(|(number, version)| {
            let mut facts = testkit::desktop(number);
            facts.agent_version = version.into();
            facts
        })
        .collect();
    let stored = harness.engine.presence(&Harness::worker(), &facts, &[], Harness::now()).await.unwrap();
    assert!(stored.is_some());
    let every = crate::harness::ids(5);
    for (query, expected) in [
        ("?agent_version=0.0.9", &every[..1]),
        ("?agent_version=0.0.9&agent_version=0.1.0-rc.1", &every[..2]),
        ("?outdated=true", &every[..2]),
        ("?outdated=false", &every[..]),
        ("?agent_older_than=0.1.0-rc.1", &every[..1]),
        ("?agent_older_than=99.0.1", &every[..4]),
        ("?agent_older_than=0.0.1", &every[..0]),
        ("?outdated=true&agent_version=0.1.0-rc.1&agent_version=99.0.0", &every[1..2]),
        ("?outdated=true&os_type=Windows", &every[..0]),
    ] {
        for size in [1, 10] {
            assert_eq!(found(&harness, query, size).await, expected, "{query}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_filter_is_named() {
    let harness = Harness::new().await;
    for (query, word) in [
        ("tag=finance", "tag: must be key=value"),
        ("tag=%3Dfinance", "tag: must be key=value"),
        ("tag=", "tag: must be key=value"),
        ("tag=a%3Db&tag=a%3Dc", "two values of \"a\""),
        ("status=ON", "expected `ACTIVE` or `SHUTOFF`"),
        ("status=ERROR", "expected `ACTIVE` or `SHUTOFF`"),
        ("os_type=a&os_type=b", "given more than once"),
        ("agent_older_than=1.4", "agent_older_than: \"1.4\" is no version"),
        ("agent_older_than=1.4.0&outdated=true", "agent_older_than: excludes outdated"),
        ("outdated=yes", "outdated"),
        ("page_size=0", "page_size"),
        ("page_token=00", "page_token"),
    ] {
        let path = format!("/v1/projects/project-1/desktops?{query}");
        let refused = harness.call_as(TOKEN, Method::GET, &path, None).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.body["error_msg"].as_str().unwrap().contains(word), "{query}: {}", refused.body);
    }
}

#[tokio::test]
async fn who_may_see_one_desktop_does_not_see_all() {
    const ONE: &str = r#"one={"Version": "5.0", "Statement": [
        {"Effect": "Allow", "Action": ["workspace:desktops:listDetail"], "Resource": ["desktop:desktop-1"]}]}"#;
    let harness = Harness::new().await;
    six(&harness).await;
    let token = harness.token("one", &[ONE]).await;
    let look = async |path: &str| {
        harness.call_as(&token, Method::GET, &format!("/v1/projects/project-1{path}"), None).await
    };
    assert_eq!(look("/desktops/desktop-1").await.status, 200);
    for (path, resource) in [("/desktops", "desktop:*"), ("/desktops/desktop-2", "desktop:desktop-2")] {
        let refused = look(path).await;
        assert_eq!(refused.status, 403, "{path}");
        let expected = format!(
            "no policy allows workspace:desktops:listDetail on {resource} (see docs/errors.md#NO_POLICY_ALLOWS)"
        );
        assert_eq!(refused.body["error_msg"], Value::from(expected), "{path}");
    }
    let reader = harness.token("reader", &["reader"]).await;
    let page = harness.call_as(&reader, Method::GET, "/v1/projects/project-1/desktops", None).await;
    assert_eq!((page.status.as_u16(), &page.body["next_page_token"]), (200, &json!(null)));
}

#[tokio::test]
async fn repeated_change_of_a_desktop_is_made_once() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let send = async |end: &str, key: Option<&str>, body: &Value| {
        let path = format!("/v1/projects/project-1/desktops/desktop-0{end}");
        let mut request = Request::post(path).header("X-Auth-Token", TOKEN);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        harness.send(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let (ann, bob) = (json!({"set": {"owner": "ann"}}), json!({"set": {"owner": "bob"}}));
    assert_eq!(send("/tags", Some("one"), &ann).await.body["operator_tags"], json!({"owner": "ann"}));
    assert_eq!(send("/tags", None, &bob).await.body["operator_tags"], json!({"owner": "bob"}));
    let repeated = send("/tags", Some("one"), &ann).await;
    assert_eq!((repeated.status.as_u16(), &repeated.body["operator_tags"]), (200, &json!({"owner": "bob"})));
    assert_eq!(send("/tags", Some("one"), &bob).await.status, 409, "another request under the same key");

    let revoked = send("/revoke", Some("two"), &json!({})).await;
    assert_eq!(revoked.status, 200, "{}", revoked.body);
    assert_eq!(send("/revoke", Some("two"), &json!({})).await.body, revoked.body);
    let changes = "SELECT count(*) FROM audit WHERE result = 'DONE'";
    assert_eq!(harness.count(changes).await, 3, "two changes of tags and one revocation");
}
