//! What of orders is signed: the same bytes for who signs them, who hands them on and who verifies them.

pub use domain::merkle::{Hash, Tree, sha256};

use domain::{
    merkle::{self, MAX_PATH, root_of},
    script::{self, ScriptType},
};

use crate::{order::Signed, scheduler::PullResponse};

/// Says what is signed, so that a signature over anything else is none of ours; its number changes with the meaning of the
/// terms.
const CONTEXT: &[u8] = b"graywave orders v1\0";

/// What is signed: all orders of an answer, by the root and the size of their tree.
pub fn message(root: &Hash, size: u32) -> Vec<u8> {
    [CONTEXT, &size.to_be_bytes(), root].concat()
}

/// The tree over the orders of an answer to a pull; `None` where there are none.
pub fn tree(answer: &PullResponse) -> Option<Tree> {
    let leaves = answer.batches.iter().flat_map(|batch| {
        let terms = sha256(&batch.signed_terms);
        batch.targets.iter().map(move |target| leaf(&terms, &target.signed_terms))
    });
    Tree::new(leaves.collect())
}

/// The root of the tree in which an order says that it is; `None` where it cannot be in any.
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

/// The hash of a script's type and content; `None` where nothing runs scripts of such a type.
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
        }
    }

    #[test]
    fn each_order_of_an_answer_is_in_its_tree_with_its_batch_and_no_other() {
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
