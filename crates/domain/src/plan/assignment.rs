//! The plan assigns desktops to waves, in order. It is decided once, stored, hashed and never
//! changed.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::canary::{CANARY_DESKTOPS, Canaries, Candidate, Named, choose};
use crate::{
    Error,
    ids::DesktopId,
    rollout::{self, WaveSpec},
    threshold::Threshold,
};

/// The gray wave of a request, validated by [`crate::submission`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gray {
    /// Number of targets in the gray wave; takes precedence over the number of ids.
    pub count: u32,
    /// Named members, which come first in the wave.
    pub ids: Vec<DesktopId>,
    /// Number of failures at which no later wave may start.
    pub fail_threshold: u32,
}

/// A wave of the plan: a run of ordinals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedWave {
    /// Number of the wave, from 1.
    pub wave: u16,
    /// Ordinal of its first target.
    pub first_ordinal: u32,
    /// Number of its targets, at least 1.
    pub size: u32,
    /// Failures at which the wave halts the rollout; `None` without a threshold.
    pub fail_threshold: Option<Threshold>,
}

/// Selection of a desktop for the gray wave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Human-readable reason of the selection.
    pub reason: String,
}

/// The complete plan of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Desktops by ordinal.
    pub order: Vec<DesktopId>,
    /// Waves by number. Together they cover every ordinal once.
    pub waves: Vec<PlannedWave>,
    /// One entry for each target of the gray wave.
    pub picks: Vec<Pick>,
    /// Whether wave 1 is a gray wave.
    pub gray: bool,
    /// Seed of the sample.
    pub seed: u64,
    /// SHA-256 over waves and order.
    pub hash: [u8; 32],
}

impl Plan {
    /// Returns the desktops of the gray wave, each with the reason for its selection.
    pub fn canaries(&self) -> impl Iterator<Item = (&DesktopId, &str)> {
        self.picks
            .iter()
            .filter_map(|pick| Some((self.order.get(pick.ordinal as usize)?, pick.reason.as_str())))
    }
}

/// Returns the position of a wave in the API: 0 without a gray wave, 1 for the gray wave, 2 for
/// later waves.
pub const fn execute_order(gray: bool, wave: u16) -> u8 {
    match (gray, wave) {
        (false, _) => 0,
        (true, 1) => 1,
        (true, _) => 2,
    }
}

/// Error for a gray wave that is larger than the fleet.
pub(crate) fn gray_too_large(gray_count: u32, desktops: usize) -> Error {
    let message = format!("{gray_count} is larger than the number of desktops, {desktops}");
    Error::out_of_range("gray_count", message)
}

fn too_many_desktops() -> Error {
    Error::out_of_range("desktop_ids", "too many desktops")
}

/// Plans the waves of the published fields. `candidates` are distinct. Without a gray wave they
/// keep their order in one wave. Otherwise the named ids come first, a stratified sample fills the
/// gray wave, and the rest keeps its order.
///
/// Equal input gives an equal plan. Fails if a named id is not a candidate, or if the gray wave is
/// larger than the fleet.
pub fn plan(
    candidates: &[Candidate],
    gray: Option<&Gray>,
    canaries: &Canaries,
    seed: u64,
) -> Result<Plan, Error> {
    let total = u32::try_from(candidates.len()).map_err(|_| too_many_desktops())?;
    let Some(gray) = gray else {
        let order = candidates.iter().map(|candidate| candidate.desktop_id.clone()).collect();
        let wave = PlannedWave { wave: 1, first_ordinal: 0, size: total, fail_threshold: None };
        return Ok(seal(order, vec![wave], Vec::new(), false, seed));
    };
    if gray.count > total {
        return Err(gray_too_large(gray.count, total as usize));
    }
    let named = Named { ids: &gray.ids, field: "gray_desktop_ids", reason: "named in gray_resource_ids" };
    let chosen = choose(candidates, &named, gray.count as usize, canaries, seed)?;
    let (order, picks) = in_order(candidates, &chosen);
    let mut waves = vec![PlannedWave {
        wave: 1,
        first_ordinal: 0,
        size: gray.count,
        fail_threshold: Some(Threshold::Count(gray.fail_threshold)),
    }];
    if gray.count < total {
        let size = total - gray.count;
        waves.push(PlannedWave { wave: 2, first_ordinal: gray.count, size, fail_threshold: None });
    }
    Ok(seal(order, waves, picks, true, seed))
}

/// Plans explicit waves. The first of several waves is a sample; the later ones keep the order of
/// the candidates, which are distinct.
pub fn plan_waves(
    candidates: &[Candidate],
    waves: &[WaveSpec],
    canaries: &Canaries,
    seed: u64,
) -> Result<Plan, Error> {
    let total = u32::try_from(candidates.len()).map_err(|_| too_many_desktops())?;
    let sizes = rollout::sizes(waves, total).map_err(|error| error.within("rollout"))?;
    let gray = sizes.len() > 1;
    let count = if gray { sizes[0].0 as usize } else { 0 };
    let named =
        Named { ids: &canaries.ids, field: CANARY_DESKTOPS, reason: "named in rollout.canary.desktop_ids" };
    if gray && named.ids.len() > count {
        let message = format!("{} desktops are named, and the first wave has {count}", named.ids.len());
        return Err(Error::out_of_range(CANARY_DESKTOPS, message));
    }
    let chosen = choose(candidates, &named, count, canaries, seed)?;
    let (order, picks) = in_order(candidates, &chosen);
    Ok(seal(order, PlannedWave::consecutive(sizes), picks, gray, seed))
}

/// Plans the waves of a retry: in the given order, without a sample. `gray` is the value of the
/// original task.
pub fn plan_again(order: Vec<DesktopId>, sizes: Vec<(u32, Option<Threshold>)>, gray: bool) -> Plan {
    let canaries = if gray { sizes.first().map_or(0, |(size, _)| *size) } else { 0 };
    let reason = "first in the plan of the task that is retried";
    let picks = (0..canaries).map(|ordinal| Pick { ordinal, reason: reason.to_owned() }).collect();
    seal(order, PlannedWave::consecutive(sizes), picks, gray, 0)
}

impl PlannedWave {
    /// Creates consecutive waves of these sizes.
    pub fn consecutive(sizes: Vec<(u32, Option<Threshold>)>) -> Vec<Self> {
        let mut first_ordinal = 0;
        (1..)
            .zip(sizes)
            .map(|(wave, (size, fail_threshold))| {
                let planned = Self { wave, first_ordinal, size, fail_threshold };
                first_ordinal += size;
                planned
            })
            .collect()
    }
}

/// Orders the chosen candidates first and the rest after them. Returns the reason for each chosen
/// one.
fn in_order(candidates: &[Candidate], chosen: &[(usize, String)]) -> (Vec<DesktopId>, Vec<Pick>) {
    let picks =
        (0..).zip(chosen).map(|(ordinal, (_, reason))| Pick { ordinal, reason: reason.clone() }).collect();
    let mut is_chosen = vec![false; candidates.len()];
    for (position, _) in chosen {
        is_chosen[*position] = true;
    }
    let mut order: Vec<DesktopId> =
        chosen.iter().map(|(position, _)| candidates[*position].desktop_id.clone()).collect();
    let rest = candidates.iter().zip(is_chosen).filter(|(_, chosen)| !chosen);
    order.extend(rest.map(|(candidate, _)| candidate.desktop_id.clone()));
    (order, picks)
}

fn seal(order: Vec<DesktopId>, waves: Vec<PlannedWave>, picks: Vec<Pick>, gray: bool, seed: u64) -> Plan {
    let mut hasher = Sha256::new();
    for wave in &waves {
        hasher.update(wave.wave.to_be_bytes());
        hasher.update(wave.first_ordinal.to_be_bytes());
        hasher.update(wave.size.to_be_bytes());
        // 0 is not a valid threshold, so it can encode a missing one.
        let (kind, number, min_results) = match wave.fail_threshold {
            None => (0, 0, 0),
            Some(Threshold::Count(count)) => (1, count, 0),
            Some(Threshold::Percent { share, min_results }) => (2, share.get(), min_results),
        };
        for part in [kind, number, min_results] {
            hasher.update(u32::to_be_bytes(part));
        }
    }
    for desktop_id in &order {
        hasher.update(desktop_id.as_str());
        hasher.update([0]);
    }
    Plan { order, waves, picks, gray, seed, hash: hasher.finalize().into() }
}

#[cfg(test)]
#[path = "assignment_tests.rs"]
mod tests;
