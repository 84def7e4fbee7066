//! A scenario from a seed: every feature now and then, and often several together.

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

use super::{Faults, Fleet, Kinds, People, Plant, Scenario, Waves};
use crate::rollout::dice::Dice;

/// The stream of dice that scenarios are drawn from.
const STREAM: u64 = 1;

impl Scenario {
    /// The scenario of a seed.
    pub fn drawn(seed: u64) -> Self {
        let mut dice = Dice::new(seed, STREAM);
        let desktops = desktops(&mut dice);
        let mut waves = waves(&mut dice, desktops);
        let mut policy = policy(&mut dice, desktops);
        if policy.strict {
            make_strict(&mut dice, &mut waves, &mut policy, desktops);
        }
        let execution = seconds(&mut dice, 20, 400);
        let delivery = seconds(&mut dice, 20, 900);
        let timeouts = Timeouts { execution, delivery, grace: TimeDelta::seconds(30) };
        let max_concurrency = dice.percent(35).then(|| few(&mut dice, desktops));
        let faults = faults(&mut dice);
        let scenario = Self {
            seed,
            desktops,
            waves,
            max_concurrency,
            project_limit: dice.percent(12).then(|| few(&mut dice, desktops)),
            timeouts,
            scripts: if dice.percent(25) { 2 } else { 1 },
            expires_after: dice.percent(15).then(|| seconds(&mut dice, 5, 1_500)),
            people: people(&mut dice, desktops),
            fleet: fleet(&mut dice, execution, delivery),
            plant: plant(&mut dice, policy.window.is_some()),
            faults,
            policy,
        };
        scenario.themed(&mut dice)
    }
}

fn seconds(dice: &mut Dice, least: i64, most: i64) -> TimeDelta {
    TimeDelta::seconds(dice.between(least, most))
}

fn desktops(dice: &mut Dice) -> u32 {
    match dice.number(0, 99) {
        0..30 => dice.number(1, 20),
        30..80 => dice.number(20, 90),
        80..99 => dice.number(90, 400),
        _ => dice.number(600, 2_500),
    }
}

fn threshold(dice: &mut Dice, size: u32) -> Threshold {
    if dice.percent(65) {
        return Threshold::Count(dice.number(1, size / 3 + 3));
    }
    Threshold::Percent { hundredths: dice.number(500, 5_000), min_results: dice.number(1, size / 2 + 1) }
}

fn waves(dice: &mut Dice, desktops: u32) -> Waves {
    match dice.number(0, 9) {
        0 => Waves::One,
        1..4 if desktops > 2 => {
            let count = dice.number(2, desktops.min(30));
            Waves::Gray { count, fail_threshold: dice.number(1, (count - 1).min(6)) }
        }
        _ => {
            let number = dice.number(1, 5);
            let mut specs: Vec<WaveSpec> = (0..number)
                .map(|_| {
                    let count = dice.number(1, desktops / number + 1);
                    let size = if dice.percent(60) {
                        WaveSize::Count(count)
                    } else {
                        WaveSize::Share(dice.number(100, 4_000))
                    };
                    let fail_threshold = dice.percent(70).then(|| threshold(dice, count));
                    WaveSpec { size, fail_threshold }
                })
                .collect();
            let fail_threshold = dice.percent(40).then(|| threshold(dice, desktops));
            specs.push(WaveSpec { size: WaveSize::Rest, fail_threshold });
            Waves::Asked(specs)
        }
    }
}

/// Places for some of the desktops, not so few that the story never ends.
fn few(dice: &mut Dice, desktops: u32) -> u32 {
    dice.number(desktops / 20 + 1, desktops / 3 + 2)
}

/// Gives strict mode a number to keep to, in every wave or for the task; not so small that the story never ends.
fn make_strict(dice: &mut Dice, waves: &mut Waves, policy: &mut RolloutPolicy, desktops: u32) {
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
        policy.fail_threshold = Some(Threshold::Count(dice.number(least, least + 10)));
    }
}

fn policy(dice: &mut Dice, desktops: u32) -> RolloutPolicy {
    let mut outcomes = BTreeMap::new();
    for outcome in [Outcome::Undelivered, Outcome::Unknown, Outcome::Timeout, Outcome::Rejected] {
        if dice.percent(20) {
            outcomes.insert(outcome, Weight::Ignore);
        }
    }
    if dice.percent(10) {
        outcomes.insert(Outcome::Stopped, Weight::Count);
    }
    let mut exit_codes = BTreeMap::new();
    if dice.percent(25) {
        exit_codes.insert(75, Weight::Ignore);
    }
    if dice.percent(8) {
        exit_codes.insert(42, Weight::Halt);
    }
    let window = dice.percent(12).then(|| window(dice)).flatten();
    RolloutPolicy {
        fail_threshold: dice.percent(35).then(|| threshold(dice, desktops)),
        strict: dice.percent(25),
        on_halt: if dice.percent(30) { OnHalt::Kill } else { OnHalt::Drain },
        outcomes,
        exit_codes,
        success_exit_codes: if dice.percent(20) { vec![3_010] } else { Vec::new() },
        soak_seconds: if dice.percent(30) { dice.number(1, 900) } else { 0 },
        approval: Approval {
            before_waves: (1..=3).filter(|_| dice.percent(15)).collect(),
            distinct_approver: dice.percent(50),
        },
        quorum: dice.percent(35).then(|| dice.number(3_000, 9_900)),
        window,
    }
}

/// Around the hour at which stories begin, so that it opens or closes while they last.
fn window(dice: &mut Dice) -> Option<Window> {
    let from = dice.pick(&["09:30", "10:05", "10:20", "11:00", "22:00"])?;
    let to = dice.pick(&["10:03", "10:12", "10:40", "12:00", "05:00"])?;
    let zone = dice.pick(&["desktop", "UTC", "Europe/Berlin"])?;
    Window::new(from, to, zone).ok()
}

fn people(dice: &mut Dice, desktops: u32) -> People {
    let mut pauses = Vec::new();
    for _ in 0..dice.number(0, 2) {
        if dice.percent(35) {
            let from = seconds(dice, 1, 900);
            pauses.push((from, from + seconds(dice, 1, 1_200)));
        }
    }
    let freeze = dice.percent(12).then(|| {
        let from = seconds(dice, 1, 600);
        (from, from + seconds(dice, 1, 900))
    });
    let changes = if dice.percent(25) { dice.number(1, 3) } else { 0 };
    let concurrency = (0..changes)
        .map(|_| {
            let most = dice.percent(80).then(|| few(dice, desktops));
            (seconds(dice, 1, 900), most)
        })
        .collect();
    let stop = dice.percent(18).then(|| (seconds(dice, 1, 1_500), dice.percent(50)));
    let stops = if dice.percent(25) { dice.number(1, 6) } else { 0 };
    let target_stops =
        (0..stops).map(|_| (seconds(dice, 0, 600), dice.number(0, desktops.saturating_sub(1)))).collect();
    People { pauses, freeze, stop, target_stops, concurrency, approver_takes: seconds(dice, 1, 1_800) }
}

fn fleet(dice: &mut Dice, execution: TimeDelta, delivery: TimeDelta) -> Fleet {
    let failing = match dice.number(0, 9) {
        0..3 => 0,
        3..8 => dice.number(0, 6),
        _ => dice.number(0, 60),
    };
    let away = if dice.percent(50) { dice.number(0, 30) } else { 0 };
    Fleet {
        away,
        never: if dice.percent(50) { 0 } else { dice.number(0, 60) },
        back_within: if dice.percent(70) { delivery } else { delivery * 2 },
        failing,
        exit_codes: vec![1, 2, 75, 42, 3_010],
        hanging: if dice.percent(25) { dice.number(1, 6) } else { 0 },
        refused: if dice.percent(25) { dice.number(1, 6) } else { 0 },
        runs: if dice.percent(70) { execution / 4 } else { execution * 5 / 4 },
        slow: if dice.percent(75) { TimeDelta::milliseconds(500) } else { delivery * 3 / 4 },
    }
}

/// A story that goes on for a day is told at a slower pace.
fn plant(dice: &mut Dice, is_long: bool) -> Plant {
    let pace = if is_long { 8 } else { dice.between(1, 5) };
    Plant {
        schedulers: dice.number(1, 3) as usize,
        workers: dice.number(1, 5) as usize,
        capacity: if dice.percent(70) { 1_000 } else { dice.number(3, 40) },
        period_ms: 1_000 * pace,
        heartbeat_ms: 3_000 * pace,
        worker_timeout_ms: 15_000 * pace,
        lease_ms: 30_000 * pace,
        delay_ms: dice.between(1, 400),
    }
}

fn faults(dice: &mut Dice) -> Faults {
    if dice.percent(20) {
        return Faults::default();
    }
    let rate =
        |dice: &mut Dice, often: u32, most: u32| if dice.percent(often) { dice.number(1, most) } else { 0 };
    let kinds = Kinds {
        schedulers: rate(dice, 50, 5),
        workers: rate(dice, 50, 5),
        drains: rate(dice, 40, 3),
        flaps: rate(dice, 60, 20),
        reboots: rate(dice, 50, 10),
    };
    Faults {
        until: seconds(dice, 60, 3_600),
        every_ms: dice.between(2_000, 120_000),
        kinds,
        lost: rate(dice, 50, 40),
        doubled: rate(dice, 50, 80),
        late: rate(dice, 40, 30),
    }
}
