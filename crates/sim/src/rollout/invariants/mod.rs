//! The invariants of the design, checked after every event against the real events on the desktops
//! and the effects of transactions. They ask none of the rules under test.

mod audit;
mod effects;
mod ending;
mod records;
mod returns;
mod weight;

use chrono::TimeDelta;
use domain::{Timestamp, outcome::Outcome, policy::RolloutPolicy, wave::WaveStatus, window::WindowState};

use super::{
    event::{Desktop, Order, ScriptOutcome},
    poison::Poison,
    scenario::TaskSpec,
    zone::zone,
};
use crate::memory::TaskTable;

/// The world around an effect.
pub(super) struct Context<'a> {
    /// True time.
    pub(super) now: Timestamp,
    /// Maximum difference between a clock and the true time.
    pub(super) skew: TimeDelta,
    /// Longest time between a tick and a transaction that used its time.
    pub(super) longest_lag: TimeDelta,
    /// Whether a fault may explain that the end of a target was never learnt, by ordinal.
    pub(super) is_explained: &'a dyn Fn(u32) -> bool,
    /// Since when the desktop of a target is connected, as far as the database knows, by ordinal.
    pub(super) connected_since: &'a dyn Fn(u32) -> Option<Timestamp>,
    /// The real boot of the desktop of a target, by ordinal.
    pub(super) boot_of: &'a dyn Fn(u32) -> u32,
}

/// The start of a script.
pub(super) struct Start {
    pub(super) ordinal: u32,
    pub(super) desktop: Desktop,
    pub(super) script: usize,
    /// True time.
    pub(super) now: Timestamp,
    /// Maximum difference between a clock and the true time.
    pub(super) skew: TimeDelta,
}

/// The real events of one target, and its admission and outcome.
#[derive(Debug, Clone, Default)]
struct Target {
    admitted: bool,
    withdrawn: bool,
    /// A worker leased it before the task was cut short.
    leased: bool,
    /// An order for it left a worker.
    ordered: bool,
    /// Number of real starts of each script, and its real outcome.
    scripts: Vec<(u32, Option<ScriptOutcome>)>,
    /// An operator stopped it.
    stopped: bool,
    /// The first recorded outcome.
    outcome: Option<ScriptOutcome>,
    /// The first script that is to run. An earlier attempt ran the others.
    first_script: usize,
    /// Workers that died while they held it.
    worker_deaths: u16,
    /// Its desktop reports a result that cannot count.
    is_poisoned: bool,
    /// The boot that ends with the reboot that its last result announces.
    announced: Option<u32>,
    /// Time until which its return is awaited, and the outcomes of its scripts that are stored.
    awaited: Option<(Timestamp, Vec<ScriptOutcome>)>,
}

impl Target {
    fn has_started(&self) -> bool {
        self.scripts.iter().any(|(starts, _)| *starts > 0)
    }
}

/// The sums of a wave's records.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    admitted: u32,
    ended: u32,
    succeeded: u32,
    failed: u32,
    halting: u32,
}

/// The invariants of one task, with the first violation.
#[derive(Debug)]
pub(super) struct Invariants {
    policy: RolloutPolicy,
    targets: Vec<Target>,
    /// By wave.
    counts: Vec<Count>,
    /// True time at which each wave closed.
    closed_at: Vec<Option<Timestamp>>,
    approved: Vec<u16>,
    is_suspended: bool,
    is_cut_short: bool,
    has_ended: bool,
    /// Whether targets came in flight in this event.
    pub(super) placed: bool,
    /// Whether anything changed since the last check of the totals.
    changed: bool,
    /// Number of checks since the last recount.
    unread: usize,
    violation: Option<String>,
}

impl Invariants {
    pub(super) fn new(spec: &TaskSpec, first_scripts: &[u16], waves: usize) -> Self {
        let target = |&first_script: &u16| Target {
            scripts: vec![(0, None); usize::from(spec.scripts)],
            first_script: first_script.into(),
            ..Target::default()
        };
        Self {
            policy: spec.policy.clone(),
            targets: first_scripts.iter().map(target).collect(),
            counts: vec![Count::default(); waves],
            closed_at: vec![None; waves],
            approved: Vec::new(),
            is_suspended: false,
            is_cut_short: false,
            has_ended: false,
            placed: false,
            changed: false,
            unread: 0,
            violation: None,
        }
    }

    /// Returns the first violation, if any.
    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn must(&mut self, holds: bool, invariant: &str, detail: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(format!("{invariant}: {}", detail()));
        }
    }

    fn target(&mut self, ordinal: u32) -> &mut Target {
        &mut self.targets[ordinal as usize]
    }

    /// A worker died that held this target.
    pub(super) fn lost(&mut self, ordinal: u32) {
        self.target(ordinal).worker_deaths += 1;
    }

    /// The desktop of this target reports a poisoned result.
    pub(super) fn poisoned(&mut self, ordinal: u32, poison: Poison) {
        self.target(ordinal).is_poisoned = poison.spoils_outcome();
    }

    /// The result of this target announces a reboot from this boot.
    pub(super) fn announced(&mut self, ordinal: u32, boot: u32) {
        self.target(ordinal).announced = Some(boot);
    }

    /// The task is suspended from now on, or no longer.
    pub(super) const fn held(&mut self, is_suspended: bool) {
        self.is_suspended = is_suspended;
    }

    /// An operator approved a wave.
    pub(super) fn approved(&mut self, wave: u16) {
        self.approved.push(wave);
    }

    /// An order for this target left a worker.
    pub(super) fn ordered(&mut self, ordinal: u32) {
        self.target(ordinal).ordered = true;
    }

    /// A script really starts on a desktop.
    pub(super) fn started(&mut self, start: &Start, order: &Order, table: &TaskTable) {
        let &Start { ordinal, script, now, skew, .. } = start;
        let target = self.target(ordinal);
        target.scripts[script].0 += 1;
        let target = target.clone();
        self.must(target.scripts[script].0 == 1, "a start happens at most once", || {
            format!("script {script} of target {ordinal} was started again")
        });
        self.must(
            script >= target.first_script,
            "a retry runs no script that an earlier attempt ran",
            || {
                format!(
                    "script {script} of target {ordinal} started, and {} is the first",
                    target.first_script
                )
            },
        );
        self.must(!order.query_only, "nothing starts after a halt", || {
            format!("target {ordinal} was only asked about and started")
        });
        self.must(target.admitted, "only what was admitted starts", || {
            format!("target {ordinal} started and is not admitted")
        });
        let waves = table.waves.iter().take_while(|row| !row.has(ordinal));
        let open = waves.filter(|row| row.state.status != WaveStatus::Closed).map(|row| row.wave).last();
        self.must(open.is_none(), "no next wave before the gate closed the one before it", || {
            format!("target {ordinal} started and wave {} is not closed", open.unwrap_or_default())
        });
        if script > target.first_script {
            return;
        }
        self.must(!self.is_cut_short || target.leased, "nothing starts after a halt or a stop", || {
            format!("target {ordinal} started and had not been handed out before")
        });
        self.must(target.outcome.is_none(), "a target ends in exactly one outcome", || {
            format!("target {ordinal} started after its outcome was written: {:?}", target.outcome)
        });
        let expires_at = table.facts.expires_at;
        let is_in_time = expires_at.is_none_or(|expires_at| now <= expires_at + skew * 2);
        self.must(is_in_time, "nothing starts after expires_at", || format!("target {ordinal} started"));
        self.must(self.is_in_window(start), "nothing starts outside its window", || {
            format!("target {ordinal} started")
        });
    }

    /// Whether the window is open by any clock, up to its last moment.
    fn is_in_window(&self, start: &Start) -> bool {
        let &Start { desktop, now, skew, .. } = start;
        let is_open = |at| {
            let window = self.policy.window.as_ref();
            window.is_none_or(|window| matches!(window.at(at, zone(desktop)), WindowState::OpenUntil(_)))
        };
        let skew = skew * 2;
        [now, now - skew, now + skew].into_iter().any(is_open) || is_open(now - TimeDelta::milliseconds(1))
    }

    /// A script really ended on a desktop.
    pub(super) fn ended(&mut self, ordinal: u32, script: usize, end: ScriptOutcome) {
        let slot = &mut self.target(ordinal).scripts[script].1;
        slot.get_or_insert(end);
    }

    /// The place of a target's wave among the waves.
    fn wave_of(table: &TaskTable, ordinal: u32) -> usize {
        table.waves.iter().position(|row| row.has(ordinal)).unwrap_or_default()
    }

    /// Whether a target of an offline desktop may later count as a failure.
    fn counts_away(&self) -> bool {
        self.weight(Outcome::Undelivered, None).is_some() || self.weight(Outcome::Stopped, None).is_some()
    }
}

/// The place of a wave among the waves of its task.
const fn place_of(wave: u16) -> usize {
    wave as usize - 1
}
