//! Workers and desktops.

use control::RequestLimits;
use mtls::{Identity, Role};
use proto::admin::{
    DrainWorkerRequest, GetDesktopRequest, ListAuditEntriesRequest, ListDesktopsRequest, ListWorkersRequest,
    Presence, UndrainWorkerRequest, audit_service_client::AuditServiceClient,
    worker_service_client::WorkerServiceClient,
};
use scheduler::DueTimes;
use tonic::Code;

use crate::harness::{Harness, command_on, refused};

#[tokio::test]
async fn draining_worker_gets_no_orders_until_it_is_resumed() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let mut workers = harness.workers();
    let listed = workers.list_workers(ListWorkersRequest {}).await.unwrap().into_inner().workers;
    assert_eq!((listed.len(), listed[0].desktops, listed[0].draining), (1, 2, false));
    let drain = DrainWorkerRequest { worker_id: "worker-1".into() };
    let worker = workers.drain_worker(drain).await.unwrap().into_inner().worker.unwrap();
    assert!(
        worker.draining && worker.drain_requested && worker.drain_requested_by == "project-1/configuration"
    );

    // The worker has not received the drain request yet.
    let heard = async |draining| {
        harness.engine.heartbeat(&Harness::worker(), "here", 10_000, draining, Harness::now()).await.unwrap()
    };
    assert!(heard(false).await.drain, "the heartbeat carries the drain request");
    let task_id = harness.submit(command_on(2)).await.task_id;
    while harness.engine.admit_all(Harness::now()).await.unwrap() {}
    let leased = harness.engine.lease(&Harness::worker(), 100, Harness::now()).await.unwrap().leased;
    assert!(leased.is_empty(), "no batch is formed for it");

    let undrain = UndrainWorkerRequest { worker_id: "worker-1".into() };
    let worker = workers.undrain_worker(undrain).await.unwrap().into_inner().worker.unwrap();
    assert!(!worker.drain_requested && worker.draining, "until the worker reports that it works again");
    assert!(!heard(false).await.drain);
    let listed = workers.list_workers(ListWorkersRequest {}).await.unwrap().into_inner().workers;
    assert!(!listed[0].draining);
    harness.engine.reap(DueTimes::at(Harness::now())).await.unwrap();
    assert_eq!(harness.lease(&task_id).await.batch.members.len(), 2);

    let nobody = DrainWorkerRequest { worker_id: "worker-9".into() };
    assert_eq!(refused(workers.drain_worker(nobody).await).code, Code::NotFound);
}

#[tokio::test]
async fn policies_of_a_project_give_no_rights_over_workers() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let tenant = harness.token("boss", &["admin"]).await;
    let mut workers = WorkerServiceClient::new(harness.channel(Some(&tenant)));
    let worker_id = || "worker-1".to_owned();
    let refusals = [
        refused(workers.list_workers(ListWorkersRequest {}).await),
        refused(workers.drain_worker(DrainWorkerRequest { worker_id: worker_id() }).await),
        refused(workers.undrain_worker(UndrainWorkerRequest { worker_id: worker_id() }).await),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code, Code::PermissionDenied);
        assert!(refusal.message.contains("access.cluster_admins"), "{}", refusal.message);
    }
    let listed = harness.workers().list_workers(ListWorkersRequest {}).await.unwrap().into_inner();
    assert!(!listed.workers[0].drain_requested);
    // The refused changes are in the tenant's own audit.
    let own = "SELECT count(*)::text FROM audit WHERE project_id = 'project-1' AND principal = 'boss'
               AND action LIKE 'graywave:workers:%' AND result = 'REFUSED'";
    assert_eq!(harness.text(own).await, "3");
}

#[tokio::test]
async fn drains_are_in_the_audit_of_the_cluster() {
    let ann = Identity::role(Role::Admin, "ann").unwrap();
    let harness = Harness::with(RequestLimits::default(), Some(ann)).await;
    harness.desktops(1).await;
    let drain = || DrainWorkerRequest { worker_id: "worker-1".into() };
    harness.workers().drain_worker(drain()).await.unwrap();
    WorkerServiceClient::new(harness.channel(None)).drain_worker(drain()).await.unwrap();
    // Without a token, the certificate reads the cluster's audit.
    let mut cluster = AuditServiceClient::new(harness.channel(None));
    let entries = cluster.list_audit_entries(ListAuditEntriesRequest::default()).await.unwrap();
    let entries = entries.into_inner().entries;
    let shown = entries.iter().map(|it| (it.principal.as_str(), it.action.as_str(), it.resource.as_str()));
    let action = "graywave:workers:drain";
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [("certificate", action, "worker:worker-1"), ("project-1/configuration", action, "worker:worker-1")]
    );
    let own = harness.audit().list_audit_entries(ListAuditEntriesRequest::default()).await.unwrap();
    assert!(own.into_inner().entries.is_empty(), "a tenant sees none of them");
}

#[tokio::test]
async fn desktops_are_found_by_what_they_are() {
    let harness = Harness::new().await;
    harness.desktops(5).await;
    let mut desktops = harness.desktops_client();
    let mut found = async |request| {
        let answer = desktops.list_desktops(request).await.unwrap().into_inner();
        (answer.desktops.into_iter().map(|it| it.desktop_id).collect::<Vec<_>>(), answer.next_page_token)
    };
    let tagged = ListDesktopsRequest {
        tags: [("pool".to_owned(), "finance".to_owned())].into(),
        presence: Presence::Active.into(),
        ..Default::default()
    };
    assert_eq!(found(tagged).await.0, ["desktop-0", "desktop-2", "desktop-4"]);
    let away = ListDesktopsRequest { presence: Presence::Shutoff.into(), ..Default::default() };
    assert!(found(away).await.0.is_empty());
    let pool =
        ListDesktopsRequest { desktop_pool_ids: vec!["pool-1".into()], page_size: 3, ..Default::default() };
    let (first, page_token) = found(pool.clone()).await;
    let (second, last) = found(ListDesktopsRequest { page_token, ..pool }).await;
    assert_eq!((first.len(), second.len(), last.as_str()), (3, 2, ""));

    let prefix =
        |prefix: &str| ListDesktopsRequest { desktop_id_prefix: prefix.into(), ..Default::default() };
    assert_eq!(found(prefix("desktop-")).await.0.len(), 5);
    assert_eq!(found(prefix("desktop-3")).await.0, ["desktop-3"]);
    assert!(found(prefix("desktop_")).await.0.is_empty() && found(prefix("%")).await.0.is_empty());

    let shown = desktops.get_desktop(GetDesktopRequest { desktop_id: "desktop-0".into() }).await.unwrap();
    let shown = shown.into_inner().desktop.unwrap();
    assert_eq!((shown.worker_id.as_str(), shown.presence()), ("worker-1", Presence::Active));
    for id in ["desktop-9", "", "a\0"] {
        let request = GetDesktopRequest { desktop_id: id.into() };
        assert_eq!(refused(desktops.get_desktop(request).await).code, Code::NotFound, "{id:?}");
    }
    let nul = ListDesktopsRequest { os_type: "\0".into(), ..Default::default() };
    assert_eq!(refused(desktops.list_desktops(nul).await).fields, ["os_type"]);
}
