//! Bytes that agents and schedulers authenticate to each other, past the worker between them.
//!
//! An agent signs its attach. A scheduler answers with a signed X25519 key. Both derive a session
//! key from it, and the agent authenticates its results with that key.

use domain::merkle::{Hash, sha256};
use prost::Message as _;

use crate::{
    agent::ExecutionKey,
    types::{LeftProcess, ScriptResult, Session, SignedAttach},
};

/// Prefixes of everything that is signed or authenticated: no signature serves another purpose.
/// The version changes with the meaning.
const ATTACH: &[u8] = b"graywave attach v1\0";
const SESSION: &[u8] = b"graywave session v1\0";
const KEY_ID: &[u8] = b"graywave session key id v1\0";
const RESULT: &[u8] = b"graywave result v1\0";
const RETURN: &[u8] = b"graywave return v1\0";
const OUTPUT: &[u8] = b"graywave output v1\0";

/// Length of an X25519 public key.
pub const PUBLIC_KEY_BYTES: usize = 32;

/// Id of a session key.
pub type KeyId = [u8; 16];

/// Desktop and agent that a message belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// Project of the desktop.
    pub project_id: &'a str,
    /// Id of the desktop.
    pub desktop_id: &'a str,
    /// Id of the agent.
    pub agent_id: &'a str,
}

/// Message that an agent signs at an attach.
pub fn attach_message(attach: &SignedAttach) -> Vec<u8> {
    [ATTACH, &attach.statement].concat()
}

/// Hash of a signed attach, with its certificates.
pub fn attach_sha256(attach: &SignedAttach) -> Hash {
    let SignedAttach { statement, scheme, signature, chain } = attach;
    let mut message = Fields::with_capacity(ATTACH, attach.encoded_len() + 64);
    message.bytes(statement).number((*scheme).into()).bytes(signature).number(chain.len() as u64);
    for certificate in chain {
        message.bytes(certificate);
    }
    sha256(&message.0)
}

/// Message that a scheduler signs to answer an attach.
pub fn session_message(session: &Session) -> Vec<u8> {
    let mut message = Fields::new(SESSION);
    message.bytes(&session.attach_sha256).bytes(&session.public_key);
    message.0
}

/// Context of the key derivation. It binds the session key to both public keys, because the
/// attach has the agent's one, and to the desktop and its agent.
pub fn key_context(session: &Session, sender: Sender<'_>) -> Vec<u8> {
    let mut message = Fields::new(SESSION);
    message.sender(sender).bytes(&session.attach_sha256).bytes(&session.public_key);
    message.0
}

/// Id of the session key that an answer leads to.
pub fn key_id(session: &Session) -> KeyId {
    let mut message = Fields::new(KEY_ID);
    message.bytes(&session.attach_sha256).bytes(&session.public_key);
    let hash: Hash = sha256(&message.0);
    let mut id = KeyId::default();
    id.copy_from_slice(&hash[..16]);
    id
}

/// Message that authenticates the results of a target. `reboots_from` is the boot that ends with a
/// reboot of the desktop; a result without one has the same bytes as from an older agent.
pub fn result_message(
    sender: Sender<'_>,
    key: &ExecutionKey,
    scripts: &[ScriptResult],
    reboots_from: Option<&str>,
) -> Vec<u8> {
    let outputs: usize = scripts.iter().map(|script| script.output.len() + 256).sum();
    let mut message = Fields::with_capacity(RESULT, outputs + 256);
    message.sender(sender).target(key).number(scripts.len() as u64);
    for script in scripts {
        message.script(script);
    }
    if let Some(boot_id) = reboots_from {
        message.text(boot_id);
    }
    message.0
}

/// Part of the output of a running script.
#[derive(Debug, Clone, Copy)]
pub struct OutputPart<'a> {
    /// Position of the script in its order.
    pub script: u32,
    /// Position up to which everything was sent before.
    pub from_offset: u64,
    /// Position of the content.
    pub offset: u64,
    /// Bytes of the output.
    pub content: &'a [u8],
    /// Whether nothing follows.
    pub is_last: bool,
}

/// Message that authenticates a part of the output of a running script.
pub fn output_message(sender: Sender<'_>, key: &ExecutionKey, part: OutputPart<'_>) -> Vec<u8> {
    let OutputPart { script, from_offset, offset, content, is_last } = part;
    let mut message = Fields::with_capacity(OUTPUT, content.len() + 256);
    message.sender(sender).target(key).number(script.into());
    message.number(from_offset).number(offset).bytes(content).number(is_last.into());
    message.0
}

/// Message that authenticates the return of an order that has not started.
pub fn return_message(sender: Sender<'_>, key: &ExecutionKey, is_full: bool) -> Vec<u8> {
    let mut message = Fields::new(RETURN);
    message.sender(sender).target(key).number(is_full.into());
    message.0
}

/// Fields one after the other, each with its length: two different messages never have equal
/// bytes.
struct Fields(Vec<u8>);

impl Fields {
    fn new(context: &[u8]) -> Self {
        Self::with_capacity(context, 256)
    }

    fn with_capacity(context: &[u8], bytes: usize) -> Self {
        let mut message = Vec::with_capacity(context.len() + bytes);
        message.extend_from_slice(context);
        Self(message)
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn signed(&mut self, number: i64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn optional(&mut self, number: Option<i32>) -> &mut Self {
        self.number(number.is_some().into()).signed(number.unwrap_or_default().into())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn sender(&mut self, sender: Sender<'_>) -> &mut Self {
        self.text(sender.project_id).text(sender.desktop_id).text(sender.agent_id)
    }

    fn target(&mut self, key: &ExecutionKey) -> &mut Self {
        self.text(&key.task_id).number(key.ordinal.into()).number(key.attempt.into())
    }

    /// Adds every field of a result: a new field does not compile until it is added here.
    fn script(&mut self, result: &ScriptResult) -> &mut Self {
        let ScriptResult {
            script,
            outcome,
            exit_code,
            started_at_unix_ms,
            ended_at_unix_ms,
            output,
            reason,
            interpreter,
            signal,
            containment,
            left_processes,
            left_processes_count,
        } = result;
        self.number((*script).into()).text(outcome).optional(*exit_code).optional(*signal);
        self.signed(*started_at_unix_ms).signed(*ended_at_unix_ms);
        self.text(output).text(reason).text(interpreter).text(containment);
        self.number((*left_processes_count).into()).number(left_processes.len() as u64);
        for LeftProcess { pid, command, user, survived_kill } in left_processes {
            self.number((*pid).into()).text(command).text(user).number((*survived_kill).into());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Sender<'_> = Sender { project_id: "p", desktop_id: "d", agent_id: "a" };

    fn key() -> ExecutionKey {
        ExecutionKey { task_id: "t".into(), ordinal: 1, attempt: 2 }
    }

    fn result() -> ScriptResult {
        let left = LeftProcess { pid: 1, command: "c".into(), user: "u".into(), survived_kill: false };
        ScriptResult {
            outcome: "SUCCESS".into(),
            exit_code: Some(0),
            started_at_unix_ms: 1,
            ended_at_unix_ms: 2,
            output: "o".into(),
            left_processes: vec![left],
            left_processes_count: 1,
            ..ScriptResult::default()
        }
    }

    #[test]
    fn every_field_of_a_result_changes_its_message() {
        type Change = fn(&mut ScriptResult);
        let changes: [Change; 17] = [
            |it| it.script = 1,
            |it| it.outcome = "FAILED".into(),
            |it| it.exit_code = Some(1),
            |it| it.exit_code = None,
            |it| it.started_at_unix_ms = 3,
            |it| it.ended_at_unix_ms = 3,
            |it| it.output = "x".into(),
            |it| it.reason = "x".into(),
            |it| it.interpreter = "x".into(),
            |it| it.signal = Some(9),
            |it| it.containment = "MARK".into(),
            |it| it.left_processes_count = 2,
            |it| it.left_processes.clear(),
            |it| it.left_processes[0].pid = 2,
            |it| it.left_processes[0].command = "x".into(),
            |it| it.left_processes[0].user = "x".into(),
            |it| it.left_processes[0].survived_kill = true,
        ];
        let genuine = result_message(SENDER, &key(), &[result()], None);
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = result();
            change(&mut changed);
            assert_ne!(result_message(SENDER, &key(), &[changed], None), genuine, "change {number}");
        }
        assert_ne!(result_message(SENDER, &key(), &[], None), genuine);
        assert_ne!(result_message(SENDER, &key(), &[result(), result()], None), genuine);
        let reboots = |boot_id| result_message(SENDER, &key(), &[result()], Some(boot_id));
        assert_ne!(reboots("a"), genuine);
        assert_ne!(reboots(""), genuine, "an unknown boot differs from no reboot");
        assert_ne!(reboots("a"), reboots("b"));
    }

    #[test]
    fn every_field_of_an_output_changes_its_message() {
        let part = OutputPart { script: 1, from_offset: 2, offset: 3, content: b"o", is_last: false };
        let message = |part| output_message(SENDER, &key(), part);
        for changed in [
            OutputPart { script: 9, ..part },
            OutputPart { from_offset: 9, ..part },
            OutputPart { offset: 9, ..part },
            OutputPart { content: b"x", ..part },
            OutputPart { is_last: true, ..part },
        ] {
            assert_ne!(message(changed), message(part), "{changed:?}");
        }
        let other = Sender { desktop_id: "x", ..SENDER };
        assert_ne!(output_message(other, &key(), part), message(part));
        assert_ne!(output_message(SENDER, &ExecutionKey { ordinal: 9, ..key() }, part), message(part));
    }

    #[test]
    fn message_belongs_to_one_sender_and_target() {
        let genuine = result_message(SENDER, &key(), &[], None);
        for sender in [
            Sender { project_id: "x", ..SENDER },
            Sender { desktop_id: "x", ..SENDER },
            Sender { agent_id: "x", ..SENDER },
            // The same bytes, divided elsewhere.
            Sender { project_id: "pd", desktop_id: "", ..SENDER },
        ] {
            assert_ne!(result_message(sender, &key(), &[], None), genuine, "{sender:?}");
        }
        for other in [
            ExecutionKey { task_id: "x".into(), ..key() },
            ExecutionKey { ordinal: 9, ..key() },
            ExecutionKey { attempt: 9, ..key() },
        ] {
            assert_ne!(result_message(SENDER, &other, &[], None), genuine, "{other:?}");
        }
        assert_ne!(return_message(SENDER, &key(), false), return_message(SENDER, &key(), true));
        assert_ne!(return_message(SENDER, &key(), false), genuine);
    }

    #[test]
    fn every_field_of_an_attach_changes_its_hash() {
        let attach =
            SignedAttach { statement: vec![1], scheme: 2, signature: vec![3], chain: vec![vec![4], vec![5]] };
        let genuine = attach_sha256(&attach);
        for changed in [
            SignedAttach { statement: vec![9], ..attach.clone() },
            SignedAttach { scheme: 9, ..attach.clone() },
            SignedAttach { signature: vec![9], ..attach.clone() },
            SignedAttach { chain: vec![vec![4, 5]], ..attach.clone() },
            SignedAttach { chain: vec![vec![4]], ..attach },
        ] {
            assert_ne!(attach_sha256(&changed), genuine, "{changed:?}");
        }
    }

    #[test]
    fn key_and_its_id_depend_on_both_public_keys() {
        let session = |attach: u8, public: u8| Session {
            attach_sha256: vec![attach; 32],
            public_key: vec![public; 32],
            ..Session::default()
        };
        let (genuine, id) = (key_context(&session(1, 2), SENDER), key_id(&session(1, 2)));
        for other in [session(9, 2), session(1, 9)] {
            assert_ne!(key_context(&other, SENDER), genuine);
            assert_ne!(key_id(&other), id);
            assert_ne!(session_message(&other), session_message(&session(1, 2)));
        }
        assert_ne!(key_context(&session(1, 2), Sender { agent_id: "x", ..SENDER }), genuine);
    }
}
