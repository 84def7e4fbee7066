use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::{
    BasisPoints,
    desktop::Stratum,
    outcome::Outcome,
    plan::{uncovered, worst_case},
    policy::{RolloutPolicy, Weight},
    stratum::StratumKey,
};

/// Plans with all attributes.
fn plan(candidates: &[Candidate], gray: Option<&Gray>, seed: u64) -> Result<Plan, Error> {
    super::plan(candidates, gray, &Canaries::default(), seed)
}

fn id(number: usize) -> DesktopId {
    format!("desktop-{number}").parse().unwrap()
}

fn candidate(number: usize, pool: &str) -> Candidate {
    let stratum = Stratum { os_type: "Linux".into(), pool_id: pool.into(), availability_zone: String::new() };
    Candidate { desktop_id: id(number), stratum, is_connected: true }
}

fn fleet(size: usize) -> Vec<Candidate> {
    (0..size).map(|number| candidate(number, "p")).collect()
}

fn gray(count: u32, ids: &[usize]) -> Gray {
    Gray { count, ids: ids.iter().map(|&number| id(number)).collect(), fail_threshold: 1 }
}

fn wave_of(plan: &Plan, wave: u16) -> Vec<DesktopId> {
    let wave = plan.waves.iter().find(|candidate| candidate.wave == wave).unwrap();
    let first = wave.first_ordinal as usize;
    plan.order[first..first + wave.size as usize].to_vec()
}

#[test]
fn without_gray_there_is_one_wave_in_the_order_given() {
    let plan = plan(&fleet(3), None, 7).unwrap();
    assert_eq!(plan.order, [id(0), id(1), id(2)]);
    assert_eq!(plan.waves, [PlannedWave { wave: 1, first_ordinal: 0, size: 3, fail_threshold: None }]);
    assert_eq!(execute_order(plan.gray, 1), 0);
}

#[test]
fn named_ids_come_first_and_the_sample_fills_up() {
    let plan = plan(&fleet(10), Some(&gray(4, &[8, 3])), 7).unwrap();
    let first = wave_of(&plan, 1);
    assert_eq!(first[..2], [id(8), id(3)]);
    assert_eq!(first.len(), 4);
    assert_eq!(plan.picks.len(), 4);
    assert_eq!(plan.picks[0].reason, "named in gray_resource_ids");
    assert!(plan.picks[2].reason.starts_with("sampled"), "{}", plan.picks[2].reason);
    assert_eq!((execute_order(plan.gray, 1), execute_order(plan.gray, 2)), (1, 2));
}

#[test]
fn more_ids_than_gray_count_take_the_first_of_them() {
    let plan = plan(&fleet(10), Some(&gray(2, &[8, 3, 5])), 7).unwrap();
    assert_eq!(wave_of(&plan, 1), [id(8), id(3)]);
}

#[test]
fn unknown_gray_id_is_refused_even_beyond_gray_count() {
    let error = plan(&fleet(10), Some(&gray(1, &[8, 99])), 7).unwrap_err();
    assert!(error.to_string().contains("desktop-99"), "{}", error);
}

#[test]
fn a_gray_wave_of_everything_leaves_no_second_wave() {
    assert_eq!(plan(&fleet(4), Some(&gray(4, &[])), 7).unwrap().waves.len(), 1);
    assert!(plan(&fleet(4), Some(&gray(5, &[])), 7).is_err());
}

#[test]
fn every_stratum_has_a_canary_while_the_number_allows() {
    let pools = ["a", "b", "b", "b", "b", "b", "b", "b", "c", "c"];
    let fleet: Vec<_> = pools.iter().enumerate().map(|(number, pool)| candidate(number, pool)).collect();
    let pools_of = |count| {
        let plan = plan(&fleet, Some(&gray(count, &[])), 7).unwrap();
        let mut seen: Vec<_> = wave_of(&plan, 1)
            .iter()
            .map(|id| {
                fleet.iter().find(|candidate| candidate.desktop_id == *id).unwrap().stratum.pool_id.clone()
            })
            .collect();
        seen.sort();
        seen.concat()
    };
    assert_eq!(pools_of(1), "b", "the largest stratum first");
    assert_eq!(pools_of(2), "bc");
    assert_eq!(pools_of(3), "abc");
    assert_eq!(pools_of(6), "abbbbc", "then by share");
}

#[test]
fn another_seed_draws_others_and_the_hash_tells() {
    let one = plan(&fleet(1000), Some(&gray(10, &[])), 1).unwrap();
    let two = plan(&fleet(1000), Some(&gray(10, &[])), 2).unwrap();
    assert_ne!(wave_of(&one, 1), wave_of(&two, 1));
    assert_ne!(one.hash, two.hash);
}

proptest! {
    #[test]
    fn each_target_is_in_exactly_one_wave(
        pools in prop::collection::vec(0usize..5, 1..200),
        share in 0.0f64..=1.0,
        named in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        seed in any::<u64>(),
    ) {
        let size = pools.len();
        let fleet: Vec<_> = pools.iter().enumerate().map(|(number, pool)| candidate(number, &pool.to_string())).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 200")]
        let count = ((size as f64 * share) as u32).max(1);
        let names: Vec<usize> = named.iter().map(|index| index.index(size)).collect();
        let rule = gray(count, &names);
        let made = plan(&fleet, Some(&rule), seed).unwrap();

        prop_assert_eq!(made.order.iter().collect::<HashSet<_>>().len(), size);
        let mut next = 0;
        for (wave, number) in made.waves.iter().zip(1u16..) {
            prop_assert_eq!((wave.wave, wave.first_ordinal), (number, next));
            prop_assert!(wave.size > 0);
            next += wave.size;
        }
        prop_assert_eq!(next as usize, size);
        prop_assert_eq!(made.waves[0].size, count);
        prop_assert_eq!(made.picks.len(), count as usize);

        // The rest keeps its order.
        let place = |id: &DesktopId| fleet.iter().position(|candidate| candidate.desktop_id == *id).unwrap();
        let rest: Vec<usize> = made.order[count as usize..].iter().map(place).collect();
        prop_assert!(rest.is_sorted());
        prop_assert_eq!(plan(&fleet, Some(&rule), seed).unwrap(), made, "equal input, equal plan");
    }
}

fn specs(sizes: &[u32]) -> Vec<WaveSpec> {
    use crate::rollout::WaveSize;
    let mut specs: Vec<WaveSpec> = sizes
        .iter()
        .map(|&count| WaveSpec { size: WaveSize::Count(count), fail_threshold: Some(Threshold::Count(1)) })
        .collect();
    specs.push(WaveSpec { size: WaveSize::Rest, fail_threshold: None });
    specs
}

#[test]
fn first_wave_is_a_sample_and_later_waves_keep_the_order() {
    let fleet: Vec<Candidate> =
        (0..40).map(|number| candidate(number, if number < 38 { "big" } else { "small" })).collect();
    let all = Canaries::default();
    let plan = plan_waves(&fleet, &specs(&[4, 10]), &all, 7).unwrap();
    let sizes: Vec<u32> = plan.waves.iter().map(|wave| wave.size).collect();
    assert_eq!((sizes, plan.gray), (vec![4, 10, 26], true));
    let canaries = wave_of(&plan, 1);
    assert!(
        canaries.iter().any(|id| *id == self::id(38) || *id == self::id(39)),
        "the small pool has a canary"
    );
    assert_eq!(plan.picks.len(), 4);
    let rest: Vec<DesktopId> = (0..40).map(id).filter(|id| !canaries.contains(id)).collect();
    assert_eq!(plan.order[4..], rest[..]);
    assert_eq!(
        plan_waves(&fleet, &specs(&[4, 10]), &all, 7).unwrap(),
        plan,
        "the same seed gives the same plan"
    );
    assert_ne!(plan_waves(&fleet, &specs(&[4, 10]), &all, 8).unwrap().order, plan.order);
    // Without the pool attribute, the small pool gets no canary.
    let blind_to_pools = Canaries { by: vec![StratumKey::Os], ..Canaries::default() };
    let blind = plan_waves(&fleet, &specs(&[4, 10]), &blind_to_pools, 7).unwrap();
    assert!(blind.picks[0].reason.contains("pool \"\""), "{}", blind.picks[0].reason);
}

#[test]
fn one_wave_is_no_gray_wave_whatever_it_is_called() {
    let plan = plan_waves(&fleet(3), &specs(&[]), &Canaries::default(), 7).unwrap();
    assert_eq!((plan.gray, plan.waves.len(), plan.picks.len()), (false, 1, 0));
    assert_eq!(plan.order, [id(0), id(1), id(2)]);
}

#[test]
fn strata_without_a_canary_are_listed() {
    let desktop = |number: u32, os: &str| Candidate {
        desktop_id: format!("d{number}").parse().unwrap(),
        stratum: Stratum { os_type: os.into(), pool_id: String::new(), availability_zone: String::new() },
        is_connected: true,
    };
    let fleet: Vec<Candidate> = (0..12)
        .map(|number| desktop(number, ["Linux", "Windows", "macOS"][number as usize % 4 % 3]))
        .collect();
    let one = plan(&fleet, Some(&gray(2, &[])), 7).unwrap();
    let left = uncovered(&one, &fleet, &StratumKey::ALL);
    assert_eq!(left.len(), 1, "two canaries cover two of three");
    assert_eq!((left[0].stratum.os_type.as_str(), left[0].desktops), ("macOS", 3));
    assert!(uncovered(&one, &fleet, &[]).is_empty(), "no attribute is selected");
    let all = plan(&fleet, Some(&gray(3, &[])), 7).unwrap();
    assert!(uncovered(&all, &fleet, &StratumKey::ALL).is_empty());
    let none = plan(&fleet, None, 7).unwrap();
    assert!(uncovered(&none, &fleet, &StratumKey::ALL).is_empty(), "there is no gray wave");
}

#[test]
fn the_worst_case_is_known_before_the_start() {
    let wave = |wave, size, count: Option<u32>| PlannedWave {
        wave,
        first_ordinal: 0,
        size,
        fail_threshold: count.map(Threshold::Count),
    };
    let waves = [wave(1, 10, Some(3)), wave(2, 90, None)];
    let exposure = |policy: RolloutPolicy, most| {
        worst_case(&waves, &policy, most).into_iter().map(|it| (it.started, it.failed)).collect::<Vec<_>>()
    };
    let plain = RolloutPolicy::default();
    assert_eq!(exposure(plain.clone(), None), [(10, 10), (100, 92)]);
    assert_eq!(
        exposure(plain.clone(), Some(2)),
        [(10, 10), (100, 92)],
        "any number of desktops may be offline"
    );
    let reached =
        RolloutPolicy { outcomes: [(Outcome::Undelivered, Weight::Ignore)].into(), ..plain.clone() };
    assert_eq!(
        exposure(reached.clone(), Some(2)),
        [(10, 4), (100, 92)],
        "the third, and one in flight with it"
    );
    let late = RolloutPolicy { quorum: BasisPoints::new(7_500), ..reached };
    assert_eq!(
        exposure(late, Some(2)),
        [(10, 4), (100, 94)],
        "two targets of the first wave may fail after it"
    );
    let strict = RolloutPolicy { strict: true, fail_threshold: Some(Threshold::Count(5)), ..plain.clone() };
    assert_eq!(exposure(strict.clone(), None), [(10, 3), (100, 5)]);
    let late = RolloutPolicy { quorum: BasisPoints::new(7_500), fail_threshold: None, ..strict };
    assert_eq!(exposure(late, None), [(10, 3), (100, 93)], "one more reaches the first wave's threshold");
    let task = RolloutPolicy { fail_threshold: Some(Threshold::Count(5)), ..plain };
    assert_eq!(exposure(task, Some(10)), [(10, 10), (100, 92)]);
}

#[test]
fn waves_of_given_sizes_lie_one_behind_the_other() {
    let waves = PlannedWave::consecutive(vec![(2, None), (3, Some(Threshold::Count(1))), (4, None)]);
    let ranges: Vec<_> = waves.iter().map(|wave| (wave.wave, wave.first_ordinal, wave.size)).collect();
    assert_eq!(ranges, [(1, 0, 2), (2, 2, 3), (3, 5, 4)]);
    assert_eq!(waves[1].fail_threshold, Some(Threshold::Count(1)));
}
