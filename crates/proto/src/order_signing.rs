//! Bytes of orders that are signed: shared by signer, forwarder and verifier.

pub use domain::merkle::{Hash, Tree, sha256};

use domain::{
    merkle::{self, MAX_PATH, root_of},
    script::{self, ScriptType},
};

use crate::{order::Signed, scheduler::PullResponse};

/// Prefix of every signed message, which prevents the reuse of signatures from other contexts. Its
/// version number changes with the meaning of the terms.
const CONTEXT: &[u8] = b"graywave orders v1\0";

/// Message to sign: the root and the size of the tree over all orders of a response.
pub fn message(root: &Hash, size: u32) -> Vec<u8> {
    [CONTEXT, &size.to_be_bytes(), root].concat()
}

/// Merkle tree over the orders of a pull response; `None` if there are no orders.
pub fn tree(answer: &PullResponse) -> Option<Tree> {
    let leaves = answer.batches.iter().flat_map(|batch| {
        let terms = sha256(&batch.signed_terms);
        batch.targets.iter().map(move |target| leaf(&terms, &target.signed_terms))
    });
    Tree::new(leaves.collect())
}

/// Root of the Merkle tree that an order's proof leads to; `None` if the proof is malformed.
pub fn root(signed: &Signed) -> Option<Hash> {
    if signed.path.len() > MAX_PATH {
        return None;
    }
    let hash = |bytes: &Vec<u8>| Hash::try_from(bytes.as_slice()).ok();
    let path = signed.path.iter().map(hash).collect::<Option<Vec<Hash>>>()?;
    root_of(leaf(&sha256(&signed.batch), &signed.target), signed.index, signed.size, &path)
}

fn leaf(batch: &Hash, target: &[u8]) -> Hash {
    merkle::leaf(&[batch, target].concat())
}

/// SHA-256 of a script's type and content; `None` for an unknown script type.
pub fn script_sha256(script_type: &str, content: &str) -> Option<Hash> {
    let script_type: ScriptType = script_type.parse().ok()?;
    Some(script::sha256(script_type, content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::{Batch, Target};

    fn answer() -> PullResponse {
        let target = |number: u8| Target { signed_terms: vec![number], ..Target::default() };
        let batch = |number: u8, targets: &[u8]| Batch {
            signed_terms: vec![number],
            targets: targets.iter().copied().map(target).collect(),
            ..Batch::default()
        };
        PullResponse {
            batches: vec![batch(1, &[10, 11]), batch(2, &[]), batch(3, &[12])],
            signature: None,
            revoked: Vec::new(),
            scripts: Vec::new(),
            deny_list: None,
        }
    }

    #[test]
    fn order_proof_fits_only_its_own_batch_and_tree() {
        let tree = tree(&answer()).unwrap();
        assert_eq!(tree.size(), 3);
        let signed = |batch: u8, target: u8, index: u32| {
            let path = tree.path(index).unwrap().iter().map(|hash| hash.to_vec()).collect();
            Signed { batch: vec![batch], target: vec![target], index, size: 3, path, ..Signed::default() }
        };
        for (index, (batch, target)) in (0..).zip([(1, 10), (1, 11), (3, 12)]) {
            assert_eq!(root(&signed(batch, target, index)), Some(tree.root()));
            assert_ne!(root(&signed(2, target, index)), Some(tree.root()));
        }
        let good = signed(1, 10, 0);
        let torn = Signed { path: vec![vec![0; 31]], ..good.clone() };
        let endless = Signed { path: vec![vec![0; 32]; 33], ..good };
        assert_eq!((root(&torn), root(&endless)), (None, None));
        assert_eq!(super::tree(&PullResponse::default()), None);
    }

    #[test]
    fn what_is_signed_says_so_and_how_many_there_are() {
        let signed = message(&[7; 32], 258);
        assert_eq!(signed, [&b"graywave orders v1\0\0\0\x01\x02"[..], &[7; 32]].concat());
    }
}
