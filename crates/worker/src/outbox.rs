//! Messages on their way to an agent, bounded in number and in bytes, also if it never reads.
//!
//! Orders of one batch share their scripts until the agent's stream takes them.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use domain::limits;
use futures::Stream;
use prost::Message as _;
use proto::{
    agent::{AttachResponse, Order, attach_response::Message},
    order::Signer,
    types::Script,
};
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{self, error::TrySendError},
};
use tonic::Status;

/// Maximum KiB of the orders that wait for one agent: the largest order fits.
const AGENT_KIB: usize = limits::MAX_MESSAGE_BYTES >> 10;
/// Maximum KiB of the orders that wait for one agent behind its first one, so that a few agents
/// that read nothing do not take the room of all others.
const BEHIND_FIRST_KIB: usize = 512;
/// Maximum KiB of the orders that wait for all agents of a worker.
const WORKER_KIB: usize = 256 << 10;
/// Time that an order waits while those of other agents take all room of the worker.
const ROOM_WITHIN: Duration = Duration::from_secs(5);

/// Message to an agent, or the status that ends its stream.
pub(crate) type Response = Result<AttachResponse, Status>;

/// Room for the orders that wait for all agents of a worker.
#[derive(Debug, Clone)]
pub(crate) struct OrderRoom(Arc<Semaphore>);

impl Default for OrderRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(WORKER_KIB)))
    }
}

/// Order whose scripts are those of its batch.
#[derive(Debug)]
pub(crate) struct SharedOrder {
    /// The order without its scripts.
    pub(crate) order: Order,
    /// Scripts of all orders of the batch, shared with the other batches of the pull response.
    pub(crate) scripts: Arc<[Arc<Script>]>,
}

impl SharedOrder {
    fn message(self) -> AttachResponse {
        let scripts = self.scripts.iter().map(|script| Script::clone(script)).collect();
        let order = Order { scripts, ..self.order };
        AttachResponse { message: Some(Message::Order(order)) }
    }

    /// Size of the encoded order in KiB, rounded up.
    fn kib(&self) -> u32 {
        let scripts: usize = self.scripts.iter().map(|script| script.encoded_len() + 8).sum();
        let kib = (self.order.encoded_len() + scripts).div_ceil(1_024).clamp(1, AGENT_KIB);
        u32::try_from(kib).unwrap_or(u32::MAX)
    }
}

/// Room that an order occupies until the agent's stream asks for the next message.
#[derive(Debug)]
struct Room {
    _of_agent: OwnedSemaphorePermit,
    _of_worker: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Queued {
    Response(Box<Response>),
    /// Message that many agents get.
    Shared(Arc<AttachResponse>),
    Order(Box<SharedOrder>, Room),
}

/// Cause why a message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotQueued {
    /// Too many messages or bytes wait for the agent.
    Full,
    /// The orders that wait for other agents take all room of the worker.
    WorkerFull,
    /// The connection has ended.
    Closed,
}

/// State that both ends of the channel share.
#[derive(Debug)]
struct Shared {
    room: Arc<Semaphore>,
    /// Room of the order that the stream took last and still sends.
    sending: Mutex<Option<Room>>,
    /// Number of messages that the agent's stream has taken.
    taken: AtomicU64,
}

/// Sender of messages to one agent. The connection ends when its last sender is dropped.
#[derive(Debug, Clone)]
pub(crate) struct ToAgent {
    sender: mpsc::Sender<Queued>,
    shared: Arc<Shared>,
    receiver: Weak<Mutex<mpsc::Receiver<Queued>>>,
}

/// Sender that does not keep its connection open.
#[derive(Debug, Clone)]
pub(crate) struct WeakToAgent {
    sender: mpsc::WeakSender<Queued>,
    shared: Arc<Shared>,
    receiver: Weak<Mutex<mpsc::Receiver<Queued>>>,
}

/// Places in the channel and room for one order, which are certain until they are dropped.
pub(crate) struct OrderPlace<'a> {
    permits: mpsc::PermitIterator<'a, Queued>,
    room: Room,
}

impl fmt::Debug for OrderPlace<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OrderPlace").finish_non_exhaustive()
    }
}

/// Messages that an agent's stream sends.
#[derive(Debug)]
pub(crate) struct Outbox {
    receiver: Arc<Mutex<mpsc::Receiver<Queued>>>,
    shared: Arc<Shared>,
}

/// Creates the channel to an agent, for this number of waiting messages.
pub(crate) fn channel(messages: usize) -> (ToAgent, Outbox) {
    let (sender, receiver) = mpsc::channel(messages);
    let room = Arc::new(Semaphore::new(AGENT_KIB));
    let shared = Arc::new(Shared { room, sending: Mutex::default(), taken: AtomicU64::new(0) });
    let receiver = Arc::new(Mutex::new(receiver));
    let to_agent = ToAgent { sender, shared: Arc::clone(&shared), receiver: Arc::downgrade(&receiver) };
    (to_agent, Outbox { receiver, shared })
}

impl ToAgent {
    /// Queues a message without waiting.
    pub(crate) fn try_send(&self, response: Response) -> Result<(), NotQueued> {
        self.sender.try_send(Queued::Response(Box::new(response))).map_err(|error| cause(&error))
    }

    /// Queues a message that many agents get, without waiting.
    pub(crate) fn try_send_shared(&self, message: Arc<AttachResponse>) -> Result<(), NotQueued> {
        self.sender.try_send(Queued::Shared(message)).map_err(|error| cause(&error))
    }

    /// Queues a message; waits while the channel is full. False if the connection has ended.
    pub(crate) async fn send(&self, response: Response) -> bool {
        self.sender.send(Queued::Response(Box::new(response))).await.is_ok()
    }

    /// Reserves room for an order, and for its signer if it has one. With `may_wait`, waits at most
    /// [`ROOM_WITHIN`] for orders of other agents; never waits for the agent's own.
    pub(crate) async fn reserve(
        &self,
        of_worker: &OrderRoom,
        order: &SharedOrder,
        with_signer: bool,
        may_wait: bool,
    ) -> Result<OrderPlace<'_>, NotQueued> {
        let kib = order.kib();
        let waiting = AGENT_KIB - self.shared.room.available_permits();
        if waiting > 0 && waiting + kib as usize > BEHIND_FIRST_KIB {
            return Err(NotQueued::Full);
        }
        let of_agent = Arc::clone(&self.shared.room).try_acquire_many_owned(kib);
        let of_agent = of_agent.map_err(|_| NotQueued::Full)?;
        let within = if may_wait { ROOM_WITHIN } else { Duration::ZERO };
        let of_worker = tokio::time::timeout(within, Arc::clone(&of_worker.0).acquire_many_owned(kib));
        let Ok(Ok(of_worker)) = of_worker.await else { return Err(NotQueued::WorkerFull) };
        let messages = if with_signer { 2 } else { 1 };
        let permits = self.sender.try_reserve_many(messages).map_err(|error| cause(&error))?;
        Ok(OrderPlace { permits, room: Room { _of_agent: of_agent, _of_worker: of_worker } })
    }

    /// Whether the agent's stream has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the agent's stream ends.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Whether at least half of the channel and half of the agent's bytes behind the first order
    /// are free.
    pub(crate) fn has_room(&self) -> bool {
        self.sender.capacity() >= self.sender.max_capacity() / 2
            && AGENT_KIB - self.shared.room.available_permits() <= BEHIND_FIRST_KIB / 2
    }

    /// Number of messages that the agent has taken. `None` if none waits for it.
    pub(crate) fn progress(&self) -> Option<u64> {
        let is_sending = self.shared.room.available_permits() < AGENT_KIB;
        let is_waiting = self.sender.capacity() < self.sender.max_capacity();
        (is_waiting || is_sending).then(|| self.shared.taken.load(Ordering::Relaxed))
    }

    /// Drops the waiting messages and ends the stream of an agent that does not read it.
    pub(crate) fn discard(&self) {
        let Some(receiver) = self.receiver.upgrade() else { return };
        let mut receiver = lock(&receiver);
        receiver.close();
        while receiver.try_recv().is_ok() {}
        // A connection that reads nothing never asks for the next message.
        lock(&self.shared.sending).take();
    }

    pub(crate) fn downgrade(&self) -> WeakToAgent {
        WeakToAgent {
            sender: self.sender.downgrade(),
            shared: Arc::clone(&self.shared),
            receiver: Weak::clone(&self.receiver),
        }
    }
}

impl WeakToAgent {
    /// The sender; `None` if the connection has ended.
    pub(crate) fn upgrade(&self) -> Option<ToAgent> {
        let (shared, receiver) = (Arc::clone(&self.shared), Weak::clone(&self.receiver));
        Some(ToAgent { sender: self.sender.upgrade()?, shared, receiver })
    }
}

impl OrderPlace<'_> {
    /// Queues an order, after its signer if the connection must receive that first.
    pub(crate) fn send(mut self, signer: Option<Signer>, order: SharedOrder) {
        if let Some(signer) = signer {
            let message = Some(Message::Signer(signer));
            if let Some(permit) = self.permits.next() {
                permit.send(Queued::Response(Box::new(Ok(AttachResponse { message }))));
            }
        }
        if let Some(permit) = self.permits.next() {
            permit.send(Queued::Order(Box::new(order), self.room));
        }
    }
}

impl Outbox {
    fn take(&mut self, queued: Queued) -> Response {
        self.shared.taken.fetch_add(1, Ordering::Relaxed);
        match queued {
            Queued::Response(response) => *response,
            Queued::Shared(message) => Ok(Arc::unwrap_or_clone(message)),
            Queued::Order(order, room) => {
                *lock(&self.shared.sending) = Some(room);
                Ok(order.message())
            }
        }
    }

    /// Next message, if one waits.
    #[cfg(test)]
    pub(crate) fn try_recv(&mut self) -> Result<Response, mpsc::error::TryRecvError> {
        lock(&self.shared.sending).take();
        let queued = lock(&self.receiver).try_recv()?;
        Ok(self.take(queued))
    }

    /// Next message; `None` at the end of the stream.
    #[cfg(test)]
    pub(crate) async fn recv(&mut self) -> Option<Response> {
        futures::StreamExt::next(self).await
    }
}

impl Stream for Outbox {
    type Item = Response;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Response>> {
        // The connection has taken the last message: it asks for the next one.
        lock(&self.shared.sending).take();
        let queued = lock(&self.receiver).poll_recv(context);
        queued.map(|queued| queued.map(|queued| self.take(queued)))
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cause<T>(error: &TrySendError<T>) -> NotQueued {
    match error {
        TrySendError::Full(_) => NotQueued::Full,
        TrySendError::Closed(_) => NotQueued::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(script_bytes: usize) -> SharedOrder {
        let script = Script { content: "x".repeat(script_bytes), ..Script::default() };
        SharedOrder { order: Order::default(), scripts: [Arc::new(script)].into() }
    }

    /// Queues orders until one does not fit, and returns their number and the cause.
    async fn fill(to_agent: &ToAgent, room: &OrderRoom, bytes: usize) -> (usize, NotQueued) {
        let mut sent = 0;
        loop {
            match to_agent.reserve(room, &order(bytes), false, true).await {
                Ok(place) => place.send(None, order(bytes)),
                Err(cause) => return (sent, cause),
            }
            sent += 1;
        }
    }

    #[tokio::test]
    async fn agent_that_never_reads_holds_bounded_bytes() {
        let room = OrderRoom::default();
        let (to_agent, mut outbox) = channel(256);
        assert_eq!(fill(&to_agent, &room, 4 << 20).await, (1, NotQueued::Full));
        assert!(!to_agent.has_room());
        outbox.try_recv().unwrap().unwrap();
        assert_eq!(fill(&to_agent, &room, 4 << 20).await.0, 0, "the order on its way keeps its room");
        outbox.try_recv().unwrap_err();
        assert_eq!(fill(&to_agent, &room, 4 << 20).await.0, 1);
        let (middle, _kept) = channel(256);
        assert_eq!(fill(&middle, &room, 100 << 10).await, (5, NotQueued::Full), "512 KiB in all");
        let (small, _kept) = channel(256);
        assert_eq!(fill(&small, &room, 0).await, (256, NotQueued::Full));
    }

    #[tokio::test(start_paused = true)]
    async fn orders_of_all_agents_hold_bounded_bytes() {
        let room = OrderRoom::default();
        let mut kept = Vec::new();
        let mut sent = 0;
        for _ in 0..100 {
            let (to_agent, outbox) = channel(256);
            sent += fill(&to_agent, &room, 8 << 20).await.0;
            kept.push((to_agent, outbox));
        }
        assert_eq!(sent, 31, "each order is a little larger than its script");
        let (to_agent, _outbox) = channel(256);
        let begun = tokio::time::Instant::now();
        assert_eq!(fill(&to_agent, &room, 8 << 20).await, (0, NotQueued::WorkerFull));
        assert_eq!(begun.elapsed(), ROOM_WITHIN);
        let refused = to_agent.reserve(&room, &order(8 << 20), false, false).await;
        assert_eq!(refused.unwrap_err(), NotQueued::WorkerFull);
        assert_eq!(begun.elapsed(), ROOM_WITHIN, "a batch waits once");
        drop(kept);
        let (to_agent, _outbox) = channel(256);
        assert_eq!(fill(&to_agent, &room, 8 << 20).await.0, 1, "closed connections give their room back");
    }

    #[tokio::test]
    async fn orders_of_a_batch_share_their_scripts() {
        let room = OrderRoom::default();
        let scripts = order(1_000).scripts;
        let mut kept = Vec::new();
        for _ in 0..100 {
            let (to_agent, outbox) = channel(4);
            let order = SharedOrder { order: Order::default(), scripts: Arc::clone(&scripts) };
            let place = to_agent.reserve(&room, &order, false, true).await.unwrap();
            place.send(None, order);
            kept.push((to_agent, outbox));
        }
        assert_eq!(Arc::strong_count(&scripts), 101, "no queued order has a copy");
        let taken = kept[0].1.try_recv().unwrap().unwrap();
        let Some(Message::Order(order)) = taken.message else { panic!("not an order") };
        assert_eq!(order.scripts, [Script::clone(&scripts[0])]);
    }

    #[tokio::test]
    async fn discarded_messages_end_the_stream() {
        let room = OrderRoom::default();
        let (to_agent, mut outbox) = channel(4);
        assert_eq!(to_agent.progress(), None, "nothing waits");
        fill(&to_agent, &room, 1_000).await;
        assert_eq!(to_agent.progress(), Some(0));
        outbox.try_recv().unwrap().unwrap();
        to_agent.discard();
        assert!(to_agent.is_closed());
        assert_eq!(room.0.available_permits(), WORKER_KIB);
        assert!(outbox.recv().await.is_none());
    }
}
