//! The queue of reports.

use domain::limits;
use proto::{
    agent::ExecutionKey,
    scheduler::{DesktopKey, ReturnedTarget, TargetResult},
};
use tokio::sync::{Mutex, mpsc};

/// Items that wait to be reported. When the schedulers are away it fills, and agents' streams are no longer read:
/// their results wait in their journals.
const QUEUE: usize = 2_000;

/// What is reported.
#[derive(Debug)]
pub(crate) enum Item {
    Result { key: ExecutionKey, desktop: DesktopKey, result: TargetResult },
    Returned(ReturnedTarget),
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Result { result, .. } => {
                result.scripts.iter().map(|script| script.output.len() + script.reason.len() + 64).sum()
            }
            Self::Returned(_) => 64,
        }
    }
}

/// The queue of reports.
#[derive(Debug)]
pub(crate) struct Reports {
    sender: mpsc::Sender<Item>,
    receiver: Mutex<mpsc::Receiver<Item>>,
}

impl Default for Reports {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self { sender, receiver: Mutex::new(receiver) }
    }
}

impl Reports {
    /// Waits while the queue is full.
    pub(crate) async fn send(&self, item: Item) {
        if self.sender.send(item).await.is_err() {
            // The receiver lives as long as the queue itself.
            tracing::error!("the queue of reports is closed");
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.sender.capacity() == self.sender.max_capacity()
    }

    /// The next group: at least one item, as many as a report holds, and no more bytes than a message takes.
    pub(crate) async fn next_group(&self) -> Vec<Item> {
        let mut receiver = self.receiver.lock().await;
        let mut group = Vec::new();
        let mut bytes = 0;
        let Some(first) = receiver.recv().await else { return group };
        bytes += first.bytes();
        group.push(first);
        while group.len() < limits::MAX_RESULTS_PER_REPORT && bytes < limits::SOFT_REPORT_BYTES {
            let Ok(item) = receiver.try_recv() else { break };
            bytes += item.bytes();
            group.push(item);
        }
        group
    }
}
