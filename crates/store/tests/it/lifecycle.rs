//! Operator changes of desktops on a real Postgres.

use chrono::TimeDelta;
use domain::{
    containment::Containment,
    desktop::{Certificate, DesktopFacts},
    plan::Candidate,
    tags::{Tags, effective},
};
use sqlx::PgConnection;
use store::{
    desktop::{self, DesktopFilter, DesktopOrder, Retired, StoredTags},
    enrolment,
};
use testkit::{desktop_id, project};

use crate::{now, text, worker_id};

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn tagged(pairs: &[(&str, &str)]) -> DesktopFacts {
    DesktopFacts { tags: tags(pairs), ..testkit::desktop(1) }
}

async fn connect(connection: &mut PgConnection, worker: &str, facts: &[DesktopFacts]) -> usize {
    desktop::connected(connection, &worker_id(worker), facts, now()).await.unwrap().len()
}

async fn found(connection: &mut PgConnection, filter: DesktopFilter) -> Vec<String> {
    let rows = desktop::page(connection, &project(), &filter, 10).await.unwrap();
    let found = desktop::find(connection, &project(), &filter, 10).await.unwrap();
    let ids: Vec<String> = rows.into_iter().map(|row| row.facts.desktop_id.into_string()).collect();
    assert_eq!(ids, found.into_iter().map(domain::ids::DesktopId::into_string).collect::<Vec<_>>());
    let page = domain::page::Page { offset: 0, limit: 10 };
    let order = DesktopOrder::default();
    let (number, _) = desktop::list(connection, &project(), &filter, order, page).await.unwrap();
    assert_eq!(number, i64::try_from(ids.len()).unwrap());
    ids
}

#[tokio::test]
async fn system_and_containment_are_those_of_the_last_connection() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    for (os_version, containment) in
        [("Debian 12", Some(Containment::Mark)), ("Debian 13", Some(Containment::Cgroup)), ("", None)]
    {
        let facts = DesktopFacts { os_version: os_version.into(), containment, ..testkit::desktop(1) };
        assert_eq!(connect(&mut connection, "one", &[facts]).await, 0);
        let rows = desktop::page(&mut connection, &project(), &DesktopFilter::default(), 10).await.unwrap();
        assert_eq!((rows[0].facts.os_version.as_str(), rows[0].facts.containment), (os_version, containment));
    }
}

#[tokio::test]
async fn operator_tags_outlast_agent_tags_and_are_searched() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let (project, id) = (project(), desktop_id(1));
    assert_eq!(desktop::lock_tags(&mut connection, &project, &id).await.unwrap(), None);
    connect(&mut connection, "one", &[tagged(&[("pool", "a"), ("os", "x")])]).await;
    let stored = desktop::lock_tags(&mut connection, &project, &id).await.unwrap().unwrap();
    assert_eq!(stored, StoredTags { agents: tags(&[("pool", "a"), ("os", "x")]), operators: Tags::new() });
    let operators = tags(&[("pool", "b")]);
    let now_there = effective(&stored.agents, &operators);
    desktop::put_operator_tags(&mut connection, &project, &id, &operators, &now_there).await.unwrap();
    connect(&mut connection, "one", &[tagged(&[("pool", "c"), ("rack", "7")])]).await;
    let with = |pairs: &[(&str, &str)]| DesktopFilter { tags: tags(pairs), ..DesktopFilter::default() };
    assert_eq!(found(&mut connection, with(&[("pool", "b"), ("rack", "7")])).await, ["desktop-1"]);
    for gone in [[("pool", "c")], [("os", "x")]] {
        assert!(found(&mut connection, with(&gone)).await.is_empty(), "{gone:?}");
    }
    let stored = desktop::lock_tags(&mut connection, &project, &id).await.unwrap().unwrap();
    assert_eq!((stored.agents["pool"].as_str(), stored.operators), ("c", operators));
}

#[tokio::test]
async fn retired_desktop_has_no_presence_and_is_listed_on_request() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let (project, id) = (project(), desktop_id(1));
    assert!(!desktop::retire(&mut connection, &project, &id, "ann", now()).await.unwrap());
    let both = [testkit::desktop(1), testkit::desktop(2)];
    connect(&mut connection, "one", &both).await;
    assert!(desktop::retire(&mut connection, &project, &id, "ann", now()).await.unwrap());
    let later = now() + TimeDelta::minutes(1);
    assert!(desktop::retire(&mut connection, &project, &id, "bob", later).await.unwrap());
    let who = "SELECT retired_by || ' ' || coalesce(worker_id, '-') || ' ' || revoked_worker_id || '/' || revoked_serial || '/'
               FROM desktop WHERE desktop_id = 'desktop-1'";
    assert_eq!(text(&mut connection, who).await, "ann - one//");
    let to_end = enrolment::to_end(&mut connection, &worker_id("one"), 10).await.unwrap();
    assert_eq!((to_end.len(), to_end[0].serial.as_str()), (1, ""));
    for worker in ["one", "two"] {
        assert_eq!(connect(&mut connection, worker, &both[..1]).await, 1, "refused");
    }
    let keys = [(project.clone(), id.clone()), (project.clone(), desktop_id(2))];
    let among = desktop::retired_among(&mut connection, &keys).await.unwrap();
    assert_eq!(among, keys[..1]);
    let standing = enrolment::standing(&mut connection, &project, &id).await.unwrap();
    assert!(standing.is_retired && standing.revoked_at.is_none());

    let that = |retired| DesktopFilter { retired, ..DesktopFilter::default() };
    assert_eq!(found(&mut connection, that(Retired::Excluded)).await, ["desktop-2"]);
    assert_eq!(found(&mut connection, that(Retired::Included)).await, ["desktop-1", "desktop-2"]);
    assert_eq!(found(&mut connection, that(Retired::Only)).await, ["desktop-1"]);
    let known =
        desktop::candidates(&mut connection, &project, &[desktop_id(1), desktop_id(2)]).await.unwrap();
    let retired = known.iter().filter(|(_, is_retired)| *is_retired);
    let ids: Vec<_> = retired.map(|(Candidate { desktop_id, .. }, _)| desktop_id).collect();
    assert_eq!((known.len(), ids), (2, vec![&id]));

    assert!(desktop::unretire(&mut connection, &project, &id).await.unwrap());
    assert!(desktop::unretire(&mut connection, &project, &id).await.unwrap(), "the desktop is in service");
    assert!(!desktop::unretire(&mut connection, &project, &desktop_id(9)).await.unwrap());
    assert_eq!(connect(&mut connection, "two", &both[..1]).await, 0);
    assert!(!enrolment::standing(&mut connection, &project, &id).await.unwrap().is_retired);
}

#[tokio::test]
async fn certificate_serial_ends_the_connection_of_its_desktop() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let certificate = Certificate { serial: "07".into(), not_before: now(), not_after: now() };
    let facts = DesktopFacts { certificate: Some(certificate), ..testkit::desktop(1) };
    connect(&mut connection, "one", &[facts]).await;
    let (project, id) = (project(), desktop_id(1));
    // Same order as in the use case.
    enrolment::revoke_desktop(&mut connection, &project, &id, now()).await.unwrap();
    desktop::retire(&mut connection, &project, &id, "ann", now()).await.unwrap();
    let to_end = enrolment::to_end(&mut connection, &worker_id("one"), 10).await.unwrap();
    assert_eq!((to_end.len(), to_end[0].serial.as_str()), (1, "07"));
}
