//! Certificate chains that were verified. After the loss of a worker, its desktops attach again
//! with the same certificates, and two of three signatures need no second verification.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ring::digest::{Context, SHA256};

/// Number of chains that are remembered, in about 6 MiB.
const CAPACITY: usize = 100_000;

/// SHA-256 of a chain.
type Id = [u8; 32];

/// Verified chains with the end of their validity in Unix seconds. They belong to one set of
/// trusted CAs.
#[derive(Debug, Default)]
pub(crate) struct VerifiedChains(Mutex<HashMap<Id, i64>>);

impl VerifiedChains {
    /// Whether a chain was verified and is valid at this time.
    pub(crate) fn contains(&self, id: &Id, now_unix: i64) -> bool {
        let chains = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        chains.get(id).is_some_and(|until_unix| now_unix <= *until_unix)
    }

    /// Adds a verified chain. When there are too many, all are forgotten.
    pub(crate) fn add(&self, id: Id, until_unix: i64) {
        let mut chains = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if chains.len() >= CAPACITY {
            chains.clear();
        }
        chains.insert(id, until_unix);
    }
}

/// Identifies a chain of DER certificates.
pub(crate) fn chain_id(chain: &[Vec<u8>]) -> Id {
    let mut hash = Context::new(&SHA256);
    for certificate in chain {
        hash.update(&(certificate.len() as u64).to_be_bytes());
        hash.update(certificate);
    }
    let mut id = Id::default();
    id.copy_from_slice(hash.finish().as_ref());
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_is_known_until_it_expires() {
        let (chains, id) = (VerifiedChains::default(), chain_id(&[vec![1], vec![2]]));
        assert!(!chains.contains(&id, 0));
        chains.add(id, 10);
        assert!(chains.contains(&id, 10) && !chains.contains(&id, 11));
        assert!(!chains.contains(&chain_id(&[vec![1, 2]]), 0));
        assert!(!chains.contains(&chain_id(&[vec![1]]), 0));
    }

    #[test]
    fn number_of_remembered_chains_is_bounded() {
        let chains = VerifiedChains::default();
        for number in 0..=CAPACITY {
            chains.add(chain_id(&[number.to_be_bytes().to_vec()]), 1);
        }
        assert_eq!(chains.0.lock().unwrap().len(), 1);
    }
}
