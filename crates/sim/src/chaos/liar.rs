//! A desktop that lies: a simulated agent on the real protocol which answers each order with values
//! that no real agent sends. Only its own targets may be wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use proto::{
    agent::{AttachRequest, attach_response::Message},
    types::Desktop,
};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;

use super::{
    lie::{Lie, Lies},
    rest::PROJECT,
};
use crate::fleet;

/// Id of the desktop that lies.
pub(crate) const LIAR: &str = "liar";
/// Pause before the next worker is dialled.
const PAUSE: Duration = Duration::from_millis(200);
/// Time limit of a connection attempt, and of an answer to a keepalive.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The lying agent, until it is dropped. It starts once: its `run_id` stays the same.
pub(crate) struct Liar {
    lies: Arc<Mutex<Lies>>,
    task: JoinHandle<()>,
}

impl Liar {
    /// Attaches to one of the workers, and to the next one whenever its stream ends.
    pub(crate) fn start(workers: Vec<String>, rng: ChaCha8Rng) -> Self {
        let lies = Arc::new(Mutex::new(Lies::new(rng)));
        let drawn = Arc::clone(&lies);
        let task = tokio::spawn(async move {
            for worker in workers.iter().cycle() {
                // Faults and oversized messages end streams.
                drop(answer_all(worker, &drawn).await);
                tokio::time::sleep(PAUSE).await;
            }
        });
        Self { lies, task }
    }

    /// Number of lies of each kind.
    pub(crate) fn count_lies(&self) -> BTreeMap<Lie, usize> {
        lock(&self.lies).drawn.clone()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(lies: &Mutex<Lies>) -> MutexGuard<'_, Lies> {
    lies.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers each order and each stop with a lie until the stream ends.
async fn answer_all(worker: &str, lies: &Mutex<Lies>) -> anyhow::Result<()> {
    let endpoint = Endpoint::from_shared(worker.to_owned())?
        .connect_timeout(TIMEOUT)
        .http2_keep_alive_interval(TIMEOUT)
        .keep_alive_timeout(TIMEOUT)
        .keep_alive_while_idle(true);
    let (to_worker, mut inbound) = fleet::attach(endpoint.connect().await?, desktop()).await?;
    while let Some(response) = inbound.message().await? {
        let key = match response.message {
            Some(Message::Order(order)) => order.key,
            Some(Message::Stop(stop)) => stop.key,
            _ => None,
        };
        let Some(key) = key else { continue };
        let lie = lock(lies).draw();
        for message in lie.messages(&key, chrono::Utc::now().timestamp_millis()) {
            to_worker.send(AttachRequest { message: Some(message) }).await?;
        }
    }
    Ok(())
}

fn desktop() -> Desktop {
    Desktop {
        project_id: PROJECT.to_owned(),
        desktop_id: LIAR.to_owned(),
        computer_name: LIAR.to_owned(),
        os_type: "Linux".to_owned(),
        agent_version: "simulated".to_owned(),
        agent_id: LIAR.to_owned(),
        incarnation: 1,
        run_id: LIAR.to_owned(),
        ..Desktop::default()
    }
}
