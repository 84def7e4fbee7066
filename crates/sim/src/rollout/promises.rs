//! The promises of the design, in their own words: looked at after every event, from what really happened on the desktops
//! and from what transactions did. Nothing here asks the rules that are under test.

mod audit;
mod effects;
mod ending;
mod records;
mod weight;

use chrono::TimeDelta;
use domain::{Timestamp, outcome::Outcome, policy::RolloutPolicy, wave::WaveStatus, window::WindowState};

use super::{
    event::{Ended, Order},
    rows::zone,
    scenario::Scenario,
};
use crate::memory::TaskTable;

/// What really became of one target.
#[derive(Debug, Clone, Default)]
struct Target {
    admitted: bool,
    withdrawn: bool,
    /// A worker was given it, before the task was cut short.
    leased: bool,
    /// An order for it left a worker.
    ordered: bool,
    /// How often each script was started on the desktop, and how it ended there.
    scripts: Vec<(u32, Option<Ended>)>,
    /// A person stopped it.
    stopped: bool,
    /// As it was recorded first.
    outcome: Option<Ended>,
    /// Something broke that may explain that its end was never learnt.
    faulted: bool,
    /// Workers that died while they held it.
    worker_deaths: u16,
}

impl Target {
    fn has_started(&self) -> bool {
        self.scripts.iter().any(|(starts, _)| *starts > 0)
    }
}

/// What the records of a wave come to.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    admitted: u32,
    ended: u32,
    failed: u32,
    halting: u32,
}

/// The observer. It knows the truth, and says which promise was broken first.
#[derive(Debug)]
pub(super) struct Promises {
    policy: RolloutPolicy,
    project_limit: Option<u32>,
    targets: Vec<Target>,
    /// By wave.
    counts: Vec<Count>,
    approved: Vec<u16>,
    faulted: bool,
    is_suspended: bool,
    is_cut_short: bool,
    has_ended: bool,
    /// Places were taken in this event.
    placed: bool,
    /// Something changed since the last look at the totals.
    changed: bool,
    /// Events since the last recount.
    unread: usize,
    broken: Option<String>,
}

impl Promises {
    pub(super) fn new(scenario: &Scenario, waves: usize) -> Self {
        let target = Target { scripts: vec![(0, None); usize::from(scenario.scripts)], ..Target::default() };
        Self {
            policy: scenario.policy.clone(),
            project_limit: scenario.project_limit,
            targets: vec![target; scenario.desktops as usize],
            counts: vec![Count::default(); waves],
            approved: Vec::new(),
            faulted: false,
            is_suspended: false,
            is_cut_short: false,
            has_ended: false,
            placed: false,
            changed: false,
            unread: 0,
            broken: None,
        }
    }

    /// The first promise that was broken, if one was.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn must(&mut self, holds: bool, promise: &str, what: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(format!("{promise}: {}", what()));
        }
    }

    fn target(&mut self, ordinal: u32) -> &mut Target {
        &mut self.targets[ordinal as usize]
    }

    /// Something broke around this target.
    pub(super) fn fault(&mut self, ordinal: u32) {
        self.target(ordinal).faulted = true;
    }

    /// A worker died that held this target.
    pub(super) fn lost(&mut self, ordinal: u32) {
        self.fault(ordinal);
        self.target(ordinal).worker_deaths += 1;
    }

    /// Something broke that may reach every target.
    pub(super) const fn fault_everywhere(&mut self) {
        self.faulted = true;
    }

    /// The task is held from now on, or no longer.
    pub(super) const fn held(&mut self, is_suspended: bool) {
        self.is_suspended = is_suspended;
    }

    /// A person approved a wave.
    pub(super) fn approved(&mut self, wave: u16) {
        self.approved.push(wave);
    }

    /// An order for this target left a worker.
    pub(super) fn ordered(&mut self, ordinal: u32) {
        self.target(ordinal).ordered = true;
    }

    /// A script really starts on a desktop.
    pub(super) fn started(
        &mut self,
        ordinal: u32,
        script: usize,
        order: Order,
        now: Timestamp,
        table: &TaskTable,
    ) {
        let target = self.target(ordinal);
        target.scripts[script].0 += 1;
        let target = target.clone();
        self.must(target.scripts[script].0 == 1, "a start happens at most once", || {
            format!("script {script} of target {ordinal} was started again")
        });
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
        if script > 0 {
            return;
        }
        self.must(!self.is_cut_short || target.leased, "nothing starts after a halt or a stop", || {
            format!("target {ordinal} started and had not been handed out before")
        });
        self.must(target.outcome.is_none(), "a target ends in exactly one outcome", || {
            format!("target {ordinal} started after its outcome was written: {:?}", target.outcome)
        });
        let expires_at = table.facts.expires_at;
        let is_in_time = expires_at.is_none_or(|expires_at| now <= expires_at);
        self.must(is_in_time, "nothing starts after expires_at", || format!("target {ordinal} started"));
        self.must(self.is_in_window(ordinal, now), "nothing starts outside its window", || {
            format!("target {ordinal} started")
        });
    }

    /// Until its very last moment.
    fn is_in_window(&self, ordinal: u32, now: Timestamp) -> bool {
        let is_open = |at| {
            let window = self.policy.window.as_ref();
            window.is_none_or(|window| matches!(window.at(at, zone(ordinal)), WindowState::OpenUntil(_)))
        };
        is_open(now) || is_open(now - TimeDelta::milliseconds(1))
    }

    /// A script really ended on a desktop.
    pub(super) fn ended(&mut self, ordinal: u32, script: usize, end: Ended) {
        let slot = &mut self.target(ordinal).scripts[script].1;
        slot.get_or_insert(end);
    }

    /// The place of a target's wave among the waves.
    fn wave_of(table: &TaskTable, ordinal: u32) -> usize {
        table.waves.iter().position(|row| row.has(ordinal)).unwrap_or_default()
    }

    /// Whether a target that is away may come to count as a failure.
    fn counts_away(&self) -> bool {
        self.weight(Outcome::Undelivered, None).is_some() || self.weight(Outcome::Stopped, None).is_some()
    }
}

/// The place of a wave among the waves of its task.
const fn place_of(wave: u16) -> usize {
    wave as usize - 1
}
