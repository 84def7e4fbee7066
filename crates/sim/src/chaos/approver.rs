//! A person who approves every wave that waits because the previous one gave no evidence. Without
//! one, a task whose canaries all fail would wait for seven days.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    rest::{PROJECT, post},
    system::System,
};

/// Time between two looks at the waves.
const PERIOD: Duration = Duration::from_millis(500);

/// The approver, until it is dropped.
pub(crate) struct Approver(JoinHandle<()>);

impl Approver {
    pub(crate) fn start(system: Arc<System>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                // During a fault nobody answers: the next look asks again.
                drop(approve_all(&system).await);
                tokio::time::sleep(PERIOD).await;
            }
        }))
    }
}

impl Drop for Approver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn approve_all(system: &System) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&system.database_url).await?;
    let held: Vec<(Uuid, i16)> = sqlx::query_as(
        "SELECT w.task_id, w.wave FROM wave w JOIN task k USING (task_id)
         WHERE w.status = 'PENDING' AND w.hold_until IS NOT NULL AND w.approved_at IS NULL
           AND k.status IN ('WAITING', 'RUNNING')",
    )
    .fetch_all(&mut connection)
    .await?;
    for (place, (task_id, wave)) in held.into_iter().enumerate() {
        let url = &system.urls[place % system.urls.len()];
        let task_id = task_id.simple();
        let path = format!("/v1/projects/{PROJECT}/tasks/{task_id}/waves/{wave}/approve");
        post(url, &path, json!({"hold": "NO_EVIDENCE"}), format!("approve-{task_id}-{wave}")).await?;
    }
    Ok(())
}
