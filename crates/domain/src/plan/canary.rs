//! Selection of the canaries: named desktops first, then a stratified sample.

use std::collections::{BTreeMap, HashMap};

use rand::{SeedableRng as _, seq::index};
use rand_chacha::ChaCha8Rng;

use crate::{Error, desktop::Stratum, ids::DesktopId, stratum::StratumKey};

/// A desktop that takes part in a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Id of the desktop.
    pub desktop_id: DesktopId,
    /// Attributes over which the sample is stratified.
    pub stratum: Stratum,
    /// Whether the desktop is connected while the plan is made.
    pub is_connected: bool,
}

/// Selection of the canaries, the first of several waves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canaries {
    /// Attributes over which the sample is stratified.
    pub by: Vec<StratumKey>,
    /// Whether the sample takes connected desktops of a stratum before others.
    pub prefer_connected: bool,
    /// Desktops of the first wave, in order; a sample fills the rest of the wave.
    pub ids: Vec<DesktopId>,
}

impl Default for Canaries {
    fn default() -> Self {
        Self { by: StratumKey::ALL.to_vec(), prefer_connected: true, ids: Vec::new() }
    }
}

/// Desktops that a request names for the first wave.
pub(super) struct Named<'a> {
    pub(super) ids: &'a [DesktopId],
    /// Field of the request.
    pub(super) field: &'static str,
    /// Reason of the selection.
    pub(super) reason: &'static str,
}

/// Field of the desktops that are named for the first of several waves.
pub(super) const CANARY_DESKTOPS: &str = "rollout.canary.desktop_ids";

/// Returns the positions of the first wave's `count` members among the candidates, in order, each
/// with its reason.
pub(super) fn choose(
    candidates: &[Candidate],
    named: &Named<'_>,
    count: usize,
    canaries: &Canaries,
    seed: u64,
) -> Result<Vec<(usize, String)>, Error> {
    let mut chosen = Vec::with_capacity(count);
    let mut taken = vec![false; candidates.len()];
    if !named.ids.is_empty() {
        let positions: HashMap<&DesktopId, usize> = candidates
            .iter()
            .enumerate()
            .map(|(position, candidate)| (&candidate.desktop_id, position))
            .collect();
        for id in named.ids {
            let position = *positions.get(id).ok_or_else(|| {
                Error::invalid(named.field, format!("{id} is not among the task's desktops"))
            })?;
            if chosen.len() < count && !taken[position] {
                taken[position] = true;
                chosen.push((position, named.reason.to_owned()));
            }
        }
    }
    let missing = count - chosen.len();
    chosen.extend(sample(candidates, &taken, missing, canaries, seed));
    Ok(chosen)
}

/// Samples `missing` candidates that are not taken. Every stratum gets one while the number allows
/// it, the largest first. The rest is distributed by share. Within a stratum, connected desktops
/// are taken first if they are preferred.
fn sample(
    candidates: &[Candidate],
    taken: &[bool],
    missing: usize,
    canaries: &Canaries,
    seed: u64,
) -> Vec<(usize, String)> {
    if missing == 0 {
        return Vec::new();
    }
    let mut strata: BTreeMap<StratumRef<'_>, Members> = BTreeMap::new();
    for (position, candidate) in candidates.iter().enumerate().filter(|(position, _)| !taken[*position]) {
        let is_preferred = candidate.is_connected || !canaries.prefer_connected;
        strata
            .entry(StratumRef::new(&candidate.stratum, &canaries.by))
            .or_default()
            .add(position, is_preferred);
    }
    let sizes: Vec<usize> = strata.values().map(Members::len).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut picked = Vec::with_capacity(missing);
    for ((stratum, members), quota) in strata.iter().zip(quotas(&sizes, missing)) {
        let reason = format!(
            "sampled: one of {quota} for os {:?}, pool {:?}, zone {:?} ({} desktops)",
            stratum.os_type,
            stratum.pool_id,
            stratum.availability_zone,
            members.len()
        );
        picked.extend(members.draw(quota, &mut rng).into_iter().map(|position| (position, reason.clone())));
    }
    picked
}

/// Positions of the candidates of a stratum.
#[derive(Default)]
struct Members {
    preferred: Vec<usize>,
    others: Vec<usize>,
}

impl Members {
    fn add(&mut self, position: usize, is_preferred: bool) {
        if is_preferred { self.preferred.push(position) } else { self.others.push(position) }
    }

    const fn len(&self) -> usize {
        self.preferred.len() + self.others.len()
    }

    /// Draws members without repetition, the preferred ones first.
    fn draw(&self, number: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut drawn = Vec::with_capacity(number);
        for members in [&self.preferred, &self.others] {
            let wanted = (number - drawn.len()).min(members.len());
            let mut places = index::sample(rng, members.len(), wanted).into_vec();
            places.sort_unstable();
            drawn.extend(places.into_iter().map(|place| members[place]));
        }
        drawn
    }
}

/// Returns the sample size of each stratum. The sum is `wanted`, and no stratum exceeds its size.
fn quotas(sizes: &[usize], wanted: usize) -> Vec<usize> {
    let mut by_size: Vec<usize> = (0..sizes.len()).collect();
    by_size.sort_by_key(|&stratum| (std::cmp::Reverse(sizes[stratum]), stratum));
    let mut quotas = vec![0; sizes.len()];
    for &stratum in by_size.iter().take(wanted) {
        quotas[stratum] = 1;
    }
    let left = wanted.saturating_sub(sizes.len());
    if left == 0 {
        return quotas;
    }
    // Distributes by share of the remainder, rounded down, then one more for the largest fractions.
    let remaining: Vec<usize> = sizes.iter().map(|size| size - 1).collect();
    let pool: usize = remaining.iter().sum();
    let mut remainders = Vec::with_capacity(sizes.len());
    let mut given = 0;
    for (stratum, &size) in remaining.iter().enumerate() {
        quotas[stratum] += left * size / pool;
        given += left * size / pool;
        remainders.push((std::cmp::Reverse(left * size % pool), stratum));
    }
    remainders.sort_unstable();
    for (_, stratum) in remainders.into_iter().take(left - given) {
        quotas[stratum] += 1;
    }
    quotas
}

/// The attributes of a stratum that count, borrowed; the others are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StratumRef<'a> {
    os_type: &'a str,
    pool_id: &'a str,
    availability_zone: &'a str,
}

impl<'a> StratumRef<'a> {
    pub(super) fn new(stratum: &'a Stratum, by: &[StratumKey]) -> Self {
        let kept = |key, text: &'a str| if by.contains(&key) { text } else { "" };
        Self {
            os_type: kept(StratumKey::Os, &stratum.os_type),
            pool_id: kept(StratumKey::Pool, &stratum.pool_id),
            availability_zone: kept(StratumKey::Zone, &stratum.availability_zone),
        }
    }

    pub(super) fn to_owned(self) -> Stratum {
        let Self { os_type, pool_id, availability_zone } = self;
        let [os_type, pool_id, availability_zone] = [os_type, pool_id, availability_zone].map(str::to_owned);
        Stratum { os_type, pool_id, availability_zone }
    }
}

#[cfg(test)]
#[path = "canary_tests.rs"]
mod tests;
