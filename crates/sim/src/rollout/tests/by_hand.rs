//! Scenarios built by hand, with known results.

use chrono::TimeDelta;
use domain::{
    BasisPoints,
    outcome::Outcome,
    policy::{OnHalt, RolloutPolicy, Weight},
    return_policy::{PostFinish, ReturnPolicy},
    rollout::{WaveSize, WaveSpec},
    task::TaskStatus,
    threshold::Threshold,
    window::Window,
};
use engine::Rule;

use super::*;
use crate::memory::ProjectLimits;

fn calm() -> Scenario {
    Scenario::default()
}

fn task() -> TaskSpec {
    TaskSpec::default()
}

#[test]
fn without_faults_every_target_succeeds() {
    let summary = run_scenario(&calm(), None).unwrap();
    assert_eq!(summary.status, TaskStatus::Success);
    assert_eq!(summary.coverage.of(Feature::Success), 20);
}

#[test]
fn failing_script_halts_at_the_gray_wave() {
    for on_halt in OnHalt::ALL {
        let scenario = Scenario {
            fleet: Fleet { failing: 100, exit_codes: vec![1], ..calm().fleet },
            ..Scenario::of(TaskSpec {
                waves: Waves::Gray { count: 4, fail_threshold: 1 },
                policy: RolloutPolicy { on_halt, ..RolloutPolicy::default() },
                ..task()
            })
        };
        let summary = run_scenario(&scenario, None).unwrap();
        assert_eq!(summary.status, TaskStatus::Halted);
        let ran = summary.coverage.of(Feature::Failed) + summary.coverage.of(Feature::StoppedTarget);
        assert_eq!(ran, 4, "no other target starts");
    }
}

#[test]
fn offline_desktops_are_undelivered_with_and_without_quorum() {
    let thirds = |size| WaveSpec { size, fail_threshold: Some(Threshold::Count(30)) };
    let waves = Waves::Asked(vec![thirds(WaveSize::Count(20)), thirds(WaveSize::Rest)]);
    for quorum in [None, BasisPoints::new(3_000)] {
        let policy = RolloutPolicy { quorum, ..RolloutPolicy::default() };
        let task = TaskSpec { desktops: 40, waves: waves.clone(), policy, ..task() };
        let fleet = Fleet { away: 40, never: 100, ..calm().fleet };
        let summary = run_scenario(&Scenario { fleet, ..Scenario::of(task) }, None).unwrap();
        assert_eq!(summary.status, TaskStatus::Failed);
        let (undelivered, success) =
            (summary.coverage.of(Feature::Undelivered), summary.coverage.of(Feature::Success));
        assert!(undelivered > 0 && undelivered + success == 40);
        assert_eq!(summary.coverage.of(Feature::QuorumClose), u64::from(quorum.is_some()));
    }
}

#[test]
fn ignored_outcomes_halt_nothing() {
    let policy = RolloutPolicy {
        exit_codes: [(75, Weight::Ignore)].into(),
        outcomes: [(Outcome::Timeout, Weight::Ignore)].into(),
        ..RolloutPolicy::default()
    };
    let fleet = Fleet { failing: 50, exit_codes: vec![75], hanging: 20, ..calm().fleet };
    let waves = Waves::Gray { count: 6, fail_threshold: 1 };
    let scenario = Scenario { fleet, ..Scenario::of(TaskSpec { waves, policy, ..task() }) };
    let summary = run_scenario(&scenario, None).unwrap();
    assert_eq!(summary.status, TaskStatus::Failed);
    assert_eq!(summary.coverage.of(Feature::Halt), 0);
}

/// Of two targets one is ready when the task is paused, and the window closes before the pause
/// ends. See `seeds.txt`.
#[test]
fn pause_over_the_end_of_a_window_starts_nothing() {
    let window = Window::new("09:00", "10:02", "UTC").ok();
    let scenario = Scenario {
        fleet: Fleet { runs: TimeDelta::seconds(60), ..calm().fleet },
        cluster: ClusterConfig { workers: 1, capacity: 1, schedulers: 1, ..ClusterConfig::default() },
        ..Scenario::of(TaskSpec {
            desktops: 2,
            policy: RolloutPolicy { window, ..RolloutPolicy::default() },
            operators: Operators {
                pauses: vec![(TimeDelta::seconds(2), TimeDelta::seconds(150))],
                ..Operators::default()
            },
            ..task()
        })
    };
    let summary = run_scenario(&scenario, None).unwrap();
    let lasted = summary.lasted;
    assert!(lasted > TimeDelta::hours(22), "the second target waits for the next morning: {lasted}");
    let mutant = Mutant::Rule(Rule::ReleaseIgnoresWindow);
    let violation = run_scenario(&scenario, Some(mutant)).unwrap_err();
    assert!(violation.invariant.starts_with("nothing starts outside its window"), "{violation}");
}

/// With one target in flight, two of three succeed, and the third is offline. See `seeds.txt`.
#[test]
fn last_offline_target_of_a_quorum_closes_the_wave() {
    let first = WaveSpec { size: WaveSize::Count(10), fail_threshold: None };
    let rest = WaveSpec { size: WaveSize::Rest, fail_threshold: None };
    let scenario = Scenario {
        fleet: Fleet { away: 50, never: 100, ..calm().fleet },
        ..Scenario::of(TaskSpec {
            waves: Waves::Asked(vec![first, rest]),
            max_concurrency: Some(1),
            policy: RolloutPolicy { quorum: BasisPoints::new(2_000), ..RolloutPolicy::default() },
            ..task()
        })
    };
    let seeds = (0..20).map(|seed| Scenario { seed, ..scenario.clone() });
    let violations = seeds.filter_map(|scenario| {
        run_scenario(&scenario, None).unwrap();
        run_scenario(&scenario, Some(Mutant::Rule(Rule::QuorumUnnoticed))).err()
    });
    let invariants: Vec<String> = violations.map(|violation| violation.invariant).collect();
    assert!(!invariants.is_empty());
    assert!(invariants.iter().all(|it| it.starts_with("a wave that is over is closed at once")));
}

/// A frozen project for an hour, and another project on the same workers.
#[test]
fn frozen_project_delays_no_other_project() {
    let freeze = Some((TimeDelta::milliseconds(1), TimeDelta::hours(1)));
    let frozen = ProjectSpec { freeze, ..ProjectSpec::of(task()) };
    let alone = run_scenario(&calm(), None).unwrap();
    let scenario = Scenario { projects: vec![ProjectSpec::of(task()), frozen], ..calm() };
    let summary = run_scenario(&scenario, None).unwrap();
    assert_eq!(summary.coverage.of(Feature::Success), 40);
    assert!(summary.lasted > TimeDelta::hours(1) && alone.lasted < TimeDelta::minutes(2));
}

#[test]
fn tasks_of_a_project_share_its_limit_and_all_end() {
    let tasks = vec![task(), task(), task()];
    let limits = ProjectLimits { max_in_flight: Some(4), max_running_per_desktop: Some(1) };
    let project = ProjectSpec { limits, tasks, ..ProjectSpec::of(task()) };
    let scenario = Scenario { projects: vec![project], ..calm() };
    let summary = run_scenario(&scenario, None).unwrap();
    assert_eq!(summary.coverage.of(Feature::Success), 60);
    assert!(summary.coverage.of(Feature::PlacesShared) > 0);
    let mutant = Mutant::Rule(Rule::IgnoreProjectLimit);
    let violation = run_scenario(&scenario, Some(mutant)).unwrap_err();
    assert!(violation.invariant.starts_with("no more than the project's max_in_flight"), "{violation}");
}

/// The outage lasts longer than the silence after which workers are forgotten.
#[test]
fn outage_of_the_database_kills_no_worker() {
    let outage = Outage { unknown: TimeDelta::zero(), down: TimeDelta::seconds(40) };
    let outages = vec![(TimeDelta::seconds(5), outage)];
    let scenario = Scenario { faults: Faults { outages, ..Faults::default() }, ..calm() };
    let find = |seed| {
        let scenario = Scenario { seed, ..scenario.clone() };
        let summary = run_scenario(&scenario, None).unwrap();
        assert_eq!(summary.coverage.of(Feature::Success), 20);
        run_scenario(&scenario, Some(Mutant::TrustSilence)).err()
    };
    let violation = (0..40).find_map(find).unwrap();
    assert!(violation.invariant.starts_with("a worker that lives is not forgotten"), "{violation}");
}

/// A task that reboots its desktops after the last script, with two minutes for each return.
fn reboots(lost_by_reboot: u32, reboots_within: TimeDelta, waves: Waves) -> Scenario {
    let returns = ReturnPolicy {
        post_finish: Some(PostFinish::Reboot),
        timeout_seconds: Some(120),
        ..ReturnPolicy::default()
    };
    let policy = RolloutPolicy { returns, ..RolloutPolicy::default() };
    let fleet = Fleet { lost_by_reboot, reboots_within, ..calm().fleet };
    Scenario { fleet, ..Scenario::of(TaskSpec { waves, policy, ..task() }) }
}

#[test]
fn desktops_that_return_succeed() {
    let summary = run_scenario(&reboots(0, TimeDelta::seconds(60), Waves::One), None).unwrap();
    assert_eq!(summary.status, TaskStatus::Success);
    assert_eq!(summary.coverage.of(Feature::PlannedReboot), 20);
    assert_eq!(summary.coverage.of(Feature::Success), 20);
}

#[test]
fn canaries_that_never_return_halt() {
    let waves = Waves::Gray { count: 4, fail_threshold: 2 };
    let summary = run_scenario(&reboots(100, TimeDelta::seconds(60), waves), None).unwrap();
    assert_eq!(summary.status, TaskStatus::Halted);
    assert_eq!(summary.coverage.of(Feature::LostByReboot), 4, "no other desktop reboots");
    assert!(summary.coverage.of(Feature::NotReturned) >= 2);
    assert_eq!(summary.coverage.of(Feature::Unknown), 0);
}

#[test]
fn late_return_is_a_failure_without_a_second_start() {
    let late = TimeDelta::minutes(10);
    let summary = run_scenario(&reboots(0, late, Waves::One), None).unwrap();
    assert_eq!(summary.status, TaskStatus::Failed);
    let (late, back) = (summary.coverage.of(Feature::NotReturned), summary.coverage.of(Feature::Success));
    assert!(late > 0 && late + back == 20, "{late} late, {back} back");
}

#[test]
fn remaining_scripts_follow_the_reboot() {
    let returns = ReturnPolicy {
        reboot_exit_codes: vec![3_010],
        timeout_seconds: Some(120),
        ..ReturnPolicy::default()
    };
    let policy = RolloutPolicy { returns, ..RolloutPolicy::default() };
    let reboots_within = TimeDelta::seconds(60);
    let fleet = Fleet { failing: 100, exit_codes: vec![3_010], reboots_within, ..calm().fleet };
    let scenario = Scenario { fleet, ..Scenario::of(TaskSpec { policy, scripts: 3, ..task() }) };
    let summary = run_scenario(&scenario, None).unwrap();
    assert_eq!(summary.status, TaskStatus::Success);
    assert_eq!(summary.coverage.of(Feature::PlannedReboot), 60, "one for each script");
    assert_eq!(summary.coverage.of(Feature::Resumed), 40);
}
