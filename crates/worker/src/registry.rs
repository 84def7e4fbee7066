//! The agents' connections.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use proto::{agent::AttachResponse, scheduler::DesktopKey, types::Desktop};
use tokio::sync::mpsc;
use tonic::Status;

/// One connection of one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// Messages on their way to an agent.
pub(crate) type ToAgent = mpsc::Sender<Result<AttachResponse, Status>>;

#[derive(Debug)]
struct Session {
    id: SessionId,
    desktop: Desktop,
    to_agent: ToAgent,
}

/// All connections of this worker, one for each desktop: the newest wins.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<DesktopKey, Session>>,
    next: AtomicU64,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<DesktopKey, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Agents connected now.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Registers a connection; returns its id and that of the older one that it replaces, which ends by it.
    pub(crate) fn connect(
        &self,
        key: DesktopKey,
        desktop: Desktop,
        to_agent: ToAgent,
    ) -> (SessionId, Option<SessionId>) {
        let id = SessionId(self.next.fetch_add(1, Ordering::Relaxed));
        let replaced = self.lock().insert(key, Session { id, desktop, to_agent });
        (id, replaced.map(|session| session.id))
    }

    /// Removes a connection; false when a newer one has taken its place.
    pub(crate) fn disconnect(&self, key: &DesktopKey, id: SessionId) -> bool {
        let mut sessions = self.lock();
        if sessions.get(key).is_some_and(|session| session.id == id) {
            sessions.remove(key);
            return true;
        }
        false
    }

    /// The way to a desktop's agent.
    pub(crate) fn find(&self, key: &DesktopKey) -> Option<(SessionId, ToAgent)> {
        self.lock().get(key).map(|session| (session.id, session.to_agent.clone()))
    }

    /// Every desktop that is connected, for a scheduler that has forgotten us.
    pub(crate) fn all(&self) -> Vec<(DesktopKey, Desktop)> {
        self.lock().iter().map(|(key, session)| (key.clone(), session.desktop.clone())).collect()
    }

    /// Ends the connections that `keep` does not want, so that their agents go to another worker.
    pub(crate) fn close_unless(&self, keep: impl Fn(SessionId) -> bool) {
        self.lock().retain(|_, session| keep(session.id));
    }
}
