//! The cut: targets of an open wave become batches for the workers that hold their desktops, or stragglers.

use std::collections::BTreeMap;

use crate::{
    ids::{DesktopId, WorkerId},
    limits,
};

/// A target with what is known of its desktop's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its place in the plan.
    pub ordinal: u32,
    /// Its desktop.
    pub desktop_id: DesktopId,
    /// The worker that holds the desktop's connection; `None` when nobody does.
    pub worker_id: Option<WorkerId>,
}

/// A target without its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its place in the plan.
    pub ordinal: u32,
    /// Its desktop.
    pub desktop_id: DesktopId,
}

/// What a cut makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// In the order of workers; each batch holds up to 500 targets in the order of the plan.
    pub batches: Vec<(WorkerId, Vec<Member>)>,
    /// Targets whose desktop is not reachable.
    pub stragglers: Vec<Member>,
}

/// Splits targets by worker into batches of at most [`limits::MAX_TARGETS_PER_BATCH`].
pub fn cut(targets: impl IntoIterator<Item = Placed>) -> Cut {
    let mut by_worker: BTreeMap<WorkerId, Vec<Member>> = BTreeMap::new();
    let mut stragglers = Vec::new();
    for Placed { ordinal, desktop_id, worker_id } in targets {
        let member = Member { ordinal, desktop_id };
        match worker_id {
            Some(worker_id) => by_worker.entry(worker_id).or_default().push(member),
            None => stragglers.push(member),
        }
    }
    let mut batches = Vec::new();
    for (worker_id, members) in by_worker {
        for chunk in members.chunks(limits::MAX_TARGETS_PER_BATCH) {
            batches.push((worker_id.clone(), chunk.to_vec()));
        }
    }
    Cut { batches, stragglers }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_target_lands_once_with_the_worker_that_holds_it(
            holders in prop::collection::vec(prop::option::of(0usize..4), 0..2_000)
        ) {
            let placed: Vec<Placed> = holders
                .iter()
                .zip(0u32..)
                .map(|(holder, ordinal)| Placed {
                    ordinal,
                    desktop_id: format!("d{ordinal}").parse().unwrap(),
                    worker_id: holder.map(|worker| format!("w{worker}").parse().unwrap()),
                })
                .collect();
            let cut = cut(placed.clone());
            let mut seen: Vec<Placed> = Vec::new();
            for (worker_id, members) in &cut.batches {
                prop_assert!((1..=limits::MAX_TARGETS_PER_BATCH).contains(&members.len()));
                prop_assert!(members.is_sorted_by_key(|member| member.ordinal));
                seen.extend(members.iter().cloned().map(|Member { ordinal, desktop_id }| Placed {
                    ordinal, desktop_id, worker_id: Some(worker_id.clone()),
                }));
            }
            seen.extend(cut.stragglers.into_iter().map(|Member { ordinal, desktop_id }| Placed {
                ordinal, desktop_id, worker_id: None,
            }));
            seen.sort_by_key(|placed| placed.ordinal);
            prop_assert_eq!(seen, placed);
        }
    }
}
