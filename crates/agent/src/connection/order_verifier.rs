//! Verification of orders, where certificates are in use: an order is accepted only as a scheduler
//! signed it. A compromised worker can forward, withhold and stop orders, but cannot forge or
//! change them.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mtls::{Tls, verify_signed};
use prost::Message as _;
use proto::{
    agent::{ExecutionKey, Order},
    order::{BatchTerms, ScriptParameters, ScriptTerms, Signed, TargetTerms},
    order_signing::{self, Hash, sha256},
    types::{Desktop, Script},
};

use super::deny_list::DenyLists;

#[cfg(test)]
#[path = "order_verifier_tests.rs"]
pub(super) mod tests;

/// Number of cached signer certificates; workers assume half as many.
const CACHE_CAPACITY: usize = 16;
const MAX_CERTIFICATE_BYTES: usize = 16 << 10;
/// Maximum time that a delivery deadline may lie in the past by this machine's clock. The worker's
/// time may be forged and the local clock may be wrong, so the limit is wide.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(24 * 3_600);

/// Extracts the signed parts of orders for this desktop.
#[derive(Debug)]
pub(crate) struct OrderVerifier {
    tls: Tls,
    project_id: String,
    desktop_id: String,
    /// Certificates received from workers with their hashes, newest last. Each is verified with
    /// each order.
    signers: Mutex<VecDeque<(Hash, Vec<u8>)>>,
    deny_lists: DenyLists,
}

impl OrderVerifier {
    /// Reads the deny-list of an earlier run from the data directory.
    pub(crate) fn new(tls: Tls, desktop: &Desktop, data_dir: &Path) -> Self {
        Self {
            deny_lists: DenyLists::open(tls.clone(), data_dir),
            tls,
            project_id: desktop.project_id.clone(),
            desktop_id: desktop.desktop_id.clone(),
            signers: Mutex::default(),
        }
    }

    /// The deny-list of this agent.
    pub(crate) fn deny_lists(&self) -> &DenyLists {
        &self.deny_lists
    }

    /// Caches a certificate. It is verified when an order refers to it.
    pub(crate) fn shown(&self, certificate: Vec<u8>) {
        if certificate.len() > MAX_CERTIFICATE_BYTES {
            tracing::warn!("signer certificate ignored: it is too large");
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

    /// Verifies an order and returns its signed terms with the signed script contents. Of the
    /// unsigned fields only the stop position and the trace context are kept.
    ///
    /// # Errors
    ///
    /// The reason why the order must not run.
    pub(crate) fn check(&self, order: &Order) -> Result<Order, String> {
        let signed = order.signed.as_ref().ok_or(
            "the order is not signed: set orders.cert_file and orders.key_file on the scheduler, \
             and update the worker",
        )?;
        self.verify(signed)?;
        let batch = BatchTerms::decode(signed.batch.as_slice()).map_err(unreadable)?;
        let target = TargetTerms::decode(signed.target.as_slice()).map_err(unreadable)?;
        if batch.project_id != self.project_id || target.desktop_id != self.desktop_id {
            return Err("the order is signed for another desktop".into());
        }
        let (needed, own) = (batch.deny_list_version, self.deny_lists.version());
        if needed > own {
            return Err(format!(
                "the worker withholds the deny-list of certificates: the order needs version {needed}, and this \
                 agent has {own}"
            ));
        }
        if is_long_past(batch.deliver_by_unix_ms, SystemTime::now()) {
            return Err(
                "the delivery deadline is more than a day ago by this machine's clock: check the clock"
                    .into(),
            );
        }
        Ok(Order {
            key: Some(ExecutionKey {
                task_id: batch.task_id,
                ordinal: target.ordinal,
                attempt: batch.attempt,
            }),
            wave: batch.wave,
            script_parameters: parameters(&batch.scripts),
            scripts: contents(batch.scripts, &order.scripts)?,
            execution_timeout_ms: batch.execution_timeout_ms,
            deliver_by_unix_ms: batch.deliver_by_unix_ms,
            query_only: batch.query_only,
            first_script: target.first_script,
            success_exit_codes: batch.success_exit_codes,
            stop_script: order.stop_script,
            max_running: batch.max_running,
            run_as_user: batch.run_as_user,
            kill_left_processes: batch.kill_left_processes,
            reboot: batch.reboot,
            retried_task_ids: batch.retried_task_ids,
            trace_context: order.trace_context.clone(),
            signed: None,
        })
    }

    fn verify(&self, signed: &Signed) -> Result<(), String> {
        let certificate = self.signer(&signed.certificate_sha256);
        let certificate = certificate.ok_or("the signer's certificate was not received")?;
        let root = order_signing::root(signed).ok_or("the order's Merkle proof is malformed")?;
        let message = order_signing::message(&root, signed.size);
        verify_signed(&self.tls, &certificate, &message, &signed.signature)
            .map(drop)
            .map_err(|error| format!("the order's signature is not valid: {error}"))
    }

    fn signer(&self, hash: &[u8]) -> Option<Vec<u8>> {
        let signers = self.signers.lock().unwrap_or_else(PoisonError::into_inner);
        signers.iter().find(|(known, _)| known == hash).map(|(_, certificate)| certificate.clone())
    }
}

fn unreadable(error: prost::DecodeError) -> String {
    format!("the signed terms cannot be decoded: {error}")
}

/// Whether a deadline lies certainly in the past; 0 and negative values count as past.
fn is_long_past(deadline_unix_ms: i64, now: SystemTime) -> bool {
    let Ok(deadline) = u64::try_from(deadline_unix_ms) else { return true };
    deadline == 0 || UNIX_EPOCH + Duration::from_millis(deadline) + CLOCK_TOLERANCE < now
}

/// Signed values of the parameters of each script.
fn parameters(terms: &[ScriptTerms]) -> Vec<ScriptParameters> {
    terms.iter().map(|terms| ScriptParameters { values: terms.parameters.clone() }).collect()
}

/// Combines the signed script terms with the contents sent beside them; each content must match its
/// hash.
fn contents(terms: Vec<ScriptTerms>, given: &[Script]) -> Result<Vec<Script>, String> {
    if terms.len() != given.len() {
        return Err(format!("the order has {} scripts, but {} are signed", given.len(), terms.len()));
    }
    let script = |(place, (terms, given)): (usize, (ScriptTerms, &Script))| {
        let sha256 = order_signing::script_sha256(&terms.script_type, &given.content);
        if sha256.is_none_or(|sha256| terms.sha256 != sha256) {
            return Err(format!("script {place} differs from the signed one"));
        }
        let (script_id, script_type) = (terms.script_id, terms.script_type);
        Ok(Script { script_id, script_type, content: given.content.clone() })
    };
    terms.into_iter().zip(given).enumerate().map(script).collect()
}
