//! Seals: a chain of hashes over the entries of a project's audit, or of the cluster's.
//!
//! A seal names its entries by id and hash, and the hash of the seal before it. Its signature
//! covers its hash. So no entry can be changed, removed or added behind a seal without breaking the
//! chain, and a verifier names the entry.
//!
//! Each encoding begins with its own context, and each text with its length. No two different
//! values have the same encoding.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Timestamp, merkle::Hash};

/// Maximum number of entries of one seal.
pub const ENTRIES_PER_SEAL: u16 = 500;

const ENTRY: &[u8] = b"graywave audit entry v1\0";
const SEAL: &[u8] = b"graywave audit seal v1\0";
const CHECKPOINT: &[u8] = b"graywave audit checkpoint v1\0";

/// Returns whether a chain is the cluster's: its entries belong to no project.
pub const fn is_cluster(project_id: &str) -> bool {
    project_id.is_empty()
}

/// All fields of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryFields<'a> {
    /// Id of the entry.
    pub audit_id: Uuid,
    /// Project of the entry; empty for an entry of the cluster.
    pub project_id: &'a str,
    /// Time of the call, with the precision of the database: microseconds.
    pub at: Timestamp,
    /// All texts, in the order of the table's columns.
    pub texts: [&'a str; 8],
    /// Details, byte for byte as they are stored.
    pub details: &'a str,
}

impl EntryFields<'_> {
    /// Hashes the entry.
    pub fn hash(&self) -> Hash {
        let mut encoding = Encoding::new(ENTRY);
        encoding.bytes(self.audit_id.as_bytes());
        encoding.text(self.project_id);
        encoding.bytes(&self.at.timestamp_micros().to_be_bytes());
        for text in self.texts {
            encoding.text(text);
        }
        encoding.text(self.details);
        encoding.hash()
    }
}

/// An entry as its seal names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedEntry {
    /// Id of the entry.
    pub audit_id: Uuid,
    /// Hash of the entry at the time of the seal. All zeros: the entry was missing already.
    pub hash: Hash,
}

/// A seal over the entries that are new since the seal before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Project of the chain; empty for the cluster's.
    pub project_id: String,
    /// Number in the chain, from 1.
    pub number: u64,
    /// Time of the seal, in microseconds.
    pub at: Timestamp,
    /// Hash of the seal before it; all zeros for the first one.
    pub previous: Hash,
    /// Entries in the order of their ids.
    pub entries: Vec<SealedEntry>,
}

impl Seal {
    /// Hashes the seal.
    pub fn hash(&self) -> Hash {
        let mut encoding = Encoding::new(SEAL);
        encoding.text(&self.project_id);
        encoding.bytes(&self.number.to_be_bytes());
        encoding.bytes(&self.at.timestamp_micros().to_be_bytes());
        encoding.bytes(&self.previous);
        encoding.length(self.entries.len());
        for entry in &self.entries {
            encoding.bytes(entry.audit_id.as_bytes());
            encoding.bytes(&entry.hash);
        }
        encoding.hash()
    }

    /// Returns the message that a signer signs.
    pub fn message(&self) -> Vec<u8> {
        [SEAL, &self.hash()].concat()
    }
}

/// The start of a chain whose older months are deleted. It is stored before they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Project of the chain; empty for the cluster's.
    pub project_id: String,
    /// First id that is kept: entries and seals with smaller ids may be deleted.
    pub kept_from: Uuid,
    /// Time of the checkpoint, in microseconds.
    pub at: Timestamp,
    /// Number of the last seal with a smaller id; 0 without one.
    pub number: u64,
    /// Hash of that seal; all zeros without one.
    pub hash: Hash,
}

impl Checkpoint {
    /// Returns the message that a signer signs.
    pub fn message(&self) -> Vec<u8> {
        let mut encoding = Encoding::new(CHECKPOINT);
        encoding.text(&self.project_id);
        encoding.bytes(self.kept_from.as_bytes());
        encoding.bytes(&self.at.timestamp_micros().to_be_bytes());
        encoding.bytes(&self.number.to_be_bytes());
        encoding.bytes(&self.hash);
        [CHECKPOINT, &encoding.hash()].concat()
    }
}

/// An encoding, hashed while it is written.
struct Encoding(Sha256);

impl Encoding {
    fn new(context: &[u8]) -> Self {
        Self(Sha256::new_with_prefix(context))
    }

    /// Writes a value of a fixed length.
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn length(&mut self, length: usize) {
        self.0.update((length as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.update(text);
    }

    fn hash(self) -> Hash {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn fields() -> EntryFields<'static> {
        EntryFields {
            audit_id: Uuid::from_u128(1),
            project_id: "p",
            at: Timestamp::UNIX_EPOCH,
            texts: ["ann", "token:1", "act", "it", "DONE", "", "here", "r"],
            details: "{}",
        }
    }

    #[test]
    fn every_field_of_an_entry_changes_its_hash() {
        let whole = fields();
        let mut hashes = HashSet::from([whole.hash()]);
        assert!(hashes.insert(EntryFields { audit_id: Uuid::from_u128(2), ..whole }.hash()));
        assert!(hashes.insert(EntryFields { project_id: "", ..whole }.hash()));
        assert!(
            hashes.insert(EntryFields { at: "1970-01-01T00:00:00.000001Z".parse().unwrap(), ..whole }.hash())
        );
        assert!(hashes.insert(EntryFields { details: "{ }", ..whole }.hash()));
        for place in 0..whole.texts.len() {
            let mut texts = whole.texts;
            texts[place] = "other";
            assert!(hashes.insert(EntryFields { texts, ..whole }.hash()), "{place}");
        }
        // The same bytes, divided differently.
        let mut texts = whole.texts;
        (texts[0], texts[1]) = ("annt", "oken:1");
        assert!(hashes.insert(EntryFields { texts, ..whole }.hash()));
    }

    #[test]
    fn hash_of_an_entry_never_changes() {
        // A stored seal must stay valid: this value is part of the format.
        assert_eq!(
            hex::encode(fields().hash()),
            "4178079c1dfcaa4509e1bf76e54efa705616ac6721c04877a3def3c902067586"
        );
    }

    #[test]
    fn seal_and_checkpoint_are_never_taken_for_each_other() {
        let seal = Seal {
            project_id: "p".into(),
            number: 1,
            at: Timestamp::UNIX_EPOCH,
            previous: Hash::default(),
            entries: vec![SealedEntry { audit_id: Uuid::from_u128(1), hash: [1; 32] }],
        };
        let mut hashes = HashSet::from([seal.hash()]);
        assert!(hashes.insert(Seal { project_id: String::new(), ..seal.clone() }.hash()));
        assert!(hashes.insert(Seal { number: 2, ..seal.clone() }.hash()));
        assert!(hashes.insert(Seal { previous: [2; 32], ..seal.clone() }.hash()));
        assert!(hashes.insert(Seal { entries: Vec::new(), ..seal.clone() }.hash()));
        let checkpoint = Checkpoint {
            project_id: "p".into(),
            kept_from: Uuid::nil(),
            at: Timestamp::UNIX_EPOCH,
            number: 1,
            hash: seal.hash(),
        };
        assert_ne!(checkpoint.message(), seal.message());
        assert!(seal.message().starts_with(SEAL) && checkpoint.message().starts_with(CHECKPOINT));
    }
}
