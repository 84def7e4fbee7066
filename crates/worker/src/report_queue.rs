//! Queue of reports.

use std::{sync::Arc, time::Duration};

use domain::limits;
use prost::Message as _;
use proto::{
    agent::ExecutionKey,
    scheduler::{DesktopKey, ReturnedTarget, TargetResult},
};
use tokio::{
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, timeout_at},
};
use tracing::Span;

/// Maximum number of queued items. While no scheduler answers, the queue fills and agents' streams
/// are no longer read: results wait in the agents' journals.
const QUEUE: usize = 2_000;
/// Maximum size in KiB of items that are queued or being reported, for large outputs.
const QUEUE_KIB: u32 = 64 << 10;

/// A group of this size is reported at once.
const ENOUGH: usize = 256;
/// Time that a smaller group waits for further items: each report is a transaction under the lock
/// of its wave.
const LINGER: Duration = Duration::from_millis(4);

/// Result or returned target to report.
#[derive(Debug)]
pub(crate) enum Item {
    /// Result of a target; its span lasts until the result is stored.
    Result {
        key: ExecutionKey,
        desktop: DesktopKey,
        result: Box<TargetResult>,
        _span: Span,
    },
    Returned(ReturnedTarget),
}

impl Item {
    /// Task id of the target.
    pub(crate) fn task_id(&self) -> &str {
        match self {
            Self::Result { result, .. } => &result.task_id,
            Self::Returned(target) => &target.task_id,
        }
    }

    /// Execution key of a result and the desktop that reports it; `None` for a returned target,
    /// which is no longer in flight.
    pub(crate) fn reported(&self) -> Option<(&ExecutionKey, &DesktopKey)> {
        match self {
            Self::Result { key, desktop, .. } => Some((key, desktop)),
            Self::Returned(_) => None,
        }
    }

    /// Size of the item in a message.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Result { result, .. } => result.encoded_len(),
            Self::Returned(_) => 64,
        }
    }
}

/// Queued item; it occupies room in the queue until it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) item: Item,
    _room: Option<OwnedSemaphorePermit>,
    /// Number of reports that a scheduler answered without storing the item.
    pub(crate) tries: u8,
}

/// Queue of reports, limited by count and size.
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
    /// Queues an item; waits while the queue is full.
    pub(crate) async fn send(&self, item: Item) {
        let kib = u32::try_from(item.bytes().div_ceil(1_024)).unwrap_or(u32::MAX).clamp(1, QUEUE_KIB);
        // The semaphore is never closed.
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok();
        self.push(Waiting { item, _room: room, tries: 0 }).await;
    }

    /// Queues an unstored item again; it still has its room.
    pub(crate) async fn send_again(&self, waiting: Waiting) {
        self.push(Waiting { tries: waiting.tries.saturating_add(1), ..waiting }).await;
    }

    async fn push(&self, waiting: Waiting) {
        if self.sender.send(waiting).await.is_err() {
            // The receiver lives as long as the queue.
            tracing::error!("report queue closed unexpectedly");
        }
    }

    /// Whether no item is queued or being reported.
    pub(crate) fn is_empty(&self) -> bool {
        self.room.available_permits() == QUEUE_KIB as usize
    }

    /// Number of queued items.
    pub(crate) fn len(&self) -> usize {
        self.sender.max_capacity() - self.sender.capacity()
    }

    /// Next group: at least one item, limited by the entries of a report and the bytes of a
    /// message. A small group waits a few milliseconds for further items, while `expects_more` of
    /// its size.
    pub(crate) async fn next_group(&self, expects_more: impl Fn(usize) -> bool) -> Vec<Waiting> {
        let mut receiver = self.receiver.lock().await;
        let mut group = Vec::new();
        let mut bytes = 0;
        let Some(first) = receiver.recv().await else { return group };
        bytes += first.item.bytes();
        group.push(first);
        let deadline = Instant::now() + LINGER;
        while group.len() < limits::MAX_RESULTS_PER_REPORT && bytes < limits::SOFT_REPORT_BYTES {
            let item = match receiver.try_recv() {
                Ok(item) => Some(item),
                Err(_) if group.len() < ENOUGH && expects_more(group.len()) => {
                    timeout_at(deadline, receiver.recv()).await.ok().flatten()
                }
                Err(_) => None,
            };
            let Some(item) = item else { break };
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
    use tokio::task::unconstrained;

    use super::*;

    fn result(output_bytes: usize) -> Item {
        let scripts = vec![ScriptResult { output: "x".repeat(output_bytes), ..ScriptResult::default() }];
        let result = Box::new(TargetResult { scripts, ..TargetResult::default() });
        Item::Result {
            key: ExecutionKey::default(),
            desktop: DesktopKey::default(),
            result,
            _span: Span::none(),
        }
    }

    /// Sends items until the queue is full; returns their number.
    fn fill(reports: &Reports, output_bytes: usize) -> usize {
        let is_sent = || unconstrained(reports.send(result(output_bytes))).now_or_never().is_some();
        (0..10_000).take_while(|_| is_sent()).count()
    }

    #[test]
    fn small_items_fill_the_queue_and_large_ones_its_bytes() {
        assert_eq!(fill(&Reports::default(), 0), QUEUE);
        let large = 1 << 20;
        assert_eq!(
            fill(&Reports::default(), large),
            64 - 1,
            "each item needs a few bytes in addition to its output"
        );
        assert_eq!(fill(&Reports::default(), 100 << 20), 1, "an item larger than the queue still fits alone");
    }

    #[tokio::test(start_paused = true)]
    async fn small_group_waits_briefly_for_more() {
        let reports = Reports::default();
        reports.send(result(0)).await;
        let begun = Instant::now();
        assert_eq!(reports.next_group(|held| held < 1).await.len(), 1);
        assert_eq!(begun.elapsed(), Duration::ZERO, "nothing else is in flight");
        reports.send(result(0)).await;
        let (group, ()) = tokio::join!(reports.next_group(|held| held < 3), reports.send(result(0)));
        assert_eq!((group.len(), begun.elapsed()), (2, LINGER));
        assert!(fill(&reports, 0) > ENOUGH);
        assert!(reports.next_group(|_| true).await.len() > ENOUGH);
        assert_eq!(begun.elapsed(), LINGER, "a large group does not wait");
    }

    #[test]
    fn room_is_made_when_a_group_is_done_with() {
        let reports = Reports::default();
        let sent = fill(&reports, 1 << 20);
        let group = reports.next_group(|_| false).now_or_never().unwrap();
        assert_eq!(group.len(), 4, "the group fits into one message");
        assert_eq!(fill(&reports, 1 << 20), 0, "a group being reported occupies room");
        drop(group);
        assert_eq!(fill(&reports, 1 << 20), 4);
        assert_eq!(sent, 63);
    }
}
