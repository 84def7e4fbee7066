//! Principals, policies, credentials and the audit.

use proto::admin::{
    AuditResult, CreateKeyRequest, CreateTokenRequest, DeletePolicyRequest, GetTaskRequest,
    ListAuditEntriesRequest, ListKeysRequest, ListPoliciesRequest, ListPrincipalsRequest, ListTokensRequest,
    PauseTaskRequest, PutPolicyRequest, PutPrincipalRequest, RevokeKeyRequest, RevokeTokenRequest,
    task_service_client::TaskServiceClient,
};
use tonic::Code;

use crate::harness::{Harness, refused};

const DOCUMENT: &str =
    r#"{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["graywave:tasks:get"],"Resource":["*"]}]}"#;

#[tokio::test]
async fn principals_policies_and_credentials_are_managed() {
    let harness = Harness::new().await;
    harness.project().await;
    let mut access = harness.access();
    let put = PutPolicyRequest { name: "looker".into(), document: DOCUMENT.into() };
    let policy = access.put_policy(put).await.unwrap().into_inner().policy.unwrap();
    assert_eq!((policy.document.as_str(), policy.ready), (DOCUMENT, false));
    let page = ListPoliciesRequest { page_size: 3, ..Default::default() };
    let first = access.list_policies(page.clone()).await.unwrap().into_inner();
    assert!(first.policies.iter().all(|policy| policy.ready));
    let page = ListPoliciesRequest { page_token: first.next_page_token, ..page };
    assert_eq!(access.list_policies(page).await.unwrap().into_inner().policies[0].name, "looker");

    let put = PutPrincipalRequest { principal: "ann".into(), policies: vec!["looker".into()] };
    access.put_principal(put).await.unwrap();
    let listed = access.list_principals(ListPrincipalsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.principals[0].policies, ["looker"]);
    let bound = DeletePolicyRequest { name: "looker".into() };
    assert_eq!(refused(access.delete_policy(bound.clone()).await).code, Code::FailedPrecondition);

    let new = CreateTokenRequest { principal: "ann".into(), ..CreateTokenRequest::default() };
    let made = access.create_token(new).await.unwrap().into_inner();
    let token_id = made.token.unwrap().token_id;
    let mut as_ann = TaskServiceClient::new(harness.channel(Some(&made.secret)));
    let task = GetTaskRequest { task_id: "0".repeat(32) };
    assert_eq!(refused(as_ann.get_task(task.clone()).await).code, Code::NotFound, "ann may read");
    let pause = PauseTaskRequest { task_id: "0".repeat(32), ..Default::default() };
    let denied = refused(as_ann.pause_task(pause).await);
    assert_eq!((denied.code, denied.reason.as_str()), (Code::PermissionDenied, "NO_POLICY_ALLOWS"));
    access.revoke_token(RevokeTokenRequest { token_id: token_id.clone() }).await.unwrap();
    assert_eq!(refused(as_ann.get_task(task).await).code, Code::Unauthenticated);
    let listed = access.list_tokens(ListTokensRequest::default()).await.unwrap().into_inner().tokens;
    assert!(listed[0].token_id == token_id && listed[0].revoke_time.is_some());

    let past = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    let new = CreateKeyRequest { principal: "ann".into(), expire_time: past };
    assert_eq!(refused(access.create_key(new).await).code, Code::InvalidArgument);
    let new = CreateKeyRequest { principal: "ann".into(), expire_time: None };
    let made = access.create_key(new).await.unwrap().into_inner();
    assert_eq!(made.secret_key.len(), 40);
    let access_key = made.key.unwrap().access_key;
    access.revoke_key(RevokeKeyRequest { access_key: access_key.clone() }).await.unwrap();
    let listed = access.list_keys(ListKeysRequest::default()).await.unwrap().into_inner().keys;
    assert!(listed[0].access_key == access_key && listed[0].revoke_time.is_some());

    let other = PutPrincipalRequest { principal: "ann".into(), policies: Vec::new() };
    access.put_principal(other).await.unwrap();
    access.delete_policy(bound).await.unwrap();

    let mut audit = harness.audit();
    let mut entries = async |filter: ListAuditEntriesRequest| {
        audit.list_audit_entries(filter).await.unwrap().into_inner().entries
    };
    let refusals = ListAuditEntriesRequest {
        result: AuditResult::Refused.into(),
        principal: "ann".into(),
        ..Default::default()
    };
    let found = entries(refusals).await;
    assert_eq!((found.len(), found[0].action.as_str()), (1, "graywave:tasks:pause"));
    assert_eq!(found[0].resource, "/graywave.admin.v1.TaskService/PauseTask");
    assert!(found[0].credential.starts_with("token:") && !found[0].request_id.is_empty());
    let keys = ListAuditEntriesRequest { action: "graywave:keys:create".into(), ..Default::default() };
    assert_eq!(entries(keys).await[0].result(), AuditResult::Done);
    assert_eq!(entries(ListAuditEntriesRequest { page_size: 1, ..Default::default() }).await.len(), 1);
}
