//! Identities of agents: cloned and restored data directories, and ids that are nearly equal.

use domain::{
    desktop::{Attach, DesktopFacts},
    identity::Refusal,
    ids::WorkerId,
};
use scheduler::Refused;
use testkit::desktop;

use crate::harness::{Harness, after, worker};

/// Connects desktop 0 with this identity. Returns the refusal, if the claim is refused.
async fn claim(harness: &Harness, at: &WorkerId, facts: DesktopFacts, second: i64) -> Option<Refusal> {
    harness.engine.heartbeat(at, "here", 10_000, false, after(second)).await.unwrap();
    let facts = DesktopFacts { connected_at: after(second), ..facts };
    let refused = harness.engine.presence(at, &[facts], &[], after(second)).await.unwrap().unwrap();
    match refused.into_iter().next() {
        Some(Refused::Claim(_, _, refusal)) => Some(refusal),
        None => None,
        Some(other) => panic!("{other:?}"),
    }
}

async fn leave(harness: &Harness, at: &WorkerId, facts: &DesktopFacts, second: i64) {
    let gone = [(facts.project_id.clone(), facts.desktop_id.clone())];
    harness.engine.presence(at, &[], &gone, after(second)).await.unwrap();
}

fn start_of(agent_id: &str, incarnation: u64, run_id: &str) -> DesktopFacts {
    DesktopFacts { agent_id: agent_id.into(), incarnation, run_id: run_id.into(), ..desktop(0) }
}

#[tokio::test]
async fn copy_of_a_connected_agent_is_refused_by_name() {
    let harness = Harness::new().await;
    let (w, v) = (worker("w"), worker("v"));
    assert_eq!(claim(&harness, &w, start_of("a", 2, "r"), 0).await, None);
    for second in 1..4 {
        let copy = start_of("a", 2, "s");
        let refusal = claim(&harness, &v, copy, second).await.unwrap();
        assert!(
            !refusal.identity_is_outdated && refusal.reason.contains("host-0 (127.0.0.1)"),
            "{refusal:?}"
        );
    }
    // The first agent changes its worker.
    assert_eq!(claim(&harness, &v, start_of("a", 2, "r"), 5).await, None);
}

#[tokio::test]
async fn replayed_start_is_told_to_renew_its_identity() {
    let harness = Harness::new().await;
    let w = worker("w");
    let last = start_of("a", 5, "r");
    assert_eq!(claim(&harness, &w, last.clone(), 0).await, None);
    leave(&harness, &w, &last, 1).await;
    for replayed in [start_of("a", 5, "s"), start_of("a", 3, "t")] {
        assert!(claim(&harness, &w, replayed, 2).await.unwrap().identity_is_outdated);
    }
    let next = start_of("a", 6, "u");
    assert_eq!(claim(&harness, &w, next.clone(), 3).await, None);
    leave(&harness, &w, &next, 4).await;
    // The former id never comes back: the desktop has had another agent since.
    assert_eq!(claim(&harness, &w, start_of("b", 1, "v"), 5).await, None);
    leave(&harness, &w, &next, 6).await;
    assert!(claim(&harness, &w, start_of("a", 7, "w"), 7).await.unwrap().identity_is_outdated);
}

#[tokio::test]
async fn id_in_another_case_or_form_is_refused() {
    let harness = Harness::new().await;
    let w = worker("w");
    let named = |id: &str| DesktopFacts { desktop_id: id.parse().unwrap(), ..desktop(0) };
    assert_eq!(claim(&harness, &w, named("B\u{fc}ro-1"), 0).await, None);
    for id in ["b\u{fc}ro-1", "B\u{dc}RO-1", "Bu\u{308}ro-1"] {
        let refusal = claim(&harness, &w, named(id), 1).await.unwrap();
        assert!(refusal.reason.contains("exists as B\u{fc}ro-1"), "{id}: {refusal:?}");
    }
    assert_eq!(harness.count("SELECT count(*) FROM desktop").await, 1);
    // Two new spellings in one call: the first counts.
    let both = [named("pc-2"), named("PC-2")];
    let refused = harness.engine.presence(&w, &both, &[], after(2)).await.unwrap().unwrap();
    assert!(matches!(&refused[..], [Refused::Claim(_, id, _)] if id.as_str() == "PC-2"), "{refused:?}");
}

/// The agent's start with a verified attach of this number.
fn attached(incarnation: u64, run_id: &str, number: u8) -> DesktopFacts {
    let attach = Attach {
        number: number.into(),
        sha256: [number; 32],
        public_key: [number; 32],
        session_key: Some(vec![number]),
    };
    DesktopFacts { attach: Some(attach), ..start_of("a", incarnation, run_id) }
}

async fn session_keys(harness: &Harness) -> String {
    let keys = "SELECT session_keys::text FROM desktop";
    sqlx::query_scalar(keys).fetch_one(&mut *harness.database.store.acquire().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn older_attach_of_an_agent_never_counts_again() {
    let harness = Harness::new().await;
    let (w, v) = (worker("w"), worker("v"));
    assert_eq!(claim(&harness, &w, attached(1, "r", 1), 9).await, None);
    // A later attach counts with any time that its worker reports.
    assert_eq!(claim(&harness, &v, attached(1, "r", 2), 5).await, None);
    let refusal = claim(&harness, &w, attached(1, "r", 1), 10).await.unwrap();
    assert!(refusal.reason.contains("newer connection"), "{refusal:?}");
    leave(&harness, &v, &attached(1, "r", 2), 11).await;
    assert!(claim(&harness, &w, attached(1, "r", 1), 12).await.is_some(), "not even while it is offline");
    // Its own worker may repeat the last one, which changes no key.
    let again = Attach { session_key: None, ..attached(1, "r", 2).attach.unwrap() };
    let again = DesktopFacts { attach: Some(again), ..attached(1, "r", 2) };
    assert_eq!(claim(&harness, &v, again, 13).await, None);
    assert_eq!(session_keys(&harness).await, r#"{"\\x02","\\x01"}"#);
    leave(&harness, &v, &attached(1, "r", 2), 14).await;
    assert_eq!(claim(&harness, &w, attached(2, "s", 1), 15).await, None, "the next start");
}

#[tokio::test]
async fn certified_desktop_never_attaches_without_a_certificate() {
    let harness = Harness::new().await;
    let w = worker("w");
    assert_eq!(claim(&harness, &w, start_of("a", 1, "r"), 0).await, None);
    assert_eq!(claim(&harness, &w, attached(2, "s", 1), 1).await, None);
    leave(&harness, &w, &attached(2, "s", 1), 2).await;
    let refusal = claim(&harness, &w, start_of("a", 3, "t"), 3).await.unwrap();
    assert!(!refusal.identity_is_outdated && refusal.reason.contains("always needs one"), "{refusal:?}");
}

#[tokio::test]
async fn last_session_keys_of_a_desktop_are_kept() {
    let harness = Harness::new().await;
    for number in 1..=6 {
        assert_eq!(claim(&harness, &worker("w"), attached(1, "r", number), i64::from(number)).await, None);
    }
    assert_eq!(session_keys(&harness).await, r#"{"\\x06","\\x05","\\x04","\\x03"}"#);
}
