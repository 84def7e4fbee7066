//! Seals the audit: new entries of each project, and of the cluster, join the project's chain.

use chrono::SubsecRound as _;
use domain::{
    Timestamp,
    audit::{Checkpoint, ENTRIES_PER_SEAL, Seal, SealedEntry},
    merkle::Hash,
};
use store::{
    Connection, Error,
    seal::{self, Signature},
};
use uuid::Uuid;

use crate::{Scheduler, enrolment::id_at};

/// Number of chains that one statement looks for.
const CHAINS_AT_ONCE: i64 = 100;
/// Number of decimal digits of a second that the database stores: microseconds.
const STORED_DIGITS: u16 = 6;

impl Scheduler {
    /// Adds at most one seal to each chain with new entries. Returns true if a chain has more of
    /// them. Several schedulers may call it at the same time: a chain that another one holds is
    /// skipped.
    ///
    /// With a signer that agents would not accept, nothing is sealed, and entries wait.
    pub async fn seal_all(&self, now: Timestamp) -> Result<bool, Error> {
        if !self.signs() {
            return Ok(false);
        }
        let (mut after, mut is_more, mut failed): (Option<String>, _, _) = (None, false, None);
        loop {
            let mut connection = self.store.acquire().await?;
            let chains = seal::pending_chains(&mut connection, after.as_deref(), CHAINS_AT_ONCE).await?;
            drop(connection);
            for project_id in &chains {
                match self.seal_chain(project_id, now).await {
                    Ok(has_more) => is_more |= has_more,
                    // A chain that cannot be sealed does not keep others waiting.
                    Err(error) => failed = Some(error),
                }
            }
            if i64::try_from(chains.len()).unwrap_or(i64::MAX) < CHAINS_AT_ONCE {
                return failed.map_or(Ok(is_more), Err);
            }
            after = chains.into_iter().next_back();
        }
    }

    async fn seal_chain(&self, project_id: &str, now: Timestamp) -> Result<bool, Error> {
        let mut tx = self.store.begin().await?;
        let Some(head) = seal::lock_chain(&mut tx, project_id).await? else { return Ok(false) };
        // Entries have smaller ids than their seal, so the months of both can be deleted together.
        // An entry of the same millisecond waits for the next seal.
        let seal_id = id_at(now);
        let found = seal::unsealed(&mut tx, project_id, seal_id, ENTRIES_PER_SEAL.into()).await?;
        if found.is_empty() {
            return Ok(false);
        }
        for entry in found.iter().filter(|entry| entry.hash == Hash::default()) {
            tracing::error!(project_id, audit_id = %entry.audit_id, "an audit entry vanished before its seal");
        }
        let is_more = found.len() == usize::from(ENTRIES_PER_SEAL);
        let entries = found.into_iter();
        let new = Seal {
            project_id: project_id.to_owned(),
            number: head.number + 1,
            at: now.trunc_subsecs(STORED_DIGITS),
            previous: head.hash,
            entries: entries.map(|it| SealedEntry { audit_id: it.audit_id, hash: it.hash }).collect(),
        };
        let Ok(signature) = self.sign_seal(&new.message()) else { return Ok(false) };
        seal::insert(&mut tx, seal_id, &new, signature.as_ref()).await?;
        self.store.commit(tx).await?;
        Ok(is_more)
    }

    /// Prepares the deletion of audit months before an id: each chain gets a checkpoint, from which
    /// on it can be verified without them. Returns false if the months must stay, because an entry
    /// is not sealed yet or the signer is not valid.
    pub(crate) async fn checkpoint_all(&self, kept_from: Uuid, now: Timestamp) -> Result<bool, Error> {
        let mut connection = self.store.acquire().await?;
        if !self.signs() || seal::any_unsealed(&mut connection, kept_from).await? {
            return Ok(false);
        }
        loop {
            let chains = seal::without_checkpoint(&mut connection, kept_from, CHAINS_AT_ONCE).await?;
            if chains.is_empty() {
                return Ok(true);
            }
            for (project_id, head) in chains {
                let at = now.trunc_subsecs(STORED_DIGITS);
                let new = Checkpoint { project_id, kept_from, at, number: head.number, hash: head.hash };
                if !self.insert_checkpoint(&mut connection, &new).await? {
                    return Ok(false);
                }
            }
        }
    }

    async fn insert_checkpoint(&self, connection: &mut Connection, new: &Checkpoint) -> Result<bool, Error> {
        let Ok(signature) = self.sign_seal(&new.message()) else { return Ok(false) };
        seal::insert_checkpoint(connection, new, signature.as_ref()).await?;
        Ok(true)
    }

    /// Returns whether seals can be made now. The signer itself logs why it cannot sign.
    fn signs(&self) -> bool {
        self.signer.as_ref().is_none_or(|signer| signer.check().is_ok())
    }

    /// Signs a message; `None` without a signer.
    fn sign_seal(&self, message: &[u8]) -> Result<Option<Signature>, String> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let shown = signer.sign(message)?;
        Ok(Some(Signature { certificate: shown.certificate, signature: shown.signature }))
    }
}
