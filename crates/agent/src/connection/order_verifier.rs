//! What stands between the connection and the orders where there are certificates: an order is taken only as a scheduler signed
//! it. Whoever holds the other end of the connection can hand orders on, keep them back, and stop them, and nothing else.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mtls::{Tls, verify_signed};
use prost::Message as _;
use proto::{
    agent::{ExecutionKey, Order},
    order::{BatchTerms, ScriptTerms, Signed, TargetTerms},
    order_signing::{self, Hash, sha256},
    types::{Desktop, Script},
};

#[cfg(test)]
#[path = "order_verifier_tests.rs"]
mod tests;

/// Certificates of signers that are remembered; a worker counts on half as many.
const CACHE_CAPACITY: usize = 16;
const MAX_CERTIFICATE_BYTES: usize = 16 << 10;
/// What time it is says the worker, and it may lie; this machine's clock may be wrong. So an order whose deadline is past by so
/// much by this clock is refused whatever the worker says.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(24 * 3_600);

/// Takes from orders what is signed, for this desktop.
#[derive(Debug)]
pub(crate) struct OrderVerifier {
    tls: Tls,
    project_id: String,
    desktop_id: String,
    /// Certificates as they were shown, by their hash, newest last. Each is verified with each order.
    signers: Mutex<VecDeque<(Hash, Vec<u8>)>>,
}

impl OrderVerifier {
    pub(crate) fn new(tls: Tls, desktop: &Desktop) -> Self {
        Self {
            tls,
            project_id: desktop.project_id.clone(),
            desktop_id: desktop.desktop_id.clone(),
            signers: Mutex::default(),
        }
    }

    /// Remembers a certificate; what it is worth is asked when something is signed with it.
    pub(crate) fn shown(&self, certificate: Vec<u8>) {
        if certificate.len() > MAX_CERTIFICATE_BYTES {
            tracing::warn!("a signer's certificate is too large, and ignored");
            return;
        }
        let hash = sha256(&certificate);
        let mut signers = self.signers.lock().unwrap_or_else(PoisonError::into_inner);
        signers.retain(|(known, _)| *known != hash);
        if signers.len() == CACHE_CAPACITY {
            signers.pop_front();
        }
        signers.push_back((hash, certificate));
    }

    /// The order that was signed, with the contents that were signed. What else the order says is dropped, but where it is to stop
    /// and the trace that it is a part of.
    ///
    /// # Errors
    ///
    /// Says why it must not run.
    pub(crate) fn check(&self, order: &Order) -> Result<Order, String> {
        let signed = order.signed.as_ref().ok_or(
            "the order is not signed: its scheduler needs orders.cert_file and orders.key_file, and its worker to be as new",
        )?;
        self.verify(signed)?;
        let batch = BatchTerms::decode(signed.batch.as_slice()).map_err(unreadable)?;
        let target = TargetTerms::decode(signed.target.as_slice()).map_err(unreadable)?;
        if batch.project_id != self.project_id || target.desktop_id != self.desktop_id {
            return Err("the order is signed for another desktop".into());
        }
        if is_long_past(batch.deliver_by_unix_ms, SystemTime::now()) {
            return Err("the delivery deadline is past by a day by this machine's clock: is it right?".into());
        }
        Ok(Order {
            key: Some(ExecutionKey {
                task_id: batch.task_id,
                ordinal: target.ordinal,
                attempt: batch.attempt,
            }),
            wave: batch.wave,
            scripts: contents(batch.scripts, &order.scripts)?,
            execution_timeout_ms: batch.execution_timeout_ms,
            deliver_by_unix_ms: batch.deliver_by_unix_ms,
            query_only: batch.query_only,
            first_script: target.first_script,
            success_exit_codes: batch.success_exit_codes,
            stop_script: order.stop_script,
            max_running: batch.max_running,
            trace_context: order.trace_context.clone(),
            signed: None,
        })
    }

    fn verify(&self, signed: &Signed) -> Result<(), String> {
        let certificate = self.signer(&signed.certificate_sha256);
        let certificate =
            certificate.ok_or("the order is signed by somebody whose certificate was not shown")?;
        let root =
            order_signing::root(signed).ok_or("the order is not where its signature says that it is")?;
        let message = order_signing::message(&root, signed.size);
        verify_signed(&self.tls, &certificate, &message, &signed.signature)
            .map(drop)
            .map_err(|error| format!("the order's signature is not good: {error}"))
    }

    fn signer(&self, hash: &[u8]) -> Option<Vec<u8>> {
        let signers = self.signers.lock().unwrap_or_else(PoisonError::into_inner);
        signers.iter().find(|(known, _)| known == hash).map(|(_, certificate)| certificate.clone())
    }
}

fn unreadable(error: prost::DecodeError) -> String {
    format!("what is signed cannot be read: {error}")
}

/// Whether a deadline is certainly past; an order without one never was in time.
fn is_long_past(deadline_unix_ms: i64, now: SystemTime) -> bool {
    let Ok(deadline) = u64::try_from(deadline_unix_ms) else { return true };
    deadline == 0 || UNIX_EPOCH + Duration::from_millis(deadline) + CLOCK_TOLERANCE < now
}

/// The scripts that were signed, with the contents that came beside them.
fn contents(terms: Vec<ScriptTerms>, given: &[Script]) -> Result<Vec<Script>, String> {
    if terms.len() != given.len() {
        return Err(format!("{} scripts came, and {} are signed", given.len(), terms.len()));
    }
    let script = |(place, (terms, given)): (usize, (ScriptTerms, &Script))| {
        let sha256 = order_signing::script_sha256(&terms.script_type, &given.content);
        if sha256.is_none_or(|sha256| terms.sha256 != sha256) {
            return Err(format!("script {place} is not the one that is signed"));
        }
        let (script_id, script_type) = (terms.script_id, terms.script_type);
        Ok(Script { script_id, script_type, content: given.content.clone() })
    };
    terms.into_iter().zip(given).enumerate().map(script).collect()
}
