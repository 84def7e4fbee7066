//! Fair sharing of a worker's room between projects, and between the tasks of a project.

/// Claim on the places of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Number of places that the claimant holds already.
    pub held: u32,
    /// Number of further places that it can use.
    pub wanted: u32,
}

/// Distributes `room` places. Returns the number for each claim, in order.
///
/// The claimant that holds the fewest places is served first. No claimant gets more than another
/// one holds while that one still wants places. Only the last places go by the order of the claims.
/// All places are used if enough are wanted.
pub fn shares(room: u32, claims: &[Claim]) -> Vec<u32> {
    let given = |level: u32| -> Vec<u32> {
        claims.iter().map(|claim| level.saturating_sub(claim.held).min(claim.wanted)).collect()
    };
    let total = |level: u32| -> u64 { given(level).into_iter().map(u64::from).sum() };
    // The highest common level that the room allows.
    let (mut fits, mut too_high) = (0, u32::MAX);
    while too_high - fits > 1 {
        let level = fits + (too_high - fits) / 2;
        if total(level) <= u64::from(room) { fits = level } else { too_high = level }
    }
    let mut shares = given(fits);
    let mut left = u64::from(room).saturating_sub(total(fits));
    for (share, claim) in shares.iter_mut().zip(claims) {
        if left > 0 && *share < claim.wanted && claim.held.saturating_add(*share) <= fits {
            *share += 1;
            left -= 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(room: u32, claims: &[(u32, u32)]) -> Vec<u32> {
        let claims: Vec<Claim> = claims.iter().map(|&(held, wanted)| Claim { held, wanted }).collect();
        shares(room, &claims)
    }

    #[test]
    fn claimant_with_fewest_places_is_served_first() {
        assert_eq!(of(10, &[(0, 100)]), [10]);
        assert_eq!(of(10, &[(0, 100), (0, 100)]), [5, 5]);
        assert_eq!(of(10, &[(0, 100), (0, 2)]), [8, 2]);
        assert_eq!(of(1, &[(9_999, 90_000), (0, 1)]), [0, 1]);
        assert_eq!(of(10, &[(8, 100), (0, 100)]), [1, 9]);
        assert_eq!(of(5, &[(3, 1), (3, 1), (3, 9)]), [1, 1, 3]);
        assert_eq!(of(2, &[(0, 5), (0, 5), (0, 5)]), [1, 1, 0], "the last places go by order");
        assert_eq!(of(0, &[(0, 5)]), [0]);
        assert_eq!(of(5, &[]), [] as [u32; 0]);
    }

    proptest! {
        #[test]
        fn all_places_are_used_and_nobody_is_ahead(
            room in 0u32..500,
            claims in prop::collection::vec((0u32..300, 0u32..300), 1..12),
        ) {
            let shares = of(room, &claims);
            let wanted: u32 = claims.iter().map(|claim| claim.1).sum();
            prop_assert_eq!(shares.iter().sum::<u32>(), room.min(wanted));
            for (&(held, wanted), &share) in claims.iter().zip(&shares) {
                prop_assert!(share <= wanted);
                for (&(other_held, other_wanted), &other) in claims.iter().zip(&shares) {
                    let is_ahead = share > 0 && held + share > other_held + other + 1;
                    prop_assert!(!is_ahead || other == other_wanted, "{:?} {:?}", claims, shares);
                }
            }
        }
    }
}
