//! Tokens, certificates and revocations on a real Postgres.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    desktop::{Certificate, DesktopFacts},
    enrolment::{Assignment, EnrolmentToken},
};
use sqlx::PgConnection;
use store::{
    desktop as presence,
    enrolment::{self, EnrolmentTokenRow, NewCertificate},
    project,
};
use testkit::{desktop, desktop_id, project};
use uuid::Uuid;

use crate::{now, text, worker_id};

const TOKEN: [u8; 32] = [1; 32];
const KEY: [u8; 32] = [2; 32];

fn later(minutes: i64) -> Timestamp {
    now() + TimeDelta::minutes(minutes)
}

async fn make_token(connection: &mut PgConnection) -> Uuid {
    assert!(project::insert(connection, &project(), "p", now()).await.unwrap());
    let token = EnrolmentToken {
        desktop_id: None,
        assignment: Assignment::default(),
        created_at: now(),
        expires_at: later(60),
        revoked_at: None,
        max_uses: 2,
        uses: 0,
    };
    let row = EnrolmentTokenRow { token_id: Uuid::from_u128(7), token };
    enrolment::insert_token(connection, &project(), &row, &TOKEN).await.unwrap();
    row.token_id
}

/// Stores a certificate of desktop 1 that is valid for one hour.
async fn certify(connection: &mut PgConnection, serial: &str, token_id: Option<Uuid>, at: Timestamp) {
    let new = NewCertificate {
        project_id: &project(),
        desktop_id: &desktop_id(1),
        serial,
        public_key_sha256: &KEY,
        chain: &[serial.as_bytes().to_vec()],
        token_id,
        issued_at: at,
        not_after: at + TimeDelta::hours(1),
    };
    enrolment::insert_certificate(connection, &new, at).await.unwrap();
}

/// Creates the facts of desktop 1, connected with a certificate that is valid from a given time.
fn shown(serial: &str, not_before: Timestamp) -> DesktopFacts {
    let not_after = not_before + TimeDelta::hours(1);
    DesktopFacts {
        certificate: Some(Certificate { serial: serial.into(), not_before, not_after }),
        ..desktop(1)
    }
}

#[tokio::test]
async fn a_token_is_found_until_its_project_is_revoked() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let token_id = make_token(&mut connection).await;
    assert_eq!(enrolment::hold_token(&mut connection, Uuid::from_u128(8)).await.unwrap(), None);
    enrolment::spend(&mut connection, token_id).await.unwrap();
    let held = enrolment::hold_token(&mut connection, token_id).await.unwrap().unwrap();
    assert_eq!((held.project_id, held.public_key, held.token.uses), (project(), TOKEN, 1));
    enrolment::spend(&mut connection, token_id).await.unwrap();
    // A constraint of the table refuses the same value as the rule.
    enrolment::spend(&mut connection, token_id).await.unwrap_err();
    assert!(enrolment::revoke_token(&mut connection, &project(), token_id, now()).await.unwrap());
    assert!(!enrolment::revoke_token(&mut connection, &project(), token_id, now()).await.unwrap());
    let listed = enrolment::list_tokens(&mut connection, &project(), None, 10).await.unwrap();
    assert_eq!(listed[0].token.revoked_at, Some(now()));
    assert!(project::revoke(&mut connection, &project(), now()).await.unwrap());
    assert_eq!(enrolment::hold_token(&mut connection, token_id).await.unwrap(), None);
}

#[tokio::test]
async fn a_key_is_answered_again_as_long_as_its_certificate_is_good() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let token_id = make_token(&mut connection).await;
    certify(&mut connection, "a", Some(token_id), now()).await;
    let (project, desktop) = (project(), desktop_id(1));
    let mut again = async |token_id: Option<Uuid>, at: Timestamp| {
        enrolment::signed_before(&mut connection, &project, &desktop, &KEY, token_id, at).await.unwrap()
    };
    assert_eq!(again(Some(token_id), later(59)).await, Some(vec![b"a".to_vec()]));
    assert_eq!(again(Some(token_id), later(60)).await, None, "the certificate has expired");
    assert_eq!(again(None, now()).await, None, "the certificate is not a renewal");
    // The next insert deletes certificates that expired long before.
    certify(&mut connection, "b", None, later(61)).await;
    assert_eq!(enrolment::issued(&mut connection, &project, &desktop, "a").await.unwrap(), None);
    let standing = enrolment::standing(&mut connection, &project, &desktop).await.unwrap();
    assert_eq!(standing.certified_until, Some(later(121)));
}

#[tokio::test]
async fn revocation_ends_presence_and_repeats_until_disconnect() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    make_token(&mut connection).await;
    certify(&mut connection, "a", None, now()).await;
    let (one, two) = (worker_id("one"), worker_id("two"));
    let facts = shown("a", now());
    presence::connected(&mut connection, &one, std::slice::from_ref(&facts), now()).await.unwrap();
    let (project, desktop) = (project(), desktop_id(1));
    let revoked = enrolment::revoke_desktop(&mut connection, &project, &desktop, later(1)).await.unwrap();
    assert_eq!((revoked.certificates, revoked.was_connected, revoked.is_known), (1, true, true));
    let among = enrolment::revoked_among(&mut connection, std::slice::from_ref(&facts)).await.unwrap();
    assert_eq!(among, [(project.clone(), desktop.clone())]);
    let to_end = enrolment::to_end(&mut connection, &one, 10).await.unwrap();
    assert_eq!((to_end.len(), to_end[0].serial.as_str()), (1, "a"));
    assert!(enrolment::to_end(&mut connection, &two, 10).await.unwrap().is_empty());
    let holder = "SELECT coalesce(worker_id, '-') FROM desktop";
    assert_eq!(text(&mut connection, holder).await, "-");
    presence::disconnected(&mut connection, &one, &[(project, desktop)], later(2)).await.unwrap();
    assert!(enrolment::to_end(&mut connection, &one, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_worker_that_is_gone_has_no_connections_to_end() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let one = worker_id("one");
    presence::connected(&mut connection, &one, &[shown("by-hand", now())], now()).await.unwrap();
    enrolment::revoke_desktop(&mut connection, &project(), &desktop_id(1), later(1)).await.unwrap();
    assert_eq!(enrolment::to_end(&mut connection, &one, 10).await.unwrap().len(), 1);
    presence::worker_gone(&mut connection, &one, later(2)).await.unwrap();
    assert!(enrolment::to_end(&mut connection, &one, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn manual_certificates_from_before_the_revocation_fail() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let (project, desktop) = (project(), desktop_id(1));
    let revoked = enrolment::revoke_desktop(&mut connection, &project, &desktop, now()).await.unwrap();
    assert_eq!((revoked.certificates, revoked.was_connected, revoked.is_known), (0, false, false));
    let shown = [shown("old", now()), shown("new", now() + TimeDelta::seconds(1))];
    let among = async |connection: &mut PgConnection, facts: &DesktopFacts| {
        enrolment::revoked_among(connection, std::slice::from_ref(facts)).await.unwrap().len()
    };
    assert_eq!(among(&mut connection, &shown[0]).await, 1);
    assert_eq!(among(&mut connection, &shown[1]).await, 0);
    // The row of an issued certificate decides, regardless of the start of its validity.
    certify(&mut connection, "old", None, later(1)).await;
    assert_eq!(among(&mut connection, &shown[0]).await, 0);
}

#[tokio::test]
async fn facts_of_an_agent_never_overrule_its_enrolment() {
    let database = testkit::database().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    let one = worker_id("one");
    let tag = |value: &str| domain::tags::Tags::from([("tier".to_owned(), value.to_owned())]);
    let fixed = Assignment {
        pool_id: Some("office".into()),
        availability_zone: Some("zone-1".into()),
        tags: tag("low"),
    };
    presence::assign(&mut connection, &project(), &desktop_id(1), &fixed).await.unwrap();
    let claims = DesktopFacts {
        pool_id: "finance".into(),
        availability_zone: "zone-2".into(),
        tags: tag("high"),
        ..desktop(1)
    };
    let effective = "SELECT pool_id || ' ' || availability_zone || ' ' || tags::text FROM desktop";
    for _ in 0..2 {
        presence::connected(&mut connection, &one, std::slice::from_ref(&claims), now()).await.unwrap();
        assert_eq!(text(&mut connection, effective).await, r#"office zone-1 {"tier": "low"}"#);
    }
    // A later token fixes one value again.
    let moved = Assignment { pool_id: Some("lab".into()), ..Assignment::default() };
    presence::assign(&mut connection, &project(), &desktop_id(1), &moved).await.unwrap();
    assert_eq!(text(&mut connection, effective).await, r#"lab zone-1 {"tier": "low"}"#);
    presence::connected(&mut connection, &one, &[claims], now()).await.unwrap();
    assert_eq!(text(&mut connection, effective).await, r#"lab zone-1 {"tier": "low"}"#);
}
