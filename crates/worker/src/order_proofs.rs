//! Adds to each order its proof from the signature of the pull response. Agents verify it; the
//! worker does not.

use proto::{
    order::{Signature, Signed},
    order_signing::{Hash, Tree, sha256, tree},
    scheduler::{Batch, PullResponse, Target},
};

/// Number of recent signers that a connection has received and that are not sent again; agents
/// cache twice as many.
const CACHE_CAPACITY: usize = 8;

/// Signature over a pull response, with its Merkle tree.
#[derive(Debug)]
pub(crate) struct Answer {
    tree: Tree,
    signature: Signature,
    pub(crate) signer: Hash,
}

impl Answer {
    /// Takes the signature out of a pull response; `None` if schedulers do not sign.
    pub(crate) fn new(answer: &mut PullResponse) -> Option<Self> {
        let signature = answer.signature.take()?;
        let signer = sha256(&signature.certificate);
        Some(Self { tree: tree(answer)?, signature, signer })
    }

    /// Certificate of the signer.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.signature.certificate
    }

    /// Signed order of the target with this leaf index.
    pub(crate) fn order(&self, index: u32, batch: &[u8], target: Vec<u8>) -> Signed {
        let path = self.tree.path(index).unwrap_or_default();
        Signed {
            batch: batch.to_vec(),
            target,
            index,
            size: self.tree.size(),
            path: path.into_iter().map(Vec::from).collect(),
            signature: self.signature.signature.clone(),
            certificate_sha256: self.signer.to_vec(),
        }
    }
}

/// A batch's share of the signature: its orders start at leaf `first`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) answer: &'a Answer,
    pub(crate) first: u32,
}

/// Batches of a pull response, each with its share of the signature.
pub(crate) fn parts(
    batches: Vec<Batch>,
    answer: Option<&Answer>,
) -> impl Iterator<Item = (Batch, Option<Part<'_>>)> {
    let mut first = 0u32;
    batches.into_iter().map(move |batch| {
        let part = answer.map(|answer| Part { answer, first });
        first = first.saturating_add(u32::try_from(batch.targets.len()).unwrap_or(u32::MAX));
        (batch, part)
    })
}

impl Part<'_> {
    /// Signed order of the batch's target at this position.
    pub(crate) fn order(&self, place: u32, batch: &[u8], target: &mut Target) -> Signed {
        let terms = std::mem::take(&mut target.signed_terms);
        self.answer.order(self.first.saturating_add(place), batch, terms)
    }
}

/// Signers that a connection has received.
#[derive(Debug, Default)]
pub(crate) struct ShownSigners(std::collections::VecDeque<Hash>);

impl ShownSigners {
    /// Whether this signer must be sent now; it then counts as sent.
    pub(crate) fn is_new(&mut self, signer: Hash) -> bool {
        if self.0.contains(&signer) {
            return false;
        }
        if self.0.len() == CACHE_CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(signer);
        true
    }
}

#[cfg(test)]
mod tests {
    use proto::order_signing::root;

    use super::*;

    #[test]
    fn each_order_has_its_own_proof() {
        let target = |number: u8| Target { signed_terms: vec![number], ..Target::default() };
        let batch = |number: u8, targets: &[u8]| Batch {
            signed_terms: vec![number],
            targets: targets.iter().copied().map(target).collect(),
            ..Batch::default()
        };
        let mut answer = PullResponse {
            batches: vec![batch(1, &[10, 11, 12]), batch(2, &[20, 21])],
            revoked: Vec::new(),
            scripts: Vec::new(),
            deny_list: None,
            signature: Some(Signature { certificate: b"c".to_vec(), signature: b"s".to_vec() }),
        };
        let whole = Answer::new(&mut answer).unwrap();
        let mut orders = 0;
        for (mut batch, part) in parts(answer.batches, Some(&whole)) {
            for (place, target) in (0..).zip(&mut batch.targets) {
                let signed = part.unwrap().order(place, &batch.signed_terms, target);
                assert_eq!(root(&signed), Some(whole.tree.root()), "{signed:?}");
                orders += 1;
            }
        }
        assert_eq!(orders, 5);
        assert!(Answer::new(&mut PullResponse::default()).is_none());
    }

    #[test]
    fn a_connection_is_shown_a_signer_once_while_it_is_remembered() {
        let mut shown = ShownSigners::default();
        let signer = |number: u8| [number; 32];
        assert!(shown.is_new(signer(0)) && !shown.is_new(signer(0)));
        assert!((1..=8).all(|number| shown.is_new(signer(number))));
        assert!(shown.is_new(signer(0)), "the oldest signer was evicted");
    }
}
