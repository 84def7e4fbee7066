//! Seals of the audit: nothing is left out, nobody forks a chain, and tampering is found and named.

use std::fs;

use chrono::{DurationRound as _, TimeDelta, Utc};
use control::{ChainVerdict, Control, Signature};
use domain::{
    Timestamp,
    audit::{Broken, Fault, NO_DETAILS, SealedBy, Unsigned},
    ids::ProjectId,
};
use mtls::{Identity, Role, SealRoots, Signer, SignerFiles, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ED25519};
use scheduler::{Config, Retention, Scheduler};
use sqlx::{AssertSqlSafe, PgConnection};
use store::{audit, seal};
use testkit::{TestDatabase, TestEnvironment, project};
use uuid::{NoContext, Uuid};

/// A CA, and a signer that it certified.
struct Authority {
    signer: Signer,
    roots: SealRoots,
    _dir: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a CA of a test");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        fs::write(file("ca.crt"), ca.pem()).unwrap();
        let issue = |identity: &Identity, key: &KeyPair, name: &str| {
            let now = Utc::now().timestamp();
            let params = mtls::params(identity, now - 86_400, now + 86_400).unwrap();
            fs::write(file(&format!("{name}.crt")), params.signed_by(key, &ca).unwrap().pem()).unwrap();
            fs::write(file(&format!("{name}.key")), key.serialize_pem()).unwrap();
        };
        let role = |role| Identity::role(role, "a-test").unwrap();
        issue(&role(Role::Scheduler), &KeyPair::generate().unwrap(), "tls");
        issue(&role(Role::Signer), &KeyPair::generate_for(&PKCS_ED25519).unwrap(), "signer");
        let tls = mtls::Files { ca: file("ca.crt"), cert: file("tls.crt"), key: file("tls.key") };
        let tls = Tls::load(tls).unwrap();
        let files = SignerFiles { cert: file("signer.crt"), key: file("signer.key") };
        let roots = SealRoots::read(&fs::read(file("ca.crt")).unwrap()).unwrap();
        Self { signer: Signer::load(files, tls).unwrap(), roots, _dir: dir }
    }

    fn judge(&self, message: &[u8], signature: &Signature, at: Timestamp) -> SealedBy {
        let Signature { certificate, signature } = signature;
        let at = u64::try_from(at.timestamp()).unwrap();
        match self.roots.verify_signed_at(certificate, message, signature, at) {
            Ok(identity) => SealedBy::Signer(identity.to_string()),
            Err(error) => SealedBy::Forger(error.to_string()),
        }
    }
}

/// A database with a scheduler that seals.
struct Sealed {
    database: TestDatabase,
    control: Control,
    engine: Scheduler,
    authority: Authority,
    now: Timestamp,
}

impl Sealed {
    async fn new() -> Self {
        let credentials = control::Credentials::new(Vec::new(), Vec::new());
        let TestEnvironment { database, control, engine } = TestEnvironment::new(credentials).await.unwrap();
        let authority = Authority::new();
        let engine = engine.with_signer(Some(authority.signer.clone()));
        let now = Utc::now().duration_trunc(TimeDelta::seconds(1)).unwrap();
        Self { database, control, engine, authority, now }
    }

    fn at(&self, second: i64) -> Timestamp {
        self.now + TimeDelta::seconds(second)
    }

    /// Adds an entry of a second.
    async fn entry(&self, project_id: Option<&ProjectId>, second: i64) -> Uuid {
        insert(&mut self.database.connection().await.unwrap(), project_id, self.at(second)).await
    }

    async fn seal(&self, second: i64) {
        while self.engine.seal_all(self.at(second)).await.unwrap() {}
    }

    async fn verify(&self, project_id: Option<&ProjectId>) -> Vec<ChainVerdict> {
        let judge = |message: &[u8], signature: &Signature, at| self.authority.judge(message, signature, at);
        self.control.verify_audit(project_id, Unsigned::Refused, &judge).await.unwrap()
    }

    /// Executes statements as a superuser who disables the triggers.
    async fn tamper(&self, statements: &str) {
        let mut connection = self.database.connection().await.unwrap();
        let statements = format!("SET session_replication_role = replica; {statements}");
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
    }

    async fn count(&self, statement: &str) -> i64 {
        let mut connection = self.database.connection().await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_one(&mut connection).await.unwrap()
    }
}

fn id_at(at: Timestamp) -> Uuid {
    let seconds = u64::try_from(at.timestamp()).unwrap();
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, at.timestamp_subsec_nanos()))
}

async fn insert(connection: &mut PgConnection, project_id: Option<&ProjectId>, at: Timestamp) -> Uuid {
    let entry = audit::NewEntry {
        audit_id: id_at(at),
        project_id,
        at,
        principal: "ann",
        credential: "token:1",
        action: "do",
        resource: "it",
        result: "DONE",
        reason: "",
        source: "here",
        request_id: "r",
        details: NO_DETAILS,
    };
    audit::insert(connection, &entry).await.unwrap();
    entry.audit_id
}

fn intact(verdicts: &[ChainVerdict]) {
    assert!(verdicts.iter().all(|verdict| verdict.broken.is_none()), "{verdicts:?}");
}

#[tokio::test]
async fn each_chain_is_sealed_and_verified_with_its_counts() {
    let sealed = Sealed::new().await;
    let other: ProjectId = "project-2".parse().unwrap();
    for second in 0..3 {
        sealed.entry(Some(&project()), second).await;
    }
    sealed.entry(Some(&other), 0).await;
    sealed.entry(None, 0).await;
    sealed.seal(10).await;
    sealed.entry(Some(&project()), 11).await;
    sealed.seal(20).await;
    sealed.entry(Some(&project()), 21).await;
    let verdicts = sealed.verify(None).await;
    intact(&verdicts);
    let counts = verdicts.iter().map(|it| {
        (it.project_id.as_str(), it.seals, it.sealed_entries, it.unsealed_entries, it.unsigned_seals)
    });
    assert_eq!(
        counts.collect::<Vec<_>>(),
        [("", 1, 1, 0, 0), ("project-1", 2, 4, 1, 0), ("project-2", 1, 1, 0, 0)]
    );
    assert_eq!((verdicts[1].last.number, verdicts[1].last_at), (2, Some(sealed.at(20))));
    let one = sealed.verify(Some(&other)).await;
    assert_eq!((one.len(), one[0].seals), (1, 1));

    // Without new entries nothing is written.
    sealed.seal(30).await;
    sealed.seal(40).await;
    assert_eq!(sealed.count("SELECT count(*) FROM audit_seal").await, 5);
}

#[tokio::test]
async fn late_commit_gets_a_later_seal() {
    let sealed = Sealed::new().await;
    let mut late = sealed.database.store.begin().await.unwrap();
    let early_id = insert(&mut late, Some(&project()), sealed.at(0)).await;
    let later_id = sealed.entry(Some(&project()), 1).await;
    sealed.seal(10).await;
    assert!(early_id < later_id);
    late.commit().await.unwrap();
    assert_eq!(sealed.verify(None).await[0].unsealed_entries, 1);
    sealed.seal(11).await;
    let verdicts = sealed.verify(None).await;
    intact(&verdicts);
    assert_eq!((verdicts[0].seals, verdicts[0].sealed_entries, verdicts[0].unsealed_entries), (2, 2, 0));
}

#[tokio::test]
async fn two_schedulers_never_fork_a_chain() {
    let sealed = Sealed::new().await;
    let mut connection = sealed.database.connection().await.unwrap();
    for number in 0..1_100 {
        insert(&mut connection, Some(&project()), sealed.now + TimeDelta::milliseconds(number)).await;
    }
    let other = Scheduler::new(sealed.database.another_store().unwrap(), Config::default())
        .with_signer(Some(sealed.authority.signer.clone()));
    let mut held = sealed.database.store.begin().await.unwrap();
    seal::lock_chain(&mut held, project().as_str()).await.unwrap().unwrap();
    assert!(!other.seal_all(sealed.at(5)).await.unwrap(), "it waits for nobody");
    held.rollback().await.unwrap();
    assert_eq!(sealed.count("SELECT count(*) FROM audit_seal").await, 0);

    let waiting = "SELECT count(*) FROM audit_unsealed";
    while sealed.count(waiting).await > 0 {
        let (one, two) = tokio::join!(sealed.engine.seal_all(sealed.at(5)), other.seal_all(sealed.at(5)));
        one.unwrap();
        two.unwrap();
    }
    let verdicts = sealed.verify(None).await;
    intact(&verdicts);
    assert_eq!(verdicts[0].sealed_entries, 1_100);
    assert!(verdicts[0].seals >= 3, "a seal is bounded");
}

/// Adds entries 0 to 3, one seal for each of them, tampers, and returns the verdict. In the
/// statements, `:0` to `:3` are the ids of the entries.
async fn broken(statements: &str) -> (Broken, Vec<Uuid>) {
    let sealed = Sealed::new().await;
    let mut ids = Vec::new();
    for second in 0..4 {
        ids.push(sealed.entry(Some(&project()), second).await);
        sealed.seal(second + 1).await;
    }
    let (mut statements, unsealed) = (statements.to_owned(), sealed.entry(Some(&project()), 9).await);
    ids.push(unsealed);
    for (number, id) in ids.iter().enumerate() {
        statements = statements.replace(&format!(":{number}"), &format!("'{id}'"));
    }
    intact(&sealed.verify(None).await);
    sealed.tamper(&statements).await;
    let verdict = sealed.verify(Some(&project())).await.remove(0);
    (verdict.broken.unwrap_or_else(|| panic!("not found: {statements}")), ids)
}

#[tokio::test]
async fn changed_removed_or_added_entry_is_named() {
    for column in
        ["principal", "credential", "action", "resource", "reason", "source", "request_id", "details"]
    {
        let value = if column == "details" { "'{\"a\": 1}'" } else { "'x'" };
        let (found, ids) = broken(&format!("UPDATE audit SET {column} = {value} WHERE audit_id = :1")).await;
        assert_eq!((found.seal, found.fault), (Some(2), Fault::ChangedEntry(ids[1])), "{column}");
    }
    let (found, ids) = broken("UPDATE audit SET at = at - interval '1 hour' WHERE audit_id = :2").await;
    assert_eq!((found.seal, found.fault), (Some(3), Fault::ChangedEntry(ids[2])));
    for statement in [
        "DELETE FROM audit WHERE audit_id = :2",
        "UPDATE audit SET project_id = 'project-2' WHERE audit_id = :2",
    ] {
        let (found, ids) = broken(statement).await;
        assert_eq!((found.seal, found.fault), (Some(3), Fault::MissingEntry(ids[2])), "{statement}");
        assert!(found.at.is_some());
    }
    // An entry that is not sealed yet.
    let (found, ids) = broken("DELETE FROM audit WHERE audit_id = :4").await;
    assert_eq!((found.seal, found.fault), (None, Fault::MissingEntry(ids[4])));
    let inserted = Uuid::from_u128(id_at(Utc::now() - TimeDelta::days(1)).as_u128());
    let (found, _) = broken(&format!(
        "INSERT INTO audit SELECT '{inserted}', project_id, at, principal, credential, action, resource, result, reason,
                                  source, request_id, details FROM audit WHERE audit_id = :1"
    ))
    .await;
    assert_eq!((found.seal, found.fault), (None, Fault::InsertedEntry(inserted)));
    assert!(found.at.is_some());
}

#[tokio::test]
async fn removed_changed_or_forged_seal_is_found() {
    for number in 1..=4 {
        let (found, _) = broken(&format!("DELETE FROM audit_seal WHERE seal = {number}")).await;
        assert_eq!((found.seal, found.fault), (Some(number), Fault::MissingSeal));
    }
    let (found, _) = broken("DELETE FROM audit_seal; DELETE FROM audit_chain").await;
    assert!(matches!(found.fault, Fault::InsertedEntry(_)), "{found:?}");
    for change in [
        "at = at + interval '1 second'",
        "entry_hashes = decode(repeat('00', 32), 'hex')",
        "audit_ids = '{}'",
        "previous_hash = decode(repeat('00', 32), 'hex')",
        "hash = decode(repeat('00', 32), 'hex')",
    ] {
        let (found, _) = broken(&format!("UPDATE audit_seal SET {change} WHERE seal = 2")).await;
        assert_eq!((found.seal, found.fault), (Some(2), Fault::ChangedSeal), "{change}");
    }
    let (found, _) = broken("UPDATE audit_seal SET signature = sha512('x') WHERE seal = 3").await;
    assert_eq!(found.seal, Some(3));
    assert!(matches!(found.fault, Fault::ForgedSignature(_)), "{found:?}");
    let (found, _) = broken("DELETE FROM audit_signer").await;
    assert!(matches!(found.fault, Fault::ForgedSignature(_)), "{found:?}");
    let unsigned = "UPDATE audit_seal SET signature = NULL, signer_sha256 = NULL WHERE seal = 3";
    let (found, _) = broken(unsigned).await;
    assert_eq!((found.seal, found.fault), (Some(3), Fault::MissingSignature));
    let second = "INSERT INTO audit_seal
                  SELECT (left(seal_id::text, 24) || '000000000001')::uuid, project_id, seal, at, previous_hash, hash,
                         audit_ids, entry_hashes, signer_sha256, signature FROM audit_seal WHERE seal = 4";
    let (found, _) = broken(second).await;
    assert_eq!(found.fault, Fault::MissingSeal, "two seals have the same number");
}

/// A row that is no part of the chain must not make an entry look sealed.
#[tokio::test]
async fn seal_outside_of_the_chain_hides_no_entry() {
    let sealed = Sealed::new().await;
    sealed.entry(Some(&project()), 0).await;
    sealed.seal(1).await;
    let added = sealed.entry(Some(&project()), 2).await;
    sealed
        .tamper(&format!(
            "DELETE FROM audit_unsealed WHERE audit_id = '{added}';
             ALTER TABLE audit_seal DROP CONSTRAINT audit_seal_seal_check;
             INSERT INTO audit_seal (seal_id, project_id, seal, at, previous_hash, hash, audit_ids, entry_hashes)
             SELECT (left(seal_id::text, 24) || '000000000001')::uuid, project_id, 0, at, previous_hash, hash,
                    ARRAY['{added}'::uuid], entry_hashes FROM audit_seal"
        ))
        .await;
    let verdicts = sealed.verify(Some(&project())).await;
    assert_eq!(verdicts[0].broken.as_ref().unwrap().fault, Fault::InsertedEntry(added));
}

#[tokio::test]
async fn seal_by_another_authority_is_forged() {
    let sealed = Sealed::new().await;
    sealed.entry(Some(&project()), 0).await;
    let stranger = Authority::new();
    let engine = sealed.engine.clone().with_signer(Some(stranger.signer.clone()));
    engine.seal_all(sealed.at(1)).await.unwrap();
    let found = sealed.verify(None).await.remove(0).broken.unwrap();
    assert_eq!(found.seal, Some(1));
    assert!(
        matches!(&found.fault, Fault::ForgedSignature(reason) if reason.contains("another CA")),
        "{found:?}"
    );
}

fn day(day: &str) -> Timestamp {
    format!("{day}T12:00:00Z").parse().unwrap()
}

/// Creates the partitions of January to September 2020, and an unsigned scheduler.
async fn unsigned_2020() -> (TestDatabase, Control, Scheduler) {
    let database = testkit::empty_database().await.unwrap();
    database.store.migrate().await.unwrap();
    let mut connection = database.connection().await.unwrap();
    for month in ["2020-01-15", "2020-04-15", "2020-06-15"] {
        store::partition::ensure(&mut connection, day(month)).await.unwrap();
    }
    let access = control::Access {
        fixed: control::Credentials::new(Vec::new(), Vec::new()),
        master_keys: control::MasterKeys::new(["5".repeat(64)]).unwrap(),
    };
    let clock = std::sync::Arc::new(testkit::TestClock::default());
    let control = Control::new(database.store.clone(), control::Defaults::default(), clock, access);
    let engine = Scheduler::new(database.store.clone(), Config::default());
    (database, control, engine)
}

#[tokio::test]
async fn verification_goes_on_from_the_checkpoint_of_a_drop() {
    const KEEP: Retention = Retention { tasks_days: 90, audit_days: 90 };
    let (database, control, engine) = unsigned_2020().await;
    let mut connection = database.connection().await.unwrap();
    let verify = async || {
        let verdicts = control.verify_audit(None, Unsigned::Accepted, &|_, _, _| SealedBy::Unverified).await;
        verdicts.unwrap().remove(0)
    };
    insert(&mut connection, Some(&project()), day("2020-01-10")).await;
    engine.seal_all(day("2020-01-11")).await.unwrap();
    // An entry of February, with a seal of March.
    insert(&mut connection, Some(&project()), day("2020-02-29")).await;
    engine.seal_all(day("2020-03-01")).await.unwrap();
    insert(&mut connection, Some(&project()), day("2020-03-02")).await;
    engine.seal_all(day("2020-03-03")).await.unwrap();
    let before = verify().await;
    assert_eq!((before.broken, before.sealed_entries, before.checkpoint_at), (None, 3, None));

    // An entry without a seal keeps the months.
    insert(&mut connection, Some(&project()), day("2020-01-12")).await;
    engine.retain(&KEEP, day("2020-06-15")).await.unwrap();
    assert_eq!(entries(&mut connection).await, 4);
    engine.seal_all(day("2020-06-15")).await.unwrap();
    engine.retain(&KEEP, day("2020-06-15")).await.unwrap();
    assert_eq!(entries(&mut connection).await, 1, "January and February are gone");
    let after = verify().await;
    assert_eq!((&after.broken, after.checkpoint_at), (&None, Some(day("2020-06-15"))));
    assert_eq!((after.seals, after.last.number), (3, 4), "the seal of January is gone");

    // Retention again, with nothing left of the chain.
    engine.retain(&KEEP, day("2020-12-15")).await.unwrap();
    assert_eq!(entries(&mut connection).await, 0);
    let after = verify().await;
    assert_eq!((&after.broken, after.seals, after.last.number), (&None, 0, 4));
    // Without its checkpoint, the same is a missing seal.
    let statements = "SET session_replication_role = replica; DELETE FROM audit_checkpoint";
    sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
    assert_eq!(verify().await.broken.unwrap().fault, Fault::MissingSeal);
}

async fn entries(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM audit").fetch_one(connection).await.unwrap()
}
