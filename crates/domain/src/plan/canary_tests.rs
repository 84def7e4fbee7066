use proptest::prelude::*;

use super::*;
use crate::{
    plan::{Gray, Plan, plan, plan_waves},
    rollout::{WaveSize, WaveSpec},
};

proptest! {
    #[test]
    fn quotas_add_up_and_fit(sizes in prop::collection::vec(1usize..50, 1..20), share in 0.0f64..=1.0) {
        let total: usize = sizes.iter().sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1000")]
        let wanted = (total as f64 * share) as usize;
        let quotas = quotas(&sizes, wanted);
        prop_assert_eq!(quotas.iter().sum::<usize>(), wanted);
        for (quota, size) in quotas.iter().zip(&sizes) {
            prop_assert!(quota <= size);
        }
        if wanted >= sizes.len() {
            prop_assert!(quotas.iter().all(|&quota| quota > 0));
        }
    }
}

#[test]
fn what_is_left_over_goes_to_the_largest_remainders() {
    // One each; then 3 over 4, 5 and 7: 0.75, 0.94 and 1.31.
    assert_eq!(quotas(&[5, 6, 8], 6), [2, 2, 2]);
    assert_eq!(quotas(&[5, 6, 8], 2), [0, 1, 1], "the largest first while there are too few");
    assert_eq!(quotas(&[5, 6, 8], 19), [5, 6, 8]);
    assert_eq!(quotas(&[1, 97], 10), [1, 9]);
}

fn id(number: usize) -> DesktopId {
    format!("desktop-{number}").parse().unwrap()
}

fn specs(sizes: &[u32]) -> Vec<WaveSpec> {
    let sizes = sizes.iter().map(|&count| WaveSize::Count(count)).chain([WaveSize::Rest]);
    sizes.map(|size| WaveSpec { size, fail_threshold: None }).collect()
}

fn canaries(plan: &Plan) -> Vec<DesktopId> {
    plan.order[..plan.waves[0].size as usize].to_vec()
}

/// Twenty desktops in two pools; only those with an even number are connected.
fn half_connected() -> Vec<Candidate> {
    let candidate = |number: usize| {
        let pool_id = if number < 14 { "a" } else { "b" }.to_owned();
        let stratum = Stratum { os_type: "Linux".into(), pool_id, availability_zone: String::new() };
        Candidate { desktop_id: id(number), stratum, is_connected: number.is_multiple_of(2) }
    };
    (0..20).map(candidate).collect()
}

#[test]
fn the_sample_takes_connected_desktops_first() {
    let fleet = half_connected();
    let offline = |plan: &Plan| {
        let first = canaries(plan);
        let is_offline =
            |candidate: &&Candidate| !candidate.is_connected && first.contains(&candidate.desktop_id);
        fleet.iter().filter(is_offline).count()
    };
    let any = Canaries { prefer_connected: false, ..Canaries::default() };
    let gray = Gray { count: 12, ids: Vec::new(), fail_threshold: 1 };
    for seed in 0..20 {
        let preferring = plan_waves(&fleet, &specs(&[10]), &Canaries::default(), seed).unwrap();
        assert_eq!(offline(&preferring), 0, "7 of pool a, 3 of pool b");
        let more = plan(&fleet, Some(&gray), &Canaries::default(), seed).unwrap();
        assert_eq!(offline(&more), 2, "every stratum keeps its share");
    }
    let plans = (0..20).map(|seed| plan_waves(&fleet, &specs(&[10]), &any, seed).unwrap());
    assert!(plans.map(|plan| offline(&plan)).any(|offline| offline > 2), "without preference");
}

#[test]
fn named_canaries_of_a_preview_keep_the_plan() {
    let fleet = half_connected();
    let seen = plan_waves(&fleet, &specs(&[4, 10]), &Canaries::default(), 7).unwrap();
    let pinned = Canaries { ids: canaries(&seen), ..Canaries::default() };
    let flipped: Vec<Candidate> = fleet
        .iter()
        .map(|candidate| Candidate { is_connected: !candidate.is_connected, ..candidate.clone() })
        .collect();
    let unpinned = plan_waves(&flipped, &specs(&[4, 10]), &Canaries::default(), 7).unwrap();
    assert_ne!(unpinned.hash, seen.hash, "other desktops are connected by now");
    let kept = plan_waves(&flipped, &specs(&[4, 10]), &pinned, 7).unwrap();
    assert_eq!((kept.hash, kept.order), (seen.hash, seen.order));
    let field = |ids: &[usize]| {
        let ids = ids.iter().map(|&number| id(number)).collect();
        let canaries = Canaries { ids, ..Canaries::default() };
        plan_waves(&half_connected(), &specs(&[2]), &canaries, 7).unwrap_err().field.unwrap().to_string()
    };
    assert_eq!(field(&[1, 2, 3]), "rollout.canary.desktop_ids", "more than the wave has");
    assert_eq!(field(&[1, 99]), "rollout.canary.desktop_ids", "not among the desktops");
}
