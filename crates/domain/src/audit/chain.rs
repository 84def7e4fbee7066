//! Verification of a chain of seals, from values to a verdict.

use std::{collections::HashMap, fmt};

use uuid::Uuid;

use super::seal::{Checkpoint, Seal};
use crate::{Timestamp, merkle::Hash};

/// Signature of a seal or of a checkpoint, as its verifier judged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedBy {
    /// It is valid; the name is the signer's.
    Signer(String),
    /// It has a signature, and no CA was given to verify it.
    Unverified,
    /// It has no signature: the scheduler ran without TLS.
    Nobody,
    /// Its signature is not valid, for this reason.
    Forger(String),
}

/// Whether seals without a signature are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// They are accepted, and counted.
    Accepted,
    /// They break the chain.
    Refused,
}

/// The first thing that is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A seal is missing: either this one, or the last one of the chain.
    MissingSeal,
    /// The seal does not match its own hash, or does not follow the seal before it.
    ChangedSeal,
    /// The signature is not valid, for this reason.
    ForgedSignature(String),
    /// The seal or the checkpoint has no signature.
    MissingSignature,
    /// An entry is not as it was when it was sealed.
    ChangedEntry(Uuid),
    /// A sealed entry does not exist.
    MissingEntry(Uuid),
    /// An entry is neither sealed nor waiting for its seal.
    InsertedEntry(Uuid),
}

impl Fault {
    /// Returns the word of the fault in JSON.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::MissingSeal => "MISSING_SEAL",
            Self::ChangedSeal => "CHANGED_SEAL",
            Self::ForgedSignature(_) => "FORGED_SIGNATURE",
            Self::MissingSignature => "MISSING_SIGNATURE",
            Self::ChangedEntry(_) => "CHANGED_ENTRY",
            Self::MissingEntry(_) => "MISSING_ENTRY",
            Self::InsertedEntry(_) => "INSERTED_ENTRY",
        }
    }

    /// Returns the entry that is wrong; `None` if a seal is.
    pub const fn audit_id(&self) -> Option<Uuid> {
        match self {
            Self::ChangedEntry(audit_id) | Self::MissingEntry(audit_id) | Self::InsertedEntry(audit_id) => {
                Some(*audit_id)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingSeal => f.write_str("the seal is missing"),
            Self::ChangedSeal => f.write_str("the seal was changed, or does not follow the seal before it"),
            Self::ForgedSignature(reason) => write!(f, "the signature is not valid: {reason}"),
            Self::MissingSignature => f.write_str("the signature is missing"),
            Self::ChangedEntry(id) => write!(f, "entry {} was changed after it was sealed", id.simple()),
            Self::MissingEntry(id) => write!(f, "entry {} is missing", id.simple()),
            Self::InsertedEntry(id) => {
                write!(f, "entry {} is neither sealed nor waiting for its seal", id.simple())
            }
        }
    }
}

/// The first broken place of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Number of the seal; `None` for an entry without a seal.
    pub seal: Option<u64>,
    /// Time of the seal, or of the inserted entry; `None` if a seal is missing.
    pub at: Option<Timestamp>,
    /// What is wrong.
    pub fault: Fault,
}

/// The last seal of a chain, as it is stored apart from the seals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the seal; 0 before the first one.
    pub number: u64,
    /// Hash of the seal; all zeros before the first one.
    pub hash: Hash,
}

/// Where the verification of a chain begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// At the first seal.
    FirstSeal,
    /// Behind the seals that a checkpoint covers.
    Checkpoint(Checkpoint),
}

/// The verification of a chain, seal by seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    unsigned: Unsigned,
    kept_from: Uuid,
    head: Head,
    /// Whether a verified seal or checkpoint has a signature.
    is_signed: bool,
    /// Time of the last seal; `None` before the first one.
    pub last_at: Option<Timestamp>,
    /// Number of seals without a signature.
    pub unsigned_seals: u64,
    /// Number of verified seals.
    pub seals: u64,
    /// Number of verified entries.
    pub entries: u64,
}

impl Chain {
    /// Begins a verification.
    pub fn new(origin: &Origin, by: &SealedBy, unsigned: Unsigned) -> Result<Self, Broken> {
        let mut chain = Self {
            unsigned,
            kept_from: Uuid::nil(),
            head: Head::default(),
            is_signed: false,
            last_at: None,
            unsigned_seals: 0,
            seals: 0,
            entries: 0,
        };
        if let Origin::Checkpoint(checkpoint) = origin {
            chain.check_signature(by, checkpoint.number, checkpoint.at)?;
            chain.kept_from = checkpoint.kept_from;
            chain.head = Head { number: checkpoint.number, hash: checkpoint.hash };
        }
        Ok(chain)
    }

    /// Returns the last verified seal.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Returns the numbers of the verified seals: they begin behind the first number, and end with
    /// the second one.
    pub const fn verified(&self) -> (u64, u64) {
        (self.head.number - self.seals, self.head.number)
    }

    /// Returns the first id that retention has not deleted.
    pub const fn kept_from(&self) -> Uuid {
        self.kept_from
    }

    /// Verifies the next seal. `hash` is the stored one; `found` has the hashes of the entries that
    /// exist now.
    pub fn check(
        &mut self,
        seal: &Seal,
        hash: &Hash,
        by: &SealedBy,
        found: &HashMap<Uuid, Hash>,
    ) -> Result<(), Broken> {
        let wrong = |fault| Broken { seal: Some(seal.number), at: Some(seal.at), fault };
        if seal.number != self.head.number + 1 {
            let missing = self.head.number + 1;
            return Err(Broken { seal: Some(missing), at: None, fault: Fault::MissingSeal });
        }
        if seal.hash() != *hash || seal.previous != self.head.hash {
            return Err(wrong(Fault::ChangedSeal));
        }
        self.check_signature(by, seal.number, seal.at)?;
        for entry in &seal.entries {
            match found.get(&entry.audit_id) {
                Some(hash) if *hash == entry.hash => {}
                Some(_) => return Err(wrong(Fault::ChangedEntry(entry.audit_id))),
                // Retention deleted its month.
                None if entry.audit_id < self.kept_from => {}
                None => return Err(wrong(Fault::MissingEntry(entry.audit_id))),
            }
        }
        self.head = Head { number: seal.number, hash: *hash };
        self.last_at = Some(seal.at);
        self.seals += 1;
        self.entries += seal.entries.len() as u64;
        Ok(())
    }

    /// Ends the verification. `head` is the stored last seal, and `stray` the first entry that has
    /// no seal and is wrong, with its time as far as it is known.
    pub fn end(&self, head: Head, stray: Option<(Fault, Option<Timestamp>)>) -> Result<(), Broken> {
        if head.number > self.head.number {
            let missing = Some(self.head.number + 1);
            return Err(Broken { seal: missing, at: None, fault: Fault::MissingSeal });
        }
        if head != self.head {
            let seal = Some(self.head.number);
            return Err(Broken { seal, at: self.last_at, fault: Fault::ChangedSeal });
        }
        stray.map_or(Ok(()), |(fault, at)| Err(Broken { seal: None, at, fault }))
    }

    fn check_signature(&mut self, by: &SealedBy, number: u64, at: Timestamp) -> Result<(), Broken> {
        let fault = match (by, self.unsigned) {
            (SealedBy::Signer(_) | SealedBy::Unverified, _) => {
                self.is_signed = true;
                return Ok(());
            }
            // Unsigned seals are from before TLS. Behind a signed one, they are a replacement.
            (SealedBy::Nobody, Unsigned::Accepted) if !self.is_signed => {
                self.unsigned_seals += 1;
                return Ok(());
            }
            (SealedBy::Nobody, _) => Fault::MissingSignature,
            (SealedBy::Forger(reason), _) => Fault::ForgedSignature(reason.clone()),
        };
        Err(Broken { seal: Some(number), at: Some(at), fault })
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
