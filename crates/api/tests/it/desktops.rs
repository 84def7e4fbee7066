//! Lists of desktops in the compatible family.

use axum::http::Method;

use crate::harness::Harness;

#[tokio::test]
async fn desktops_are_listed_by_page_and_filter() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let gone = [(testkit::project(), testkit::desktop_id(2))];
    assert!(harness.engine.presence(&Harness::worker(), &[], &gone, Harness::now()).await.unwrap().is_some());
    insta::assert_json_snapshot!("desktops", harness.get("/desktops?limit=1&offset=2").await);
    for (query, count) in [
        ("", 3),
        ("?desktop_id=desktop-0&desktop_id=desktop-1&desktop_id=none", 2),
        ("?computer_name=computer-1", 1),
        ("?desktop_ip=127.0.0.1", 3),
        ("?pool_id=a,b", 0),
        ("?status=ACTIVE", 2),
        ("?status=SHUTOFF", 1),
        ("?tag=team%3Dfinance", 0),
    ] {
        assert_eq!(harness.get(&format!("/desktops{query}")).await["total_count"], count, "{query}");
    }
    assert!(harness.get("/desktops?limit=0").await["desktops"].as_array().unwrap().is_empty());
    for query in ["limit=1001", "tag=finance", "status=ON"] {
        assert_eq!(harness.refusal(Method::GET, &format!("/desktops?{query}"), None).await.0, 400, "{query}");
    }
}
