//! Tags, retirement and revocation of desktops, and enrolment tokens.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::desktop::DesktopFacts;
use proto::admin::{
    CreateEnrolmentTokenRequest, Desktop, GetDesktopRequest, ListAuditEntriesRequest, ListDesktopsRequest,
    ListEnrolmentTokensRequest, PreviewTaskRequest, RetireDesktopRequest, RetiredFilter, RetryTaskRequest,
    RevokeDesktopRequest, RevokeEnrolmentTokenRequest, SubmitTaskRequest, TagDesktopRequest, TaskSpec,
    UnretireDesktopRequest, desktop_service_client::DesktopServiceClient,
    enrolment_service_client::EnrolmentServiceClient,
};
use scheduler::Refused;
use tonic::Code;

use crate::harness::{Channel, Harness, command, command_on, refused};

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn change(desktop_id: &str, set: &[(&str, &str)], remove: &[&str]) -> TagDesktopRequest {
    TagDesktopRequest {
        desktop_id: desktop_id.into(),
        set: tags(set),
        remove: remove.iter().map(ToString::to_string).collect(),
    }
}

/// Facts of `desktop-0` when its agent reconnects a second later.
fn again(agent_tags: &[(&str, &str)]) -> DesktopFacts {
    let connected_at = Harness::now() + TimeDelta::seconds(1);
    DesktopFacts { tags: tags(agent_tags), connected_at, ..testkit::desktop(0) }
}

async fn shown(desktops: &mut DesktopServiceClient<Channel>, desktop_id: &str) -> Desktop {
    let request = GetDesktopRequest { desktop_id: desktop_id.into() };
    desktops.get_desktop(request).await.unwrap().into_inner().desktop.unwrap()
}

async fn listed(desktops: &mut DesktopServiceClient<Channel>, request: ListDesktopsRequest) -> Vec<String> {
    let answer = desktops.list_desktops(request).await.unwrap().into_inner();
    answer.desktops.into_iter().map(|it| it.desktop_id).collect()
}

async fn retire(desktops: &mut DesktopServiceClient<Channel>, desktop_id: &str) -> Desktop {
    let request = RetireDesktopRequest { desktop_id: desktop_id.into() };
    desktops.retire_desktop(request).await.unwrap().into_inner().desktop.unwrap()
}

#[tokio::test]
async fn desktops_are_listed_by_the_age_of_their_agent() {
    let harness = Harness::new().await;
    let of =
        |number, version: &str| DesktopFacts { agent_version: version.into(), ..testkit::desktop(number) };
    let facts = [of(0, "0.0.9"), of(1, env!("CARGO_PKG_VERSION")), of(2, "test")];
    harness.engine.presence(&Harness::worker(), &facts, &[], Harness::now()).await.unwrap();
    let mut desktops = harness.desktops_client();
    let outdated = ListDesktopsRequest { outdated: true, ..Default::default() };
    assert_eq!(listed(&mut desktops, outdated.clone()).await, ["desktop-0"]);
    let older = ListDesktopsRequest { agent_older_than: "99.0.0".into(), ..Default::default() };
    assert_eq!(listed(&mut desktops, older.clone()).await, ["desktop-0", "desktop-1"]);
    let versions = ["test".to_owned(), "0.0.9".to_owned()].into();
    let named = ListDesktopsRequest { agent_versions: versions, ..Default::default() };
    assert_eq!(listed(&mut desktops, named).await, ["desktop-0", "desktop-2"]);
    for wrong in [
        ListDesktopsRequest { agent_older_than: "latest".into(), ..Default::default() },
        ListDesktopsRequest { outdated: true, ..older },
    ] {
        assert_eq!(refused(desktops.list_desktops(wrong).await).fields, ["agent_older_than"]);
    }
}

#[tokio::test]
async fn an_operators_tags_win_and_stay_when_the_agent_comes_again() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let mut desktops = harness.desktops_client();
    let set = change("desktop-0", &[("pool", "lab"), ("owner", "ann")], &[]);
    let tagged = desktops.tag_desktop(set.clone()).await.unwrap().into_inner().desktop.unwrap();
    assert_eq!(tagged.tags, tags(&[("owner", "ann"), ("pool", "lab")]));
    assert_eq!(tagged.operator_tags, tagged.tags);
    desktops.tag_desktop(set).await.unwrap();

    let facts = [again(&[("pool", "finance"), ("rack", "7")])];
    let refused_ones =
        harness.engine.presence(&Harness::worker(), &facts, &[], Harness::now()).await.unwrap();
    assert_eq!(refused_ones, Some(vec![]));
    let now = shown(&mut desktops, "desktop-0").await;
    assert_eq!(now.tags, tags(&[("owner", "ann"), ("pool", "lab"), ("rack", "7")]));
    let lab = ListDesktopsRequest { tags: tags(&[("pool", "lab")]), ..Default::default() };
    assert_eq!(listed(&mut desktops, lab).await, ["desktop-0"]);
    let task =
        TaskSpec { desktop_tag: "pool=lab".into(), command: Some(command("true")), ..TaskSpec::default() };
    assert_eq!(harness.submit(task).await.target_count, 1);

    let removed = desktops.tag_desktop(change("desktop-0", &[], &["pool"])).await.unwrap().into_inner();
    assert_eq!(removed.desktop.unwrap().tags["pool"], "finance", "the agent's tag applies again");
    let refusal = refused(desktops.tag_desktop(change("desktop-0", &[], &["pool"])).await);
    assert_eq!(
        (refusal.code, refusal.fields.as_slice()),
        (Code::InvalidArgument, &["remove".to_owned()][..])
    );
    assert!(refusal.message.contains("to override it"), "{}", refusal.message);
    for (wrong, field) in [
        (change("desktop-0", &[("", "x")], &[]), "set"),
        (change("desktop-0", &[("a", "x\0")], &[]), "set"),
        (change("desktop-0", &[("a", "x")], &["a"]), "remove"),
        (change("desktop-0", &[], &[]), "set"),
    ] {
        assert_eq!(refused(desktops.tag_desktop(wrong).await).fields, [field]);
    }
    let stranger = refused(desktops.tag_desktop(change("desktop-9", &[("a", "x")], &[])).await);
    assert_eq!(stranger.code, Code::NotFound);

    let action = ListAuditEntriesRequest { action: "graywave:desktops:tag".into(), ..Default::default() };
    let entries = harness.audit().list_audit_entries(action).await.unwrap().into_inner().entries;
    let done: Vec<_> =
        entries.iter().filter(|it| it.reason.is_empty()).map(|it| it.resource.as_str()).collect();
    assert_eq!(done[0], "desktop:desktop-0 remove:pool");
    assert_eq!(done[2], "desktop:desktop-0 set:owner=ann set:pool=lab");
}

#[tokio::test]
async fn retired_desktop_is_refused_until_it_is_unretired() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let mut desktops = harness.desktops_client();
    let before = harness.submit(command_on(3)).await.task_id;
    let retired = retire(&mut desktops, "desktop-0").await;
    assert_eq!((retired.worker_id.as_str(), retired.retired_by.as_str()), ("", "configuration"));
    assert!(retired.retire_time.is_some());
    assert_eq!(retire(&mut desktops, "desktop-0").await.retire_time, retired.retire_time);

    // The worker must end its connection although it has no certificate. The agent is then refused.
    let to_end = harness.engine.to_end(&Harness::worker()).await.unwrap();
    assert_eq!(
        (to_end.len(), to_end[0].desktop_id.as_str(), to_end[0].serial.as_str()),
        (1, "desktop-0", "")
    );
    let facts = [again(&[]), DesktopFacts { pool_id: "pool-1".into(), ..testkit::desktop(1) }];
    let refusals = harness.engine.presence(&Harness::worker(), &facts, &[], Harness::now()).await.unwrap();
    assert_eq!(refusals, Some(vec![Refused::Retired(testkit::project(), testkit::desktop_id(0))]));
    let gone = [(testkit::project(), testkit::desktop_id(0))];
    harness.engine.presence(&Harness::worker(), &[], &gone, Harness::now()).await.unwrap();
    assert!(harness.engine.to_end(&Harness::worker()).await.unwrap().is_empty());

    let list = |retired: RetiredFilter| ListDesktopsRequest { retired: retired.into(), ..Default::default() };
    assert_eq!(listed(&mut desktops, list(RetiredFilter::Unspecified)).await, ["desktop-1", "desktop-2"]);
    assert_eq!(listed(&mut desktops, list(RetiredFilter::Included)).await.len(), 3);
    assert_eq!(listed(&mut desktops, list(RetiredFilter::Only)).await, ["desktop-0"]);
    assert!(shown(&mut desktops, "desktop-0").await.retire_time.is_some());

    // A retired desktop is refused by id, inside or outside its pool. A pool or a tag omits it.
    let by_id = command_on(2);
    let in_pool = TaskSpec { desktop_pool_id: "pool-1".into(), ..by_id.clone() };
    for task in [by_id.clone(), in_pool] {
        let preview = PreviewTaskRequest { task: Some(task.clone()), ..Default::default() };
        let refusal = refused(harness.tasks().preview_task(preview).await);
        assert_eq!(refusal.code, Code::FailedPrecondition);
        assert!(refusal.message.contains("are retired: desktop-0"), "{}", refusal.message);
        let submit = SubmitTaskRequest { task: Some(task), ..Default::default() };
        assert_eq!(refused(harness.tasks().submit_task(submit).await).code, Code::FailedPrecondition);
    }
    let pool = TaskSpec { desktop_pool_id: "pool-1".into(), desktop_ids: Vec::new(), ..by_id.clone() };
    assert_eq!(harness.submit(pool).await.target_count, 2);
    let tag = TaskSpec { desktop_tag: "pool=finance".into(), desktop_ids: Vec::new(), ..by_id.clone() };
    assert_eq!(harness.submit(tag).await.target_count, 1);

    // Its pending target waits, as for any offline desktop.
    let leased = harness.lease(&before).await;
    let ids: Vec<&str> = leased.batch.members.iter().map(|member| member.desktop_id.as_str()).collect();
    assert!(ids.len() == 2 && !ids.contains(&"desktop-0"), "{ids:?}");

    let request = UnretireDesktopRequest { desktop_id: "desktop-0".into() };
    let back = desktops.unretire_desktop(request).await.unwrap().into_inner().desktop.unwrap();
    assert!(back.retire_time.is_none() && back.retired_by.is_empty());
    let refusals = harness.engine.presence(&Harness::worker(), &facts, &[], Harness::now()).await.unwrap();
    assert_eq!(refusals, Some(vec![]));
    assert_eq!(harness.submit(by_id).await.target_count, 2);
    for request in ["desktop-9", "a\0"] {
        let stranger = RetireDesktopRequest { desktop_id: request.into() };
        assert_eq!(refused(desktops.retire_desktop(stranger).await).code, Code::NotFound);
        let stranger = UnretireDesktopRequest { desktop_id: request.into() };
        assert_eq!(refused(desktops.unretire_desktop(stranger).await).code, Code::NotFound);
    }
}

#[tokio::test]
async fn a_retry_leaves_out_what_is_retired_by_now() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let mut desktops = harness.desktops_client();
    let task_id = harness.submit(command_on(2)).await.task_id;
    harness.run(&task_id, &[1, 1]).await;
    retire(&mut desktops, "desktop-0").await;
    let again = RetryTaskRequest { task_id: task_id.clone(), ..Default::default() };
    let retried = harness.tasks().retry_task(again).await.unwrap().into_inner().task.unwrap();
    assert_eq!(retried.target_count, 1);
    harness.run(&retried.task_id, &[1]).await;
    retire(&mut desktops, "desktop-1").await;
    let again = RetryTaskRequest { task_id: retried.task_id, ..Default::default() };
    let refusal = refused(harness.tasks().retry_task(again).await);
    assert_eq!(refusal.code, Code::FailedPrecondition);
    assert_eq!(refusal.reason, "NOTHING_TO_RETRY");
}

#[tokio::test]
async fn who_may_tag_may_not_retire_unless_a_policy_says_so() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let token = harness.token("op", &["operator"]).await;
    let mut desktops = DesktopServiceClient::new(harness.channel(Some(&token)));
    desktops.tag_desktop(change("desktop-0", &[("a", "b")], &[])).await.unwrap();
    let desktop_id = "desktop-0".to_owned();
    let denied = [
        refused(desktops.retire_desktop(RetireDesktopRequest { desktop_id: desktop_id.clone() }).await),
        refused(desktops.unretire_desktop(UnretireDesktopRequest { desktop_id: desktop_id.clone() }).await),
        refused(desktops.revoke_desktop(RevokeDesktopRequest { desktop_id }).await),
    ];
    assert!(denied.iter().all(|it| it.code == Code::PermissionDenied), "{denied:?}");
}

#[tokio::test]
async fn a_desktop_is_revoked_known_or_not() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    for (desktop_id, is_known) in [("desktop-0", true), ("never-seen", false)] {
        let request = RevokeDesktopRequest { desktop_id: desktop_id.into() };
        let revoked = harness.desktops_client().revoke_desktop(request).await.unwrap().into_inner();
        assert_eq!((revoked.certificates, revoked.was_connected, revoked.is_known), (0, false, is_known));
    }
}

#[tokio::test]
async fn enrolment_tokens_are_made_listed_and_revoked() {
    let harness = Harness::new().await;
    harness.project().await;
    let mut enrolment = EnrolmentServiceClient::new(harness.channel(Some(crate::harness::TOKEN)));
    let new = CreateEnrolmentTokenRequest { uses: Some(3), ..Default::default() };
    let made = enrolment.create_enrolment_token(new).await.unwrap().into_inner();
    let token = made.enrolment_token.unwrap();
    assert_eq!((made.secret.len(), token.max_uses, token.uses), (80, 3, 0));
    let day = token.expire_time.unwrap().seconds - token.create_time.unwrap().seconds;
    assert_eq!(day, 24 * 3_600);
    let new = CreateEnrolmentTokenRequest { desktop_id: "pc-1".into(), ..Default::default() };
    enrolment.create_enrolment_token(new).await.unwrap();
    for (uses, hours, desktop_id) in
        [(Some(0), None, ""), (Some(100_001), None, ""), (None, Some(721), ""), (Some(2), None, "pc-1")]
    {
        let wrong = CreateEnrolmentTokenRequest {
            desktop_id: desktop_id.into(),
            uses,
            expires_in_hours: hours,
            ..CreateEnrolmentTokenRequest::default()
        };
        assert_eq!(refused(enrolment.create_enrolment_token(wrong).await).code, Code::InvalidArgument);
    }
    let page = ListEnrolmentTokensRequest { page_size: 1, ..Default::default() };
    let first = enrolment.list_enrolment_tokens(page.clone()).await.unwrap().into_inner();
    assert_eq!(first.enrolment_tokens, std::slice::from_ref(&token));
    let page = ListEnrolmentTokensRequest { page_token: first.next_page_token, ..page };
    let second = enrolment.list_enrolment_tokens(page).await.unwrap().into_inner();
    assert_eq!(second.enrolment_tokens[0].desktop_id, "pc-1");
    let revoke = RevokeEnrolmentTokenRequest { token_id: token.token_id };
    enrolment.revoke_enrolment_token(revoke.clone()).await.unwrap();
    assert_eq!(refused(enrolment.revoke_enrolment_token(revoke).await).code, Code::NotFound);
    let all = enrolment.list_enrolment_tokens(ListEnrolmentTokensRequest::default()).await.unwrap();
    assert!(all.into_inner().enrolment_tokens[0].revoke_time.is_some());
}
