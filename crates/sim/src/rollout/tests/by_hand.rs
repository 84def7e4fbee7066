//! Stories whose scenario is built by hand, because what must come of them is known.

use chrono::TimeDelta;
use domain::{
    outcome::Outcome,
    policy::{OnHalt, RolloutPolicy, Weight},
    rollout::{WaveSize, WaveSpec},
    task::TaskStatus,
    threshold::Threshold,
    window::Window,
};
use engine::Rule;

use super::*;

fn calm() -> Scenario {
    Scenario::default()
}

#[test]
fn where_nothing_breaks_everything_succeeds() {
    let ended = run_scenario(&calm(), None).unwrap();
    assert_eq!(ended.status, TaskStatus::Success);
    assert_eq!(ended.coverage.of(Feature::Success), 20);
}

#[test]
fn a_bad_script_stops_at_the_gray_wave() {
    for on_halt in OnHalt::ALL {
        let scenario = Scenario {
            waves: Waves::Gray { count: 4, fail_threshold: 1 },
            policy: RolloutPolicy { on_halt, ..RolloutPolicy::default() },
            fleet: Fleet { failing: 100, exit_codes: vec![1], ..calm().fleet },
            ..calm()
        };
        let ended = run_scenario(&scenario, None).unwrap();
        assert_eq!(ended.status, TaskStatus::Halted);
        let ran = ended.coverage.of(Feature::Failed) + ended.coverage.of(Feature::StoppedTarget);
        assert_eq!(ran, 4, "the rest never starts");
    }
}

#[test]
fn whoever_never_comes_is_undelivered_unless_a_quorum_goes_on_without() {
    let thirds = |size| WaveSpec { size, fail_threshold: Some(Threshold::Count(30)) };
    let waves = Waves::Asked(vec![thirds(WaveSize::Count(20)), thirds(WaveSize::Rest)]);
    let away = Fleet { away: 40, never: 100, ..calm().fleet };
    for quorum in [None, Some(3_000)] {
        let policy = RolloutPolicy { quorum, ..RolloutPolicy::default() };
        let scenario = Scenario { desktops: 40, waves: waves.clone(), policy, fleet: away.clone(), ..calm() };
        let ended = run_scenario(&scenario, None).unwrap();
        assert_eq!(ended.status, TaskStatus::Failed);
        let (undelivered, success) =
            (ended.coverage.of(Feature::Undelivered), ended.coverage.of(Feature::Success));
        assert!(undelivered > 0 && undelivered + success == 40);
        assert_eq!(ended.coverage.of(Feature::QuorumClose), u64::from(quorum.is_some()));
    }
}

#[test]
fn what_is_ignored_halts_nothing() {
    let policy = RolloutPolicy {
        exit_codes: [(75, Weight::Ignore)].into(),
        outcomes: [(Outcome::Timeout, Weight::Ignore)].into(),
        ..RolloutPolicy::default()
    };
    let fleet = Fleet { failing: 50, exit_codes: vec![75], hanging: 20, ..calm().fleet };
    let waves = Waves::Gray { count: 6, fail_threshold: 1 };
    let ended = run_scenario(&Scenario { waves, policy, fleet, ..calm() }, None).unwrap();
    assert_eq!(ended.status, TaskStatus::Failed);
    assert_eq!(ended.coverage.of(Feature::Halt), 0);
}

/// What `seeds.txt` says of seed 596, as small as it gets: of two targets one is ready when the task is paused, and the
/// window closes before the pause ends.
#[test]
fn a_pause_does_not_carry_a_target_over_the_end_of_its_window() {
    let window = Window::new("09:00", "10:02", "UTC").ok();
    let scenario = Scenario {
        desktops: 2,
        policy: RolloutPolicy { window, ..RolloutPolicy::default() },
        people: People {
            pauses: vec![(TimeDelta::seconds(2), TimeDelta::seconds(150))],
            ..People::default()
        },
        fleet: Fleet { runs: TimeDelta::seconds(60), ..calm().fleet },
        plant: Plant { workers: 1, capacity: 1, schedulers: 1, ..Plant::default() },
        ..calm()
    };
    let ended = run_scenario(&scenario, None).unwrap();
    assert!(
        ended.lasted > TimeDelta::hours(22),
        "the second one waits for the next morning: {}",
        ended.lasted
    );
    let broken = run_scenario(&scenario, Some(Sabotage::Rule(Rule::ReleaseIgnoresWindow))).unwrap_err();
    assert!(broken.promise.starts_with("nothing starts outside its window"), "{broken}");
}

/// What `seeds.txt` says of seed 2619: in the report whose results halt the task, others come back that nobody was told of.
#[test]
fn what_comes_back_with_the_failure_that_halts_is_withdrawn() {
    let scenario = Scenario {
        seed: 34,
        desktops: 60,
        policy: RolloutPolicy { fail_threshold: Some(Threshold::Count(7)), ..RolloutPolicy::default() },
        fleet: Fleet { failing: 25, exit_codes: vec![1], ..calm().fleet },
        plant: Plant { workers: 1, schedulers: 1, capacity: 6, delay_ms: 2_000, ..Plant::default() },
        faults: Faults {
            until: TimeDelta::hours(1),
            every_ms: 300,
            kinds: Kinds { flaps: 1, ..Kinds::default() },
            ..Faults::default()
        },
        ..calm()
    };
    assert_eq!(run_scenario(&scenario, None).unwrap().status, TaskStatus::Halted);
    let broken = run_scenario(&scenario, Some(Sabotage::Rule(Rule::StaleStatus))).unwrap_err();
    assert!(broken.promise.starts_with("a halt or a stop withdraws what nobody was told of"), "{broken}");
}

/// What `seeds.txt` says of seed 386: one at a time, two of three succeed, and the third is away.
#[test]
fn a_quorum_is_noticed_when_the_last_one_turns_out_to_be_away() {
    let first = WaveSpec { size: WaveSize::Count(10), fail_threshold: None };
    let rest = WaveSpec { size: WaveSize::Rest, fail_threshold: None };
    let scenario = Scenario {
        waves: Waves::Asked(vec![first, rest]),
        max_concurrency: Some(1),
        policy: RolloutPolicy { quorum: Some(2_000), ..RolloutPolicy::default() },
        fleet: Fleet { away: 50, never: 100, ..calm().fleet },
        ..calm()
    };
    let seeds = (0..20).map(|seed| Scenario { seed, ..scenario.clone() });
    let broken = seeds.filter_map(|scenario| {
        run_scenario(&scenario, None).unwrap();
        run_scenario(&scenario, Some(Sabotage::Rule(Rule::QuorumUnnoticed))).err()
    });
    let promises: Vec<String> = broken.map(|broken| broken.promise).collect();
    assert!(!promises.is_empty());
    assert!(promises.iter().all(|promise| promise.starts_with("a wave that is over is closed at once")));
}
