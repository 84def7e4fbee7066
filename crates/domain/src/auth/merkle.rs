//! A Merkle tree over a list, as in RFC 9162. The root hash represents the whole list, and a short
//! proof shows that an entry belongs to the list. A signature over the root therefore signs every
//! entry, and a verifier needs only one entry.
//!
//! Leaves and inner nodes are hashed with different prefixes, so that neither can replace the
//! other. The number of entries is part of the signed data, so that each position has exactly one
//! path.

use sha2::{Digest as _, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Maximum length of a path: a list has fewer than 2^32 entries.
pub const MAX_PATH: usize = 32;

const LEAF: u8 = 0;
const NODE: u8 = 1;

/// Hashes bytes that are not an entry of a tree.
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Hashes an entry.
pub fn leaf(entry: &[u8]) -> Hash {
    Sha256::new().chain_update([LEAF]).chain_update(entry).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([NODE]).chain_update(left).chain_update(right).finalize().into()
}

/// A tree with all its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Levels from the leaves to the root. Each level hashes pairs of the level before; an unpaired
    /// node moves up unchanged. Never empty, and the last level contains only the root.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Builds the tree over leaves. Returns `None` for an empty list or for more than 2^32 - 1
    /// leaves.
    pub fn new(leaves: Vec<Hash>) -> Option<Self> {
        u32::try_from(leaves.len()).ok().filter(|count| *count > 0)?;
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(2).map(|pair| match pair {
                [left, right] => node(left, right),
                [alone, ..] => *alone,
                [] => Hash::default(),
            });
            let above = above.collect();
            levels.push(above);
        }
        Some(Self { levels })
    }

    /// Returns the root hash, which represents the whole list.
    pub fn root(&self) -> Hash {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// Returns the number of leaves.
    pub fn size(&self) -> u32 {
        self.levels.first().map_or(0, |leaves| u32::try_from(leaves.len()).unwrap_or(u32::MAX))
    }

    /// Returns the sibling hashes on the way from a leaf to the root; `None` if the leaf does not
    /// exist.
    pub fn path(&self, index: u32) -> Option<Vec<Hash>> {
        let mut place = usize::try_from(index).ok()?;
        self.levels.first()?.get(place)?;
        let mut path = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            path.extend(level.get(place ^ 1));
            place /= 2;
        }
        Some(path)
    }
}

/// Computes the root from a leaf, its position and its path. Returns `None` if no tree of this size
/// has such a path.
pub fn root_of(leaf: Hash, index: u32, size: u32, path: &[Hash]) -> Option<Hash> {
    let mut last = size.checked_sub(1).filter(|last| index <= *last)?;
    let (mut place, mut hash, mut path) = (index, leaf, path.iter());
    while last > 0 {
        if place % 2 == 1 {
            hash = node(path.next()?, &hash);
        } else if place < last {
            hash = node(&hash, path.next()?);
        }
        place /= 2;
        last /= 2;
    }
    path.next().is_none().then_some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|number| leaf(&number.to_be_bytes())).collect()
    }

    /// Computes the root by the definition of the RFC.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [only] => *only,
            more => {
                let left = more.len().next_power_of_two() / 2;
                node(&by_definition(&more[..left]), &by_definition(&more[left..]))
            }
        }
    }

    #[test]
    fn the_hashes_are_those_of_the_rfc() {
        // The first two test vectors of certificate transparency logs.
        let empty = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(hex::encode(leaf(b"")), empty);
        let two = Tree::new(vec![leaf(b""), leaf(&[0])]).unwrap();
        let root = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125";
        assert_eq!(hex::encode(two.root()), root);
    }

    #[test]
    fn a_list_of_nothing_has_no_tree_and_one_of_one_is_its_leaf() {
        assert_eq!(Tree::new(Vec::new()), None);
        let one = Tree::new(leaves(1)).unwrap();
        assert_eq!((one.root(), one.size(), one.path(0)), (leaves(1)[0], 1, Some(Vec::new())));
        assert_eq!(one.path(1), None);
        assert_eq!(root_of(leaves(1)[0], 0, 1, &[]), Some(one.root()));
        assert_eq!(root_of(leaves(1)[0], 0, 0, &[]), None);
    }

    proptest! {
        #[test]
        fn each_leaf_is_proven_and_at_no_other_place(size in 1u32..200, index in 0u32..200, other in 0u32..200) {
            let leaves = leaves(size);
            let tree = Tree::new(leaves.clone()).unwrap();
            prop_assert_eq!(tree.root(), by_definition(&leaves));
            let index = index % size;
            let path = tree.path(index).unwrap();
            prop_assert!(path.len() <= MAX_PATH);
            let proven = |leaf, index, size| root_of(leaf, index, size, &path) == Some(tree.root());
            prop_assert!(proven(leaves[index as usize], index, size));
            let other = other % size;
            prop_assert_eq!(proven(leaves[other as usize], index, size), other == index);
            if other != index {
                prop_assert!(!proven(leaves[index as usize], other, size));
            }
        }

        #[test]
        fn a_changed_bit_proves_nothing(size in 1u32..200, index in 0u32..200, at in 0usize..10_000, bit in 0u8..8) {
            let leaves = leaves(size);
            let tree = Tree::new(leaves.clone()).unwrap();
            let index = index % size;
            let mut path = vec![leaves[index as usize]];
            path.extend(tree.path(index).unwrap());
            let (step, byte) = (at / 32 % path.len(), at % 32);
            path[step][byte] ^= 1 << bit;
            prop_assert_ne!(root_of(path[0], index, size, &path[1..]), Some(tree.root()));
        }

        #[test]
        fn a_path_that_is_too_long_or_too_short_proves_nothing(size in 2u32..200, index in 0u32..200) {
            let leaves = leaves(size);
            let tree = Tree::new(leaves.clone()).unwrap();
            let index = index % size;
            let path = tree.path(index).unwrap();
            let longer = [path.as_slice(), &[Hash::default()]].concat();
            prop_assert_eq!(root_of(leaves[index as usize], index, size, &longer), None);
            prop_assert_eq!(root_of(leaves[index as usize], index, size, &path[1..]), None);
            // The node above two leaves cannot replace a leaf of a smaller tree either.
            if size % 2 == 0 {
                let above = node(&leaves[0], &leaves[1]);
                prop_assert_ne!(leaf(&[leaves[0], leaves[1]].concat()), above);
            }
        }
    }
}
