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

/// Number of entries that one statement reads. Most seals have few entries, so a statement covers
/// many seals.
const ENTRIES_AT_ONCE: usize = 2_000;

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
        for seals in with_at_most(&rows, ENTRIES_AT_ONCE) {
            let entries = seals.iter().flat_map(|row| &row.seal.entries);
            let ids: Vec<Uuid> = entries.map(|entry| entry.audit_id).collect();
            let found = seal::entry_hashes(connection, project_id, &ids).await?;
            for SealRow { seal, hash, signature } in seals {
                let by = judge_seal(verifier, seal, hash, signature.as_ref());
                if let Err(broken) = chain.check(seal, hash, &by, &found) {
                    return Ok(Some(broken));
                }
            }
        }
        if is_last {
            return Ok(None);
        }
    }
}

/// Splits seals into groups with at most this number of entries, or with one larger seal.
fn with_at_most(mut rows: &[SealRow], entries: usize) -> impl Iterator<Item = &[SealRow]> {
    std::iter::from_fn(move || {
        let mut total = 0;
        let size = rows.iter().take_while(|row| {
            total += row.seal.entries.len();
            total <= entries
        });
        let (group, rest) = rows.split_at(size.count().max(1).min(rows.len()));
        rows = rest;
        (!group.is_empty()).then_some(group)
    })
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

#[cfg(test)]
mod tests {
    use domain::audit::SealedEntry;

    use super::*;

    fn with_entries(number: usize) -> SealRow {
        let entry = SealedEntry { audit_id: Uuid::nil(), hash: Hash::default() };
        let (at, previous) = (Timestamp::default(), Hash::default());
        let seal = Seal { project_id: String::new(), number: 1, at, previous, entries: vec![entry; number] };
        SealRow { seal, hash: Hash::default(), signature: None }
    }

    #[test]
    fn groups_cover_all_seals_within_the_limit() {
        let rows: Vec<SealRow> = [1, 2, 5, 0, 1, 3, 9, 1].map(with_entries).to_vec();
        let sizes: Vec<Vec<usize>> = with_at_most(&rows, 4)
            .map(|group| group.iter().map(|row| row.seal.entries.len()).collect())
            .collect();
        assert_eq!(sizes, [vec![1, 2], vec![5], vec![0, 1, 3], vec![9], vec![1]]);
        assert_eq!(with_at_most(&[], 4).count(), 0);
    }
}
