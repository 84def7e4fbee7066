//! Risk of a plan before it starts: strata without a canary, and the worst case of a halt.

use std::collections::{BTreeMap, HashSet};

use super::{
    assignment::{Plan, PlannedWave},
    canary::{Candidate, StratumRef},
};
use crate::{
    desktop::Stratum, ids::DesktopId, policy::RolloutPolicy, stratum::StratumKey, threshold::Threshold,
};

/// A stratum without a canary, with its number of desktops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncovered {
    /// Shared attributes of the desktops.
    pub stratum: Stratum,
    /// Number of desktops.
    pub desktops: u32,
}

/// Returns the strata without a member in the first wave, the largest first. Empty without a gray
/// wave.
pub fn uncovered(plan: &Plan, candidates: &[Candidate], by: &[StratumKey]) -> Vec<Uncovered> {
    let Some(first) = plan.waves.first().filter(|_| plan.gray) else { return Vec::new() };
    let canaries: HashSet<&DesktopId> = plan.order.iter().take(first.size as usize).collect();
    let mut strata: BTreeMap<StratumRef<'_>, (u32, bool)> = BTreeMap::new();
    for candidate in candidates {
        let (desktops, is_covered) = strata.entry(StratumRef::new(&candidate.stratum, by)).or_default();
        *desktops += 1;
        *is_covered |= canaries.contains(&candidate.desktop_id);
    }
    let mut found: Vec<Uncovered> = strata
        .into_iter()
        .filter(|(_, (_, is_covered))| !is_covered)
        .map(|(stratum, (desktops, _))| Uncovered { stratum: stratum.to_owned(), desktops })
        .collect();
    found.sort_by_key(|uncovered| std::cmp::Reverse(uncovered.desktops));
    found
}

/// Maximum damage of a rollout that halts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// Maximum number of started targets when the rollout halts in this wave, including earlier
    /// waves.
    pub started: u32,
    /// Maximum number of failures by then, if all earlier waves stay just below their thresholds.
    pub failed: u32,
}

/// Returns the worst case of each wave, before the start. Outcomes that the policy ignores do not
/// count as failures.
///
/// In strict mode no more targets can fail than the thresholds allow. Otherwise all targets in
/// flight may fail together with the failure that reaches a threshold. Targets that wait for their
/// desktops may fail as well, and `max_concurrency` does not bound them. In a wave that closes on a
/// quorum, the missing targets may fail later.
pub fn worst_case(
    waves: &[PlannedWave],
    policy: &RolloutPolicy,
    max_concurrency: Option<u32>,
) -> Vec<Exposure> {
    let (mut started, mut closed, mut late) = (0, 0, 0);
    let task = policy.fail_threshold.and_then(Threshold::count);
    waves
        .iter()
        .map(|wave| {
            started += wave.size;
            let limit = |threshold: Option<u32>, before: u32| {
                threshold.map_or(u32::MAX, |count| count.saturating_sub(before))
            };
            let own = wave.fail_threshold.and_then(Threshold::count);
            let reached = limit(own, 0).min(limit(task, closed));
            let most = if policy.strict {
                reached
            } else {
                reached.saturating_add(max_in_flight_with(policy, max_concurrency))
            };
            let failed = closed + late + most.min(wave.size);
            let failed = if policy.strict { failed.min(limit(task, 0)) } else { failed };
            let below = limit(own, 1).min(limit(task, closed + 1)).min(wave.size);
            closed += below;
            late += missing_at_quorum(wave.size, policy).min(if policy.strict {
                limit(own, below)
            } else {
                u32::MAX
            });
            Exposure { started, failed: failed.min(started) }
        })
        .collect()
}

/// Returns the maximum number of failures that can accompany the one that reaches a threshold,
/// without strict mode.
fn max_in_flight_with(policy: &RolloutPolicy, max_concurrency: Option<u32>) -> u32 {
    if policy.counts_away() {
        return u32::MAX;
    }
    max_concurrency.map_or(u32::MAX, |most| most.saturating_sub(1))
}

/// Returns the maximum number of missing targets when a wave closes on a quorum.
fn missing_at_quorum(size: u32, policy: &RolloutPolicy) -> u32 {
    policy.quorum.map_or(0, |quorum| size - quorum.share_of(size))
}
