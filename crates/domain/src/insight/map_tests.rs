use proptest::prelude::*;

use super::*;

fn ended(outcome: Outcome) -> MapCode {
    MapCode::Ended(outcome)
}

#[test]
fn codes_have_their_published_numbers() {
    let published = [
        (0, "PENDING"),
        (1, "DEFERRED"),
        (2, "IN_FLIGHT"),
        (16, "SUCCESS"),
        (17, "FAILED"),
        (18, "TIMEOUT"),
        (19, "UNDELIVERED"),
        (20, "REJECTED"),
        (21, "UNKNOWN"),
        (22, "STOPPED"),
        (23, "SKIPPED"),
        (24, "NOT_RETURNED"),
    ];
    assert_eq!(MapCode::ALL.map(|code| (code.byte(), code.as_str())), published);
    for code in MapCode::ALL {
        assert_eq!(MapCode::of_byte(code.byte()), Some(code));
    }
    assert_eq!(MapCode::of_byte(3), None);
}

#[test]
fn adjacent_targets_with_one_code_form_a_run() {
    let change = MapChange::of_targets([
        (2, MapCode::InFlight),
        (0, MapCode::InFlight),
        (1, MapCode::InFlight),
        (3, MapCode::Deferred),
        (9, MapCode::Deferred),
    ]);
    let run = |first, last, code| MapRun { first, last, code };
    assert_eq!(
        change.runs(),
        [run(0, 2, MapCode::InFlight), run(3, 3, MapCode::Deferred), run(9, 9, MapCode::Deferred)]
    );
    assert_eq!(change.by_code()[&MapCode::Deferred], [(3, 3), (9, 9)]);
}

#[test]
fn later_changes_overrule_earlier_ones() {
    let admitted = MapChange::of_targets((0..10).map(|ordinal| (ordinal, MapCode::InFlight)));
    let failed = MapChange::of_targets([(4, ended(Outcome::Failed))]);
    let merged = MapChange::merged([&admitted, &failed]);
    let mut map = vec![0; 10];
    merged.apply(&mut map);
    assert_eq!(map, [2, 2, 2, 2, 17, 2, 2, 2, 2, 2]);
    assert!(MapChange::merged([&admitted, &MapChange::reset(), &failed]).is_reset());
    assert!(MapChange::merged([]).is_empty());
}

#[test]
fn more_runs_than_a_message_carries_are_a_reset() {
    let most = u32::try_from(limits::MAX_MAP_RUNS).unwrap();
    let scattered = |count: u32| MapChange::of_targets((0..count).map(|n| (2 * n, ended(Outcome::Success))));
    assert_eq!(MapChange::merged([&scattered(most)]).runs().len(), limits::MAX_MAP_RUNS);
    assert!(MapChange::merged([&scattered(most + 1)]).is_reset());
}

#[test]
fn first_script_without_success_decides_over_a_target() {
    let parts = MapParts {
        in_batches: vec![0, 1, 2, 3],
        deferred: vec![4],
        records: vec![
            (1, Outcome::Skipped, vec![1]),
            (0, Outcome::Timeout, vec![1]),
            (0, Outcome::Success, vec![0, 2]),
            (1, Outcome::Success, vec![0]),
            (1, Outcome::Failed, vec![2]),
        ],
    };
    assert_eq!(parts.clone().bytes(7, TaskStatus::Running), [16, 18, 17, 2, 1, 0, 0]);
    assert_eq!(parts.bytes(7, TaskStatus::Halting), [16, 18, 17, 2, 1, 23, 23]);
}

#[test]
fn ordinals_beyond_the_map_are_ignored() {
    let mut map = vec![0; 3];
    MapChange::of_runs(vec![MapRun { first: 2, last: u32::MAX, code: MapCode::InFlight }]).apply(&mut map);
    MapChange::of_runs(vec![MapRun { first: 7, last: 9, code: MapCode::InFlight }]).apply(&mut map);
    assert_eq!(map, [0, 0, 2]);
}

proptest! {
    #[test]
    fn merged_changes_equal_the_changes_one_by_one(
        changes in prop::collection::vec(prop::collection::vec((0_u32..40, 0_usize..11), 0..20), 0..8)
    ) {
        let changes: Vec<MapChange> = changes
            .into_iter()
            .map(|targets| MapChange::of_targets(targets.into_iter().map(|(at, code)| (at, MapCode::ALL[code]))))
            .collect();
        let (mut whole, mut parts) = (vec![0; 40], vec![0; 40]);
        MapChange::merged(&changes).apply(&mut whole);
        changes.iter().for_each(|change| change.apply(&mut parts));
        prop_assert_eq!(whole, parts);
    }
}
