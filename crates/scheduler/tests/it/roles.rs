//! Tasks, audit and retention under the three database roles of a production cluster.

use scheduler::{Config, Retention, Scheduler};
use testkit::{DatabaseRoles, TestDatabase, project};

use crate::{
    harness::Harness,
    retention::{at, audit_entry, ended},
};

#[tokio::test]
async fn whole_life_of_a_task_works_with_three_roles() {
    let roles = DatabaseRoles::new().await.unwrap();
    let (runtime, owner) = (roles.store(&roles.runtime).unwrap(), roles.store(&roles.partition).unwrap());
    let engine = Scheduler::new(runtime.clone(), Config::default()).with_partition_store(Some(owner.clone()));
    // The partition role creates months ahead of time.
    for day in ["2020-01-15", "2020-04-15", "2020-06-15"] {
        store::partition::ensure(&mut owner.acquire().await.unwrap(), at(day)).await.unwrap();
    }
    let database = TestDatabase { store: runtime.clone(), ..roles.database.clone() };
    let harness = Harness { database, engine };
    let old = ended(&harness, "2020-01-10", "2020-01-11").await;
    let kept = ended(&harness, "2020-06-01", "2020-06-02").await;
    {
        let mut connection = roles.connection(&roles.runtime).await.unwrap();
        audit_entry(&mut connection, "2020-01-10").await;
        audit_entry(&mut connection, "2020-06-10").await;
    }
    while harness.engine.seal_all(at("2020-06-15")).await.unwrap() {}
    let keep = Retention { tasks_days: 90, audit_days: 90 };
    while harness.engine.retain(&keep, at("2020-06-15")).await.unwrap() {}

    let mut connection = roles.connection(&roles.runtime).await.unwrap();
    let found = async |connection: &mut sqlx::PgConnection, task_id| {
        store::task::fetch(connection, &project(), task_id).await.unwrap().is_some()
    };
    assert!(!found(&mut connection, old).await && found(&mut connection, kept).await);
    assert_eq!(harness.count("SELECT count(*) FROM record").await, 2);
    assert_eq!(harness.count("SELECT count(*) FROM audit").await, 1);
    assert_eq!(harness.count("SELECT count(*) FROM audit_checkpoint").await, 1);
    let partitions = "SELECT count(*) FROM pg_class WHERE relname IN \
                      ('record_2020_01', 'target_2020_02', 'audit_2020_01', 'audit_seal_2020_01')";
    assert_eq!(harness.count(partitions).await, 0, "the months are dropped");
    drop(connection);
    runtime.close().await;
    owner.close().await;
    roles.end().await.unwrap();
}
