//! The queue of reports.

use std::sync::Arc;

use domain::limits;
use proto::{
    agent::ExecutionKey,
    scheduler::{DesktopKey, ReturnedTarget, TargetResult},
};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::Span;

/// Items that wait to be reported. When the schedulers are away it fills, and agents' streams are no longer read:
/// their results wait in their journals.
const QUEUE: usize = 2_000;
/// Kibibytes of items that wait or are on their way: the same, where outputs are large.
const QUEUE_KIB: u32 = 64 << 10;

/// What is reported.
#[derive(Debug)]
pub(crate) enum Item {
    /// The span lasts until the result is stored.
    Result {
        key: ExecutionKey,
        desktop: DesktopKey,
        result: Box<TargetResult>,
        span: Span,
    },
    Returned(ReturnedTarget),
}

impl Item {
    /// The task of the target.
    pub(crate) fn task_id(&self) -> &str {
        match self {
            Self::Result { result, .. } => &result.task_id,
            Self::Returned(target) => &target.task_id,
        }
    }

    /// The execution of a result; `None` for a returned target, which the in_flight has let go already.
    pub(crate) fn key(&self) -> Option<&ExecutionKey> {
        match self {
            Self::Result { key, .. } => Some(key),
            Self::Returned(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Result { result, .. } => {
                result.scripts.iter().map(|script| script.output.len() + script.reason.len() + 64).sum()
            }
            Self::Returned(_) => 64,
        }
    }
}

/// An item with the room that it takes until this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) item: Item,
    _room: Option<OwnedSemaphorePermit>,
    /// Reports of it that were answered without storing it.
    pub(crate) tries: u8,
}

/// The queue of reports.
#[derive(Debug)]
pub(crate) struct Reports {
    sender: mpsc::Sender<Waiting>,
    receiver: Mutex<mpsc::Receiver<Waiting>>,
    room: Arc<Semaphore>,
}

impl Default for Reports {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self { sender, receiver: Mutex::new(receiver), room: Arc::new(Semaphore::new(QUEUE_KIB as usize)) }
    }
}

impl Reports {
    /// Waits while the queue is full.
    pub(crate) async fn send(&self, item: Item) {
        let kib = u32::try_from(item.bytes().div_ceil(1_024)).unwrap_or(u32::MAX).clamp(1, QUEUE_KIB);
        // It is never closed.
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok();
        self.push(Waiting { item, _room: room, tries: 0 }).await;
    }

    /// Queues an item once more that the schedulers could not store; it has its room still.
    pub(crate) async fn send_again(&self, waiting: Waiting) {
        self.push(Waiting { tries: waiting.tries.saturating_add(1), ..waiting }).await;
    }

    async fn push(&self, waiting: Waiting) {
        if self.sender.send(waiting).await.is_err() {
            // The receiver lives as long as the queue itself.
            tracing::error!("the queue of reports is closed");
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    /// The next group: at least one item, as many as a report holds, and no more bytes than a message takes.
    pub(crate) async fn next_group(&self) -> Vec<Waiting> {
        let mut receiver = self.receiver.lock().await;
        let mut group = Vec::new();
        let mut bytes = 0;
        let Some(first) = receiver.recv().await else { return group };
        bytes += first.item.bytes();
        group.push(first);
        while group.len() < limits::MAX_RESULTS_PER_REPORT && bytes < limits::SOFT_REPORT_BYTES {
            let Ok(item) = receiver.try_recv() else { break };
            bytes += item.item.bytes();
            group.push(item);
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use proto::types::ScriptResult;

    use super::*;

    fn result(output_bytes: usize) -> Item {
        let scripts = vec![ScriptResult { output: "x".repeat(output_bytes), ..ScriptResult::default() }];
        let result = Box::new(TargetResult { scripts, ..TargetResult::default() });
        Item::Result {
            key: ExecutionKey::default(),
            desktop: DesktopKey::default(),
            result,
            span: Span::none(),
        }
    }

    /// Sends as many as there is room for.
    fn fill(reports: &Reports, output_bytes: usize) -> usize {
        (0..10_000).take_while(|_| reports.send(result(output_bytes)).now_or_never().is_some()).count()
    }

    #[test]
    fn small_items_fill_the_queue_and_large_ones_its_bytes() {
        assert_eq!(fill(&Reports::default(), 0), QUEUE);
        let large = 1 << 20;
        assert_eq!(fill(&Reports::default(), large), 64 - 1, "each has a few bytes beside its output");
        assert_eq!(fill(&Reports::default(), 100 << 20), 1, "one that is larger than all of it still goes");
    }

    #[test]
    fn room_is_made_when_a_group_is_done_with() {
        let reports = Reports::default();
        let sent = fill(&reports, 1 << 20);
        let group = reports.next_group().now_or_never().unwrap();
        assert_eq!(group.len(), 4, "no more than a message takes");
        assert_eq!(fill(&reports, 1 << 20), 0, "what is on its way takes room");
        drop(group);
        assert_eq!(fill(&reports, 1 << 20), 4);
        assert_eq!(sent, 63);
    }
}
