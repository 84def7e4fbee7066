//! Draws scenarios from seeds.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::{
    deadline::Timeouts,
    outcome::Outcome,
    policy::{Approval, OnHalt, RolloutPolicy, Weight},
    rollout::{WaveSize, WaveSpec, check_strict},
    threshold::Threshold,
    window::Window,
};

use super::{
    ClusterConfig, Faults, Fleet, Kinds, Operators, ProjectSpec, Retries, Scenario, TaskSpec, Waves,
};
use crate::{memory::ProjectLimits, rollout::rng::Rng};

/// The stream that scenarios are drawn from.
const STREAM: u64 = 1;

impl Scenario {
    /// Draws the scenario of a seed. Most scenarios have one task.
    pub fn drawn(seed: u64) -> Self {
        let mut rng = Rng::new(seed, STREAM);
        let desktops = desktops(&mut rng);
        let task = TaskSpec::drawn(&mut rng, desktops);
        let faults = faults(&mut rng);
        let project = ProjectSpec {
            limits: ProjectLimits {
                max_in_flight: rng.percent(12).then(|| few(&mut rng, desktops)),
                max_running_per_desktop: None,
            },
            freeze: rng.percent(12).then(|| {
                let from = seconds(&mut rng, 1, 600);
                (from, from + seconds(&mut rng, 1, 900))
            }),
            ..ProjectSpec::of(task)
        };
        let task = &project.tasks[0];
        let scenario = Self {
            seed,
            fleet: fleet(&mut rng, task.timeouts.execution, task.timeouts.delivery),
            cluster: cluster(&mut rng, task.policy.window.is_some()),
            faults,
            projects: vec![project],
        };
        scenario.themed(&mut rng).with_more_tasks().with_reboots()
    }
}

impl TaskSpec {
    /// Draws a task over as many desktops.
    pub(super) fn drawn(rng: &mut Rng, desktops: u32) -> Self {
        let mut waves = waves(rng, desktops);
        let mut policy = policy(rng, desktops);
        if policy.strict {
            make_strict(rng, &mut waves, &mut policy, desktops);
        }
        let execution = seconds(rng, 20, 400);
        let delivery = seconds(rng, 20, 900);
        Self {
            submitted_after: TimeDelta::zero(),
            desktops,
            first_desktop: 0,
            waves,
            policy,
            max_concurrency: rng.percent(35).then(|| few(rng, desktops)),
            timeouts: Timeouts { execution, delivery, grace: TimeDelta::seconds(30) },
            scripts: if rng.percent(25) { 2 } else { 1 },
            expires_after: rng.percent(15).then(|| seconds(rng, 5, 1_500)),
            operators: operators(rng, desktops),
        }
    }
}

pub(super) fn seconds(rng: &mut Rng, least: i64, most: i64) -> TimeDelta {
    TimeDelta::seconds(rng.between(least, most))
}

fn desktops(rng: &mut Rng) -> u32 {
    match rng.number(0, 99) {
        0..30 => rng.number(1, 20),
        30..80 => rng.number(20, 90),
        80..99 => rng.number(90, 400),
        _ => rng.number(600, 2_500),
    }
}

fn threshold(rng: &mut Rng, size: u32) -> Threshold {
    if rng.percent(65) {
        return Threshold::Count(rng.number(1, size / 3 + 3));
    }
    Threshold::Percent { share: rng.basis_points(500, 5_000), min_results: rng.number(1, size / 2 + 1) }
}

fn waves(rng: &mut Rng, desktops: u32) -> Waves {
    match rng.number(0, 9) {
        0 => Waves::One,
        1..4 if desktops > 2 => {
            let count = rng.number(2, desktops.min(30));
            Waves::Gray { count, fail_threshold: rng.number(1, (count - 1).min(6)) }
        }
        _ => {
            let number = rng.number(1, 5);
            let mut specs: Vec<WaveSpec> = (0..number)
                .map(|_| {
                    let count = rng.number(1, desktops / number + 1);
                    let size = if rng.percent(60) {
                        WaveSize::Count(count)
                    } else {
                        WaveSize::Share(rng.basis_points(100, 4_000))
                    };
                    let fail_threshold = rng.percent(70).then(|| threshold(rng, count));
                    WaveSpec { size, fail_threshold }
                })
                .collect();
            let fail_threshold = rng.percent(40).then(|| threshold(rng, desktops));
            specs.push(WaveSpec { size: WaveSize::Rest, fail_threshold });
            Waves::Asked(specs)
        }
    }
}

/// A maximum in flight of some of the desktops, large enough for the simulation to end.
pub(super) fn few(rng: &mut Rng, desktops: u32) -> u32 {
    rng.number(desktops / 20 + 1, desktops / 3 + 2)
}

/// Gives strict mode a threshold in every wave or for the task, large enough for the simulation to
/// end.
fn make_strict(rng: &mut Rng, waves: &mut Waves, policy: &mut RolloutPolicy, desktops: u32) {
    let least = desktops / 25 + 1;
    if let Waves::Asked(specs) = waves {
        for threshold in specs.iter_mut().filter_map(|spec| spec.fail_threshold.as_mut()) {
            *threshold = match *threshold {
                Threshold::Count(count) => Threshold::Count(count.max(least)),
                percent => percent,
            };
        }
    }
    let thresholds: Vec<Option<Threshold>> = match waves {
        Waves::One => vec![None],
        Waves::Gray { fail_threshold, .. } => vec![Some(Threshold::Count(*fail_threshold)), None],
        Waves::Asked(specs) => specs.iter().map(|spec| spec.fail_threshold).collect(),
    };
    if let Some(Threshold::Count(count)) = &mut policy.fail_threshold {
        *count = least.max(*count);
    }
    if check_strict(policy, &thresholds).is_err() {
        policy.fail_threshold = Some(Threshold::Count(rng.number(least, least + 10)));
    }
}

fn policy(rng: &mut Rng, desktops: u32) -> RolloutPolicy {
    let mut outcomes = BTreeMap::new();
    for outcome in [Outcome::Undelivered, Outcome::Unknown, Outcome::Timeout, Outcome::Rejected] {
        if rng.percent(20) {
            outcomes.insert(outcome, Weight::Ignore);
        }
    }
    if rng.percent(10) {
        outcomes.insert(Outcome::Stopped, Weight::Count);
    }
    let mut exit_codes = BTreeMap::new();
    if rng.percent(25) {
        exit_codes.insert(75, Weight::Ignore);
    }
    if rng.percent(8) {
        exit_codes.insert(42, Weight::Halt);
    }
    let window = rng.percent(12).then(|| window(rng)).flatten();
    RolloutPolicy {
        fail_threshold: rng.percent(35).then(|| threshold(rng, desktops)),
        strict: rng.percent(25),
        on_halt: if rng.percent(30) { OnHalt::Kill } else { OnHalt::Drain },
        outcomes,
        exit_codes,
        success_exit_codes: if rng.percent(20) { vec![3_010] } else { Vec::new() },
        soak_seconds: if rng.percent(30) { rng.number(1, 900) } else { 0 },
        approval: Approval {
            before_waves: (1..=3).filter(|_| rng.percent(15)).collect(),
            distinct_approver: rng.percent(50),
        },
        quorum: rng.percent(35).then(|| rng.basis_points(3_000, 9_900)),
        window,
        ..RolloutPolicy::default()
    }
}

/// A window around the hour at which simulations begin, so that it opens or closes meanwhile.
fn window(rng: &mut Rng) -> Option<Window> {
    let from = rng.pick(&["09:30", "10:05", "10:20", "11:00", "22:00"])?;
    let to = rng.pick(&["10:03", "10:12", "10:40", "12:00", "05:00"])?;
    let zone = rng.pick(&["desktop", "UTC", "Europe/Berlin"])?;
    Window::new(from, to, zone).ok()
}

fn operators(rng: &mut Rng, desktops: u32) -> Operators {
    let mut pauses = Vec::new();
    for _ in 0..rng.number(0, 2) {
        if rng.percent(35) {
            let from = seconds(rng, 1, 900);
            pauses.push((from, from + seconds(rng, 1, 1_200)));
        }
    }
    let changes = if rng.percent(25) { rng.number(1, 3) } else { 0 };
    let concurrency = (0..changes)
        .map(|_| {
            let most = rng.percent(80).then(|| few(rng, desktops));
            (seconds(rng, 1, 900), most)
        })
        .collect();
    let stop = rng.percent(18).then(|| (seconds(rng, 1, 1_500), rng.percent(50)));
    let stops = if rng.percent(25) { rng.number(1, 6) } else { 0 };
    let target_stops =
        (0..stops).map(|_| (seconds(rng, 0, 600), rng.number(0, desktops.saturating_sub(1)))).collect();
    let approver_takes = seconds(rng, 1, 1_800);
    Operators { pauses, stop, target_stops, concurrency, approver_takes, retries: Retries::default() }
}

fn fleet(rng: &mut Rng, execution: TimeDelta, delivery: TimeDelta) -> Fleet {
    let failing = match rng.number(0, 9) {
        0..3 => 0,
        3..8 => rng.number(0, 6),
        _ => rng.number(0, 60),
    };
    let away = if rng.percent(50) { rng.number(0, 30) } else { 0 };
    Fleet {
        away,
        never: if rng.percent(50) { 0 } else { rng.number(0, 60) },
        back_within: if rng.percent(70) { delivery } else { delivery * 2 },
        failing,
        exit_codes: vec![1, 2, 75, 42, 3_010],
        hanging: if rng.percent(25) { rng.number(1, 6) } else { 0 },
        refused: if rng.percent(25) { rng.number(1, 6) } else { 0 },
        poisoned: 0,
        lost_by_reboot: 0,
        reboots_within: TimeDelta::zero(),
        runs: if rng.percent(70) { execution / 4 } else { execution * 5 / 4 },
        slow: if rng.percent(75) { TimeDelta::milliseconds(500) } else { delivery * 3 / 4 },
    }
}

/// A simulation of days has longer periods.
fn cluster(rng: &mut Rng, is_long: bool) -> ClusterConfig {
    let pace = if is_long { 8 } else { rng.between(1, 5) };
    ClusterConfig {
        schedulers: rng.number(1, 3) as usize,
        workers: rng.number(1, 5) as usize,
        capacity: if rng.percent(70) { 1_000 } else { rng.number(3, 40) },
        period_ms: 1_000 * pace,
        heartbeat_ms: 3_000 * pace,
        worker_timeout_ms: 15_000 * pace,
        lease_ms: 30_000 * pace,
        delay_ms: rng.between(1, 400),
        ..ClusterConfig::default()
    }
}

fn faults(rng: &mut Rng) -> Faults {
    if rng.percent(20) {
        return Faults::default();
    }
    let rate =
        |rng: &mut Rng, often: u32, most: u32| if rng.percent(often) { rng.number(1, most) } else { 0 };
    let kinds = Kinds {
        schedulers: rate(rng, 50, 5),
        workers: rate(rng, 50, 5),
        drains: rate(rng, 40, 3),
        flaps: rate(rng, 60, 20),
        reboots: rate(rng, 50, 10),
    };
    Faults {
        until: seconds(rng, 60, 3_600),
        every_ms: rng.between(2_000, 120_000),
        kinds,
        lost: rate(rng, 50, 40),
        doubled: rate(rng, 50, 80),
        late: rate(rng, 40, 30),
        outages: Vec::new(),
    }
}
