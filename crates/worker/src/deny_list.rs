//! The deny-list on its way to agents. A worker applies it to its own connections and passes the
//! signed bytes on; agents verify them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use mtls::Tls;
use proto::{
    agent::{AttachResponse, attach_response::Message},
    deny_list,
    order::SignedDenyList,
};

/// Interval at which the list is requested again, because its signer's certificate expires before
/// the list.
const REFRESH_EVERY: Duration = Duration::from_secs(3_600);

/// The list that schedulers sent last.
#[derive(Debug, Default)]
pub(crate) struct DenyLists {
    tls: Option<Tls>,
    current: Mutex<Current>,
}

/// Signed list as agents get it.
#[derive(Debug, Clone)]
pub(crate) struct ForAgents {
    pub(crate) version: u64,
    pub(crate) message: Arc<AttachResponse>,
}

#[derive(Debug, Default)]
struct Current {
    /// Version that this worker applies.
    version: u64,
    /// `None` until a scheduler sent a signed list.
    for_agents: Option<ForAgents>,
    received: Option<Instant>,
}

impl DenyLists {
    pub(crate) fn new(tls: Option<Tls>) -> Self {
        Self { tls, current: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Version to name in requests: 0 requests the list again.
    pub(crate) fn known_version(&self, now: Instant) -> u64 {
        let current = self.lock();
        let is_fresh = |received: Instant| now.saturating_duration_since(received) < REFRESH_EVERY;
        if current.received.is_some_and(is_fresh) { current.version } else { 0 }
    }

    /// Takes a list from a scheduler. Returns the list for agents if it is new. An older version is
    /// ignored: schedulers read the list at different times.
    pub(crate) fn take(&self, signed: SignedDenyList, now: Instant) -> Option<ForAgents> {
        let (version, serials) = match deny_list::decode(&signed.list) {
            Ok(decoded) => decoded,
            Err(reason) => {
                tracing::error!(reason, "deny-list of a scheduler ignored");
                return None;
            }
        };
        let mut current = self.lock();
        if version < current.version {
            return None;
        }
        if version > current.version {
            tracing::warn!(version, certificates = serials.len(), "new deny-list in use");
            current.version = version;
            // Requested again until it is signed, because agents take signed lists only.
            current.received = None;
            if let Some(tls) = &self.tls {
                tls.deny_list().replace(serials.iter().map(String::as_str));
            }
        }
        signed.signature.as_ref()?;
        current.received = Some(now);
        let message = Arc::new(AttachResponse { message: Some(Message::DenyList(signed)) });
        let for_agents = ForAgents { version, message };
        let is_news = current.for_agents.as_ref().is_none_or(|known| known.version < version);
        current.for_agents = Some(for_agents.clone());
        is_news.then_some(for_agents)
    }

    /// The list for an agent; `None` until a scheduler has sent a signed one.
    pub(crate) fn for_agents(&self) -> Option<ForAgents> {
        self.lock().for_agents.clone()
    }
}

#[cfg(test)]
mod tests {
    use proto::order::Signature;

    use super::*;

    fn list(version: u64, is_signed: bool) -> SignedDenyList {
        let list = deny_list::encode(version, &["ab".to_owned()]);
        SignedDenyList { list, signature: is_signed.then(Signature::default) }
    }

    #[test]
    fn older_list_never_replaces_a_newer_one() {
        let (lists, now) = (DenyLists::default(), Instant::now());
        assert_eq!(lists.known_version(now), 0);
        assert_eq!(lists.take(list(5, true), now).unwrap().version, 5);
        assert!(lists.take(list(4, true), now).is_none());
        assert!(lists.take(list(5, true), now).is_none(), "agents have it");
        assert_eq!(lists.known_version(now), 5);
        assert_eq!(lists.take(list(6, true), now).unwrap().version, 6);
        assert_eq!(lists.for_agents().unwrap().version, 6);
        assert!(lists.take(SignedDenyList { list: vec![0xff], signature: None }, now).is_none());
    }

    #[test]
    fn list_is_requested_again_until_signed_and_each_hour() {
        let (lists, now) = (DenyLists::default(), Instant::now());
        assert!(lists.take(list(5, false), now).is_none() && lists.for_agents().is_none());
        assert_eq!(lists.known_version(now), 0);
        lists.take(list(4, true), now);
        lists.take(list(5, true), now).unwrap();
        assert!(lists.take(list(6, false), now).is_none());
        assert_eq!((lists.known_version(now), lists.for_agents().unwrap().version), (0, 5));
        lists.take(list(6, true), now).unwrap();
        assert_eq!(lists.known_version(now + REFRESH_EVERY / 2), 6);
        assert_eq!(lists.known_version(now + REFRESH_EVERY), 0);
        assert!(lists.take(list(6, true), now + REFRESH_EVERY).is_none());
        assert_eq!(lists.known_version(now + REFRESH_EVERY), 6);
    }
}
