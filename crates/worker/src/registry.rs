//! Registry of the agents' connections.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use domain::{desktop::RETIRED, enrolment::REVOKED, identity};
use proto::{
    agent::{AttachResponse, Rival, attach_response::Message},
    order_signing::Hash,
    scheduler::{DesktopKey, RefusedDesktop},
    types::{Desktop, Session as AttachAnswer},
};
use tokio::sync::watch;
use tonic::Status;

use crate::{
    deny_list::ForAgents,
    order_proofs::ShownSigners,
    outbox::ToAgent,
    room::{Progress, Room},
};

/// Id of one connection of one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

#[derive(Debug)]
struct Session {
    id: SessionId,
    desktop: Desktop,
    to_agent: ToAgent,
    /// Whether a scheduler has accepted the connection.
    known: watch::Sender<bool>,
    shown: ShownSigners,
    /// Version of the deny-list that the agent was sent.
    deny_list_version: u64,
    room: Room,
    progress: Progress,
}

/// Newly registered connection.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) session: SessionId,
    /// Older connection that this one replaces and closes.
    pub(crate) replaced: Option<SessionId>,
    /// True once a scheduler accepts the connection; closed when the connection must end.
    pub(crate) known: watch::Receiver<bool>,
}

impl Session {
    /// Whether this connection is alive and belongs to another process. A copy of a data directory
    /// has the same agent id and another run.
    fn is_another(&self, desktop: &Desktop) -> bool {
        let identity =
            |desktop: &Desktop| (desktop.agent_id.clone(), desktop.incarnation, desktop.run_id.clone());
        identity(&self.desktop) != identity(desktop) && !self.to_agent.is_closed()
    }

    /// Sends the deny-list unless the agent has it; false if the channel is full.
    fn show_deny_list(&mut self, list: &ForAgents) -> bool {
        if self.deny_list_version >= list.version {
            return true;
        }
        let is_sent = self.to_agent.try_send_shared(Arc::clone(&list.message)).is_ok();
        if is_sent {
            self.deny_list_version = list.version;
        }
        is_sent
    }

    /// Refuses a claim of another process while this connection is alive. Sends the name of that
    /// rival to the connected agent.
    fn check_claim(&self, desktop: &Desktop) -> Result<(), Status> {
        if !self.is_another(desktop) {
            return Ok(());
        }
        let rival =
            Rival { os_host_name: desktop.os_host_name.clone(), ip_address: desktop.ip_address.clone() };
        let rival = AttachResponse { message: Some(Message::Rival(rival)) };
        if self.to_agent.try_send(Ok(rival)).is_err() {
            tracing::debug!(
                desktop_id = desktop.desktop_id,
                "name of the rival not sent: the agent's channel is full"
            );
        }
        Err(in_use(&self.desktop))
    }
}

/// Status for an agent whose claim of a desktop the schedulers refuse. An agent with an outdated
/// identity gets `ABORTED` and makes a new one; any other claim cannot succeed soon.
pub(crate) fn claim_refused(refused: &RefusedDesktop) -> Status {
    if refused.identity_is_outdated {
        Status::aborted(refused.reason.clone())
    } else {
        Status::already_exists(refused.reason.clone())
    }
}

/// Status for an agent whose desktop has a connection of another process to this worker.
fn in_use(holder: &Desktop) -> Status {
    Status::already_exists(identity::in_use(&holder.os_host_name, &holder.ip_address))
}

/// Status for an agent whose certificate is revoked.
pub(crate) fn revoked() -> Status {
    Status::permission_denied(REVOKED)
}

/// Status for an agent whose desktop is retired; the agent cannot resolve that.
pub(crate) fn retired() -> Status {
    Status::failed_precondition(RETIRED)
}

/// Connections of this worker, one for each desktop: a newer connection of the same agent replaces
/// the older one.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<DesktopKey, Session>>,
    next: AtomicU64,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<DesktopKey, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of connected agents.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Number of connected agents by the version that they report.
    pub(crate) fn agent_versions(&self) -> HashMap<String, u64> {
        let mut versions: HashMap<String, u64> = HashMap::new();
        for session in self.lock().values() {
            match versions.get_mut(&session.desktop.agent_version) {
                Some(agents) => *agents += 1,
                None => drop(versions.insert(session.desktop.agent_version.clone(), 1)),
            }
        }
        versions
    }

    /// Refuses a claim if another process is connected as this desktop, and sends that process the
    /// name of its rival. Closed connections do not count.
    pub(crate) fn check_claim(&self, key: &DesktopKey, desktop: &Desktop) -> Result<(), Status> {
        self.lock().get(key).map_or(Ok(()), |session| session.check_claim(desktop))
    }

    /// Registers a connection.
    ///
    /// # Errors
    ///
    /// When another process is connected as the desktop.
    pub(crate) fn connect(
        &self,
        key: DesktopKey,
        desktop: Desktop,
        to_agent: ToAgent,
    ) -> Result<Connected, Status> {
        let session = SessionId(self.next.fetch_add(1, Ordering::Relaxed));
        let (accepted, known) = watch::channel(false);
        let mut sessions = self.lock();
        sessions.get(&key).map_or(Ok(()), |session| session.check_claim(&desktop))?;
        let replaced = sessions.insert(
            key,
            Session {
                id: session,
                desktop,
                to_agent,
                known: accepted,
                shown: ShownSigners::default(),
                deny_list_version: 0,
                room: Room::default(),
                progress: Progress::default(),
            },
        );
        Ok(Connected { session, replaced: replaced.map(|session| session.id), known })
    }

    /// Sends the scheduler's answer to a signed attach to its agent.
    pub(crate) fn answer_attach(&self, key: &DesktopKey, described: &Desktop, answer: AttachAnswer) {
        let sessions = self.lock();
        let Some(session) = sessions.get(key).filter(|session| session.desktop == *described) else { return };
        let answer = AttachResponse { message: Some(Message::Session(answer)) };
        if session.to_agent.try_send(Ok(answer)).is_err() {
            // Without one, the agent keeps the session that it has.
            tracing::warn!(desktop_id = key.desktop_id, "session not sent: the agent's channel is full");
        }
    }

    /// Closes the connection of an agent that the schedulers cannot authenticate. It attaches again
    /// and gets another session key.
    pub(crate) fn end_unauthenticated(&self, key: &DesktopKey) {
        self.end(key, Status::unavailable("the schedulers do not know this session: attach again"), |_| true);
    }

    /// Marks a connection as accepted by a scheduler, if its description is still `described`.
    pub(crate) fn is_known(&self, key: &DesktopKey, described: &Desktop) {
        if let Some(session) = self.lock().get(key).filter(|session| session.desktop == *described) {
            session.known.send_replace(true);
        }
    }

    /// Closes a connection that the schedulers refuse, if its description is still `described`.
    pub(crate) fn refuse(&self, key: &DesktopKey, described: &Desktop, why: Status) {
        self.end(key, why, |desktop| desktop == described);
    }

    /// Closes the connection that was made with this revoked certificate. An empty serial means a
    /// connection without a certificate, whose desktop is retired. False if there is no such
    /// connection.
    pub(crate) fn end_revoked(&self, key: &DesktopKey, serial: &str) -> bool {
        let why = if serial.is_empty() { retired() } else { revoked() };
        self.end(key, why, |desktop| {
            desktop.certificate.as_ref().map_or("", |certificate| &certificate.serial) == serial
        })
    }

    fn end(&self, key: &DesktopKey, why: Status, is_meant: impl FnOnce(&Desktop) -> bool) -> bool {
        let mut sessions = self.lock();
        if !sessions.get(key).is_some_and(|session| is_meant(&session.desktop)) {
            return false;
        }
        if let Some(session) = sessions.remove(key)
            && session.to_agent.try_send(Err(why)).is_err()
        {
            tracing::debug!(desktop_id = key.desktop_id, "the refused agent has already disconnected");
        }
        true
    }

    /// Whether a desktop has a connection.
    pub(crate) fn is_connected(&self, key: &DesktopKey) -> bool {
        self.lock().contains_key(key)
    }

    /// Takes changed facts of a machine into the description of its desktop, and returns that.
    /// `None` if a newer connection has replaced this one, or the facts are not valid. The identity
    /// of the desktop never changes.
    pub(crate) fn update(&self, key: &DesktopKey, id: SessionId, update: Desktop) -> Option<Desktop> {
        let Desktop { os_host_name, os_version, containment, ip_address, time_zone, tags, attach, .. } =
            update;
        let mut sessions = self.lock();
        let session = sessions.get_mut(key).filter(|session| session.id == id)?;
        let desktop = Desktop {
            os_host_name,
            os_version,
            containment,
            ip_address,
            time_zone,
            tags,
            attach,
            ..session.desktop.clone()
        };
        if let Err(error) = desktop.clone().facts() {
            tracing::warn!(desktop_id = key.desktop_id, reason = %error, "changed facts are not valid");
            return None;
        }
        session.desktop = desktop.clone();
        Some(desktop)
    }

    /// Removes a connection; false if a newer one has replaced it.
    pub(crate) fn disconnect(&self, key: &DesktopKey, id: SessionId) -> bool {
        let mut sessions = self.lock();
        if sessions.get(key).is_some_and(|session| session.id == id) {
            sessions.remove(key);
            return true;
        }
        false
    }

    /// Records that a desktop has no room for orders.
    pub(crate) fn set_full(&self, key: &DesktopKey, id: SessionId, now: Instant) {
        if let Some(session) = self.lock().get_mut(key).filter(|session| session.id == id) {
            session.room.set_full(now);
        }
    }

    /// Whether a connection's desktop has no room for orders.
    pub(crate) fn is_full(&self, key: &DesktopKey, id: SessionId) -> bool {
        self.lock().get(key).is_some_and(|session| session.id == id && session.room.is_full())
    }

    /// Connections without room that may be asked again at `now`: their agents have read at least
    /// half of the messages that they may let wait.
    pub(crate) fn full_sessions(&self, now: Instant) -> HashSet<SessionId> {
        let sessions = self.lock();
        let may_retry =
            sessions.values().filter(|session| session.room.may_retry(now) && session.to_agent.has_room());
        may_retry.map(|session| session.id).collect()
    }

    /// Records that these connections have room again. Returns their desktops.
    pub(crate) fn set_free(&self, ids: &HashSet<SessionId>, now: Instant) -> Vec<(DesktopKey, Desktop)> {
        let mut sessions = self.lock();
        let free = sessions.iter_mut().filter(|(_, session)| ids.contains(&session.id));
        free.map(|(key, session)| {
            session.room.set_free(now);
            (key.clone(), session.desktop.clone())
        })
        .collect()
    }

    /// Closes the connections whose agents read no waiting message for too long, and drops the
    /// messages. Returns their desktops.
    pub(crate) fn close_stalled(&self, now: Instant) -> Vec<DesktopKey> {
        let is_stalled =
            |session: &mut Session| session.progress.is_stalled(session.to_agent.progress(), now);
        let mut sessions = self.lock();
        let stalled: Vec<(DesktopKey, Session)> =
            sessions.extract_if(|_, session| is_stalled(session)).collect();
        drop(sessions);
        let close = |(key, session): (DesktopKey, Session)| {
            session.to_agent.discard();
            key
        };
        stalled.into_iter().map(close).collect()
    }

    /// Channel to this agent of a desktop, once a scheduler has accepted the connection. `None` if
    /// another agent is connected as the desktop.
    pub(crate) fn find_known(&self, key: &DesktopKey, agent_id: &str) -> Option<(SessionId, ToAgent)> {
        let sessions = self.lock();
        let session = sessions.get(key).filter(|session| *session.known.borrow())?;
        if session.desktop.agent_id != agent_id {
            return None;
        }
        Some((session.id, session.to_agent.clone()))
    }

    /// Channel to the desktop's agent.
    pub(crate) fn find(&self, key: &DesktopKey) -> Option<(SessionId, ToAgent)> {
        self.lock().get(key).map(|session| (session.id, session.to_agent.clone()))
    }

    /// Channel to the desktop's agent, and the description of the desktop.
    pub(crate) fn find_described(&self, key: &DesktopKey) -> Option<(ToAgent, Desktop)> {
        self.lock().get(key).map(|session| (session.to_agent.clone(), session.desktop.clone()))
    }

    /// Whether the connection must receive this signer's certificate before its orders; false if
    /// the connection has ended.
    pub(crate) fn shows_first(&self, key: &DesktopKey, id: SessionId, signer: Hash) -> bool {
        let mut sessions = self.lock();
        let session = sessions.get_mut(key).filter(|session| session.id == id);
        session.is_some_and(|session| session.shown.is_new(signer))
    }

    /// Sends the deny-list to a connection that has an older one. False if the agent's channel is
    /// full, or the connection has ended.
    pub(crate) fn show_deny_list(&self, key: &DesktopKey, id: SessionId, list: Option<&ForAgents>) -> bool {
        let Some(list) = list else { return true };
        let mut sessions = self.lock();
        let session = sessions.get_mut(key).filter(|session| session.id == id);
        session.is_some_and(|session| session.show_deny_list(list))
    }

    /// Sends the deny-list to all connections. One with a full channel gets it before its next
    /// order.
    pub(crate) fn send_deny_list(&self, list: &ForAgents) {
        for session in self.lock().values_mut() {
            if !session.show_deny_list(list) {
                tracing::debug!(desktop_id = session.desktop.desktop_id, "deny-list not sent: channel full");
            }
        }
    }

    /// All connected desktops, for a resync.
    pub(crate) fn all(&self) -> Vec<(DesktopKey, Desktop)> {
        self.lock().iter().map(|(key, session)| (key.clone(), session.desktop.clone())).collect()
    }

    /// Closes the connections for which `keep` is false, so that their agents dial another worker.
    /// Returns their desktops.
    pub(crate) fn close_unless(&self, keep: impl Fn(SessionId) -> bool) -> Vec<DesktopKey> {
        self.lock().extract_if(|_, session| !keep(session.id)).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
