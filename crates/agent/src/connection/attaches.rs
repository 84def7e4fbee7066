//! Signed attaches of an agent with a certificate, and its session with the schedulers. A worker
//! that changes or invents results of the desktop is refused, because it has no session key.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use mtls::{Identity, Proof, SessionKey, SessionOffer, Tls, verify_signed};
use prost::Message as _;
use proto::{
    agent::{OrderResult, OrderReturn, OutputChunk, attach_request::Message},
    session_signing::{self, KeyId, OutputPart, Sender},
    types::{AttachStatement, Authenticator, Desktop, Session, SignedAttach},
};

#[cfg(test)]
#[path = "attaches_tests.rs"]
mod tests;

/// Number of attaches that may be unanswered; the oldest are forgotten.
const MAX_UNANSWERED: usize = 4;

/// An attach that no scheduler has answered.
#[derive(Debug)]
struct Unanswered {
    attach_sha256: [u8; 32],
    offer: SessionOffer,
    desktop: Desktop,
}

/// Key that the agent shares with the schedulers.
#[derive(Debug)]
struct Established {
    key_id: KeyId,
    key: SessionKey,
    project_id: String,
    desktop_id: String,
    agent_id: String,
}

#[derive(Debug, Default)]
struct State {
    unanswered: VecDeque<Unanswered>,
    /// Session of the last answer; it lasts until the next one.
    session: Option<Established>,
}

/// Signs attaches and authenticates messages.
#[derive(Debug)]
pub(super) struct Attaches {
    tls: Tls,
    /// Number of the last statement. Together with the incarnation, which is durable, it never
    /// repeats.
    number: AtomicU64,
    state: Mutex<State>,
}

impl Attaches {
    pub(super) fn new(tls: Tls) -> Self {
        Self { tls, number: AtomicU64::new(0), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs that this desktop is attached to a worker, and offers a new session.
    ///
    /// # Errors
    ///
    /// The reason why the certificate's key cannot sign.
    pub(super) fn sign(&self, desktop: Desktop, worker: &Identity) -> Result<SignedAttach, String> {
        let offer = SessionOffer::generate()?;
        let statement = AttachStatement {
            worker: worker.to_string(),
            desktop: Some(desktop.clone()),
            number: self.number.fetch_add(1, Ordering::Relaxed) + 1,
            public_key: offer.public_key().to_vec(),
        };
        let unsigned = SignedAttach { statement: statement.encode_to_vec(), ..SignedAttach::default() };
        let Proof { chain, scheme, signature } =
            self.tls.prove(&session_signing::attach_message(&unsigned))?;
        let attach = SignedAttach { scheme: scheme.into(), signature, chain, ..unsigned };
        let attach_sha256 = session_signing::attach_sha256(&attach);
        let mut state = self.lock();
        if state.unanswered.len() == MAX_UNANSWERED {
            state.unanswered.pop_front();
        }
        state.unanswered.push_back(Unanswered { attach_sha256, offer, desktop });
        drop(state);
        Ok(attach)
    }

    /// Takes a scheduler's answer to an attach. A repeated answer is ignored, and so is one that no
    /// scheduler signed.
    pub(super) fn answered(&self, session: &Session) {
        let message = session_signing::session_message(session);
        if let Err(error) = verify_signed(&self.tls, &session.certificate, &message, &session.signature) {
            tracing::error!(%error, "session ignored: its signature is not valid");
            return;
        }
        let mut state = self.lock();
        let is_answered = |attach: &Unanswered| session.attach_sha256 == attach.attach_sha256;
        let Some(place) = state.unanswered.iter().position(is_answered) else { return };
        // Earlier attaches were replaced by this one.
        let Some(Unanswered { offer, desktop, .. }) = state.unanswered.drain(..=place).next_back() else {
            return;
        };
        let Desktop { project_id, desktop_id, agent_id, .. } = desktop;
        let sender = Sender { project_id: &project_id, desktop_id: &desktop_id, agent_id: &agent_id };
        let context = session_signing::key_context(session, sender);
        match offer.agree(&session.public_key, &context) {
            Ok(key) => {
                let key_id = session_signing::key_id(session);
                state.session = Some(Established { key_id, key, project_id, desktop_id, agent_id });
            }
            Err(error) => tracing::error!(error, "session ignored"),
        }
    }

    /// Forgets the session: on a new connection, the next answer is the one that schedulers know.
    pub(super) fn reset(&self) {
        *self.lock() = State::default();
    }

    /// Whether the schedulers can authenticate messages of this agent.
    pub(super) fn has_session(&self) -> bool {
        self.lock().session.is_some()
    }

    /// Adds the authenticator to a message that needs one.
    pub(super) fn authenticated(&self, message: Message) -> Message {
        let state = self.lock();
        let Some(session) = &state.session else { return message };
        match message {
            Message::Result(result) => Message::Result(session.result(result)),
            Message::OrderReturn(returned) => Message::OrderReturn(session.order_return(returned)),
            Message::OutputChunk(chunk) => Message::OutputChunk(session.output(chunk)),
            other => other,
        }
    }
}

impl Established {
    fn sender(&self) -> Sender<'_> {
        let Self { project_id, desktop_id, agent_id, .. } = self;
        Sender { project_id, desktop_id, agent_id }
    }

    fn authenticator(&self, message: &[u8]) -> Option<Authenticator> {
        Some(Authenticator { key_id: self.key_id.to_vec(), mac: self.key.authenticate(message) })
    }

    fn result(&self, result: OrderResult) -> OrderResult {
        let key = result.key.clone().unwrap_or_default();
        let message = session_signing::result_message(
            self.sender(),
            &key,
            &result.scripts,
            result.reboots_from.as_deref(),
        );
        OrderResult { authenticator: self.authenticator(&message), ..result }
    }

    fn output(&self, chunk: OutputChunk) -> OutputChunk {
        let key = chunk.key.clone().unwrap_or_default();
        let OutputChunk { script, from_offset, offset, ref content, is_last, .. } = chunk;
        let part = OutputPart { script, from_offset, offset, content, is_last };
        let message = session_signing::output_message(self.sender(), &key, part);
        OutputChunk { authenticator: self.authenticator(&message), ..chunk }
    }

    fn order_return(&self, returned: OrderReturn) -> OrderReturn {
        let key = returned.key.clone().unwrap_or_default();
        let message = session_signing::return_message(self.sender(), &key, returned.is_full);
        OrderReturn { authenticator: self.authenticator(&message), ..returned }
    }
}
