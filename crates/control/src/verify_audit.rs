//! The verification of the audit's seals, for a command on the database.

use domain::{
    Error, Timestamp,
    audit::{Broken, Chain, Fault, Head, Origin, Seal, SealedBy, Unsigned},
    ids::ProjectId,
    merkle::Hash,
};
use store::{
    Connection,
    seal::{self, SealRow, Signature},
};
use uuid::Uuid;

use crate::Control;

/// Number of seals that are read and verified at once.
const SEALS_AT_ONCE: i64 = 100;

/// Verifier of a signature: gets the message and the time of the seal.
pub type SignatureVerifier<'a> = &'a (dyn Fn(&[u8], &Signature, Timestamp) -> SealedBy + Send + Sync);

/// Verdict on one chain of seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainVerdict {
    /// Project of the chain; empty for the cluster's.
    pub project_id: String,
    /// Time of the checkpoint at which the verification began; `None` if it began at the first
    /// seal.
    pub checkpoint_at: Option<Timestamp>,
    /// Number of verified seals.
    pub seals: u64,
    /// Number of verified seals without a signature.
    pub unsigned_seals: u64,
    /// Number of entries in verified seals.
    pub sealed_entries: u64,
    /// Number of entries that wait for their seal.
    pub unsealed_entries: u64,
    /// Number and hash of the last verified seal.
    pub last: Head,
    /// Time of the last verified seal; `None` without a seal since the checkpoint.
    pub last_at: Option<Timestamp>,
    /// The first broken place; `None` if the chain is intact.
    pub broken: Option<Broken>,
}

impl Control {
    /// Verifies the chain of a project, or all chains with the cluster's (`None`), each in the
    /// state of one moment. Reads every entry.
    pub async fn verify_audit(
        &self,
        project_id: Option<&ProjectId>,
        unsigned: Unsigned,
        verifier: SignatureVerifier<'_>,
    ) -> Result<Vec<ChainVerdict>, Error> {
        let chains = match project_id {
            Some(project_id) => vec![project_id.to_string()],
            None => seal::chains(&mut *self.store.acquire().await?).await?,
        };
        let mut verdicts = Vec::with_capacity(chains.len());
        for project_id in chains {
            let mut tx = self.store.begin().await?;
            seal::begin_snapshot(&mut tx).await?;
            verdicts.push(verify_chain(&mut tx, project_id, unsigned, verifier).await?);
        }
        Ok(verdicts)
    }
}

async fn verify_chain(
    connection: &mut Connection,
    project_id: String,
    unsigned: Unsigned,
    verifier: SignatureVerifier<'_>,
) -> Result<ChainVerdict, Error> {
    let (origin, by) = match seal::checkpoint(connection, &project_id).await? {
        None => (Origin::FirstSeal, SealedBy::Nobody),
        Some((checkpoint, signature)) => {
            let by = judge(verifier, &checkpoint.message(), signature.as_ref(), checkpoint.at);
            (Origin::Checkpoint(checkpoint), by)
        }
    };
    let mut verdict = ChainVerdict {
        unsealed_entries: seal::count_unsealed(connection, &project_id).await?,
        checkpoint_at: match &origin {
            Origin::FirstSeal => None,
            Origin::Checkpoint(checkpoint) => Some(checkpoint.at),
        },
        project_id,
        seals: 0,
        unsigned_seals: 0,
        sealed_entries: 0,
        last: Head::default(),
        last_at: None,
        broken: None,
    };
    let mut chain = match Chain::new(&origin, &by, unsigned) {
        Ok(chain) => chain,
        Err(broken) => return Ok(ChainVerdict { broken: Some(broken), ..verdict }),
    };
    verdict.broken = match check_seals(connection, &verdict.project_id, &mut chain, verifier).await? {
        Some(broken) => Some(broken),
        None => check_end(connection, &verdict.project_id, &chain).await?,
    };
    Ok(ChainVerdict {
        seals: chain.seals,
        unsigned_seals: chain.unsigned_seals,
        sealed_entries: chain.entries,
        last: chain.head(),
        last_at: chain.last_at,
        ..verdict
    })
}

async fn check_seals(
    connection: &mut Connection,
    project_id: &str,
    chain: &mut Chain,
    verifier: SignatureVerifier<'_>,
) -> Result<Option<Broken>, Error> {
    loop {
        let rows = seal::list(connection, project_id, chain.head().number, SEALS_AT_ONCE).await?;
        let is_last = i64::try_from(rows.len()).unwrap_or(i64::MAX) < SEALS_AT_ONCE;
        for SealRow { seal, hash, signature } in rows {
            let ids: Vec<Uuid> = seal.entries.iter().map(|entry| entry.audit_id).collect();
            let found = seal::entry_hashes(connection, project_id, &ids).await?;
            let by = judge_seal(verifier, &seal, &hash, signature.as_ref());
            if let Err(broken) = chain.check(&seal, &hash, &by, &found) {
                return Ok(Some(broken));
            }
        }
        if is_last {
            return Ok(None);
        }
    }
}

async fn check_end(
    connection: &mut Connection,
    project_id: &str,
    chain: &Chain,
) -> Result<Option<Broken>, Error> {
    let head = seal::fetch_head(connection, project_id).await?;
    Ok(chain.end(head, stray(connection, project_id, chain).await?).err())
}

/// Returns the first entry or seal that is not part of the verified chain and is wrong.
async fn stray(
    connection: &mut Connection,
    project_id: &str,
    chain: &Chain,
) -> Result<Option<(Fault, Option<Timestamp>)>, Error> {
    if let Some(audit_id) = seal::missing_unsealed(connection, project_id).await? {
        return Ok(Some((Fault::MissingEntry(audit_id), None)));
    }
    let verified = chain.verified();
    // Another seal of the same number could hide an entry.
    if seal::count(connection, project_id, verified).await? != chain.seals {
        return Ok(Some((Fault::ChangedSeal, None)));
    }
    let inserted = seal::inserted(connection, project_id, chain.kept_from(), verified).await?;
    Ok(inserted.map(|(audit_id, at)| (Fault::InsertedEntry(audit_id), Some(at))))
}

/// Skips the signature of a seal that is changed anyway.
fn judge_seal(
    verifier: SignatureVerifier<'_>,
    seal: &Seal,
    hash: &Hash,
    signature: Option<&Signature>,
) -> SealedBy {
    if seal.hash() == *hash { judge(verifier, &seal.message(), signature, seal.at) } else { SealedBy::Nobody }
}

fn judge(
    verifier: SignatureVerifier<'_>,
    message: &[u8],
    signature: Option<&Signature>,
    at: Timestamp,
) -> SealedBy {
    signature.map_or(SealedBy::Nobody, |signature| verifier(message, signature, at))
}
