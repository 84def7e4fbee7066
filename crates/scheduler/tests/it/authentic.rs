//! Results and returns of a desktop that has attached with a certificate: only its agent's count.

use domain::desktop::{Attach, DesktopFacts};
use mtls::SessionKey;
use proto::{
    agent::ExecutionKey,
    scheduler::{ReportRequest, ReportResponse, ReturnedTarget, TargetResult},
    session_signing::{self, Sender},
    types::{Authenticator, ScriptResult},
};
use scheduler::Leased;
use testkit::{Submit, desktop};

use crate::{
    grpc::client,
    harness::{Harness, after, returned, start, worker},
};

const KEY_ID: [u8; 16] = [7; 16];
pub(crate) const SENDER: Sender<'_> =
    Sender { project_id: "project-1", desktop_id: "desktop-0", agent_id: "a" };

/// Connects desktop 0 with a session key to the worker `w`, and leases a target for it.
pub(crate) async fn leased(harness: &Harness) -> Leased {
    harness.online(&worker("w"), 1..2, start()).await;
    let stored = [&KEY_ID[..], &[0], &[9; 32]].concat();
    let attach = Attach { number: 1, sha256: [1; 32], public_key: [2; 32], session_key: Some(stored) };
    let facts = DesktopFacts {
        agent_id: "a".into(),
        incarnation: 1,
        run_id: "r".into(),
        attach: Some(attach),
        ..desktop(0)
    };
    let refused = harness.engine.presence(&worker("w"), &[facts], &[], start()).await.unwrap();
    assert_eq!(refused, Some(Vec::new()));
    harness.submit_and_cut(Submit::default()).await;
    harness.lease(&worker("w"), 10, start()).await.remove(0)
}

pub(crate) fn authenticator(message: &[u8]) -> Option<Authenticator> {
    let mac = SessionKey::from_bytes([9; 32]).authenticate(message);
    Some(Authenticator { key_id: KEY_ID.to_vec(), mac })
}

fn key(leased: &Leased) -> ExecutionKey {
    ExecutionKey { task_id: leased.batch.terms.task_id.to_string(), ordinal: 0, attempt: 1 }
}

fn result(leased: &Leased) -> TargetResult {
    let script = ScriptResult { outcome: "SUCCESS".into(), exit_code: Some(0), ..ScriptResult::default() };
    let ExecutionKey { task_id, ordinal, attempt } = key(leased);
    TargetResult {
        task_id,
        ordinal,
        attempt,
        scripts: vec![script],
        project_id: SENDER.project_id.into(),
        desktop_id: SENDER.desktop_id.into(),
        agent_id: SENDER.agent_id.into(),
        ..TargetResult::default()
    }
}

fn authentic(leased: &Leased, result: TargetResult) -> TargetResult {
    let message = session_signing::result_message(SENDER, &key(leased), &result.scripts, None);
    TargetResult { authenticator: authenticator(&message), ..result }
}

async fn report(harness: &Harness, request: ReportRequest) -> ReportResponse {
    let request = ReportRequest { worker_id: "w".into(), ..request };
    client(harness).report(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn certified_desktop_needs_an_authenticator_without_tls() {
    let harness = Harness::new().await;
    let leased = leased(&harness).await;
    let bare = result(&leased);
    let mut forged = authentic(&leased, bare.clone());
    forged.scripts[0].exit_code = Some(3);
    let results = vec![bare.clone(), forged, authentic(&leased, bare)];
    let answer = report(&harness, ReportRequest { results, ..ReportRequest::default() }).await;
    let refused: Vec<_> =
        answer.refused.iter().map(|refused| (refused.unauthenticated, refused.reason.as_str())).collect();
    assert_eq!(
        refused,
        [
            (true, "the result is not authentic: it has no authenticator"),
            (true, "the result is not authentic: its authenticator does not match"),
        ]
    );
    let desktop = answer.refused[0].desktop.clone().unwrap();
    assert_eq!((desktop.project_id.as_str(), desktop.desktop_id.as_str()), ("project-1", "desktop-0"));
    assert_eq!(answer.stored, 1, "the authentic one does not suffer");
}

#[tokio::test]
async fn authentic_result_with_invalid_values_becomes_unknown() {
    let harness = Harness::new().await;
    let leased = leased(&harness).await;
    let mut impossible = result(&leased);
    impossible.scripts[0].ended_at_unix_ms = i64::MAX;
    let results = vec![authentic(&leased, impossible)];
    let answer = report(&harness, ReportRequest { results, ..ReportRequest::default() }).await;
    assert_eq!((answer.stored, answer.refused.len()), (1, 0), "{answer:?}");
    assert_eq!(harness.count("SELECT count(*) FROM record WHERE outcome = 'UNKNOWN'").await, 1);
}

#[tokio::test]
async fn only_the_agent_says_that_an_order_did_not_start() {
    const MAYBE_DELIVERED: &str = "SELECT count(*) FROM (SELECT maybe_delivered FROM batch \
         UNION ALL SELECT maybe_delivered FROM deferred_target) AS target WHERE maybe_delivered";
    for is_authentic in [false, true] {
        let harness = Harness::new().await;
        let first = leased(&harness).await;
        let lost = vec![returned(&first, 0, true)];
        harness.engine.report(&worker("w"), Vec::new(), lost, after(1)).await.unwrap();
        assert_eq!(harness.count(MAYBE_DELIVERED).await, 1);
        let again = harness.leased(2).await.remove(0);
        let message = session_signing::return_message(SENDER, &key(&again), false);
        let given_back = ReturnedTarget {
            task_id: key(&again).task_id,
            batch_id: again.batch.batch_id.to_string(),
            given_back: true,
            project_id: SENDER.project_id.into(),
            desktop_id: SENDER.desktop_id.into(),
            agent_id: SENDER.agent_id.into(),
            attempt: 1,
            authenticator: authenticator(&message).filter(|_| is_authentic),
            ..ReturnedTarget::default()
        };
        let request = ReportRequest { returned: vec![given_back], ..ReportRequest::default() };
        let answer = report(&harness, request).await;
        assert!(answer.refused.is_empty(), "{answer:?}");
        assert_eq!(harness.count(MAYBE_DELIVERED).await, i64::from(!is_authentic));
    }
}
