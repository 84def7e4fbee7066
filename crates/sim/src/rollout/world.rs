//! The world of one simulation: its state, and the effect of each event on it.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::{Timestamp, ids::WorkerId, task::TaskStatus};
use engine::Engine;

use super::{
    clock::Clock,
    coverage::{Coverage, Feature},
    effect::Effect,
    event::{Desktop, Event, Session, Target, Task},
    invariants::Context,
    mutant::{Breaking, Mutant},
    rng::Rng,
    rows,
    scenario::Scenario,
    state::{Agent, ProjectState, RunningOutage, Scheduler, TaskState, WorkerState},
    trace::Trace,
};
use crate::memory::MemoryStore;

/// The random stream of what happens in a simulation.
const STREAM: u64 = 2;
/// The random stream of poisoned results.
const POISON_STREAM: u64 = 4;

/// Everything in a simulation.
#[derive(Debug)]
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) mutant: Option<Mutant>,
    pub(super) clock: Clock,
    pub(super) rng: Rng,
    /// Draws of poisoned results, which change no other draws.
    pub(super) poison_rng: Rng,
    pub(super) store: MemoryStore,
    pub(super) engine: Engine<Breaking>,
    pub(super) projects: Vec<ProjectState>,
    pub(super) tasks: Vec<TaskState>,
    /// Submissions and retries that are still to come.
    pub(super) pending: usize,
    /// Effects of the transactions of this event.
    pub(super) effects: Vec<(Task, Effect)>,
    /// Whether a transaction changed a task in this event.
    pub(super) has_committed: bool,
    pub(super) schedulers: Vec<Scheduler>,
    pub(super) workers: Vec<WorkerState>,
    /// By worker.
    pub(super) worker_ids: Vec<WorkerId>,
    /// By desktop.
    pub(super) agents: Vec<Agent>,
    pub(super) sessions: Session,
    /// The agent of each connection.
    pub(super) installs: BTreeMap<Session, u32>,
    /// The boot of the desktop in which each connection was made.
    pub(super) boots: BTreeMap<Session, u32>,
    /// Difference between the clock of use cases and the true time.
    pub(super) control_offset_ms: i64,
    /// Longest time between a scheduler's tick and a transaction that uses the time of the tick.
    pub(super) longest_lag: TimeDelta,
    pub(super) outage: Option<RunningOutage>,
    pub(super) are_faults_on: bool,
    /// Whether a fault may explain that the end of any target was never learnt.
    pub(super) is_faulted: bool,
    /// Waiting targets of desktops out of service, each with the true time at which a tick of a
    /// scheduler first met it.
    pub(super) waits_out_of_service: BTreeMap<Target, Timestamp>,
    /// The first violation of an invariant over several tasks.
    pub(super) violation: Option<String>,
    pub(super) coverage: Coverage,
    pub(super) trace: Trace,
}

impl World {
    /// Returns the world at the beginning, with the tasks that are submitted at once.
    pub(super) fn new(
        scenario: &Scenario,
        mutant: Option<Mutant>,
        trace: Trace,
    ) -> Result<Self, domain::Error> {
        let clock = Clock::new();
        let mut rng = Rng::new(scenario.seed, STREAM);
        let mut store = MemoryStore::default();
        let (mut projects, mut agents) = (Vec::new(), Vec::new());
        for (place, spec) in scenario.projects.iter().enumerate() {
            let first_desktop = agents.len();
            projects.push(rows::insert_project(&mut store, place, first_desktop, spec.desktops, clock.now)?);
            store.limits.insert(projects[place].project_id.clone(), spec.limits);
            agents.extend((0..spec.desktops).map(|_| Agent::new(place, &scenario.fleet, &mut rng)));
        }
        let patience = scenario.cluster.worker_timeout_ms;
        let schedulers = (0..scenario.cluster.schedulers.max(1)).map(|_| Scheduler::new(clock.now, patience));
        let mut world = Self {
            scenario: scenario.clone(),
            mutant,
            schedulers: schedulers.collect(),
            clock,
            rng,
            poison_rng: Rng::new(scenario.seed, POISON_STREAM),
            store,
            engine: Engine::with_faults(Breaking::new(mutant)),
            projects,
            tasks: Vec::new(),
            pending: 0,
            effects: Vec::new(),
            has_committed: false,
            workers: Vec::new(),
            worker_ids: Vec::new(),
            agents,
            sessions: 0,
            installs: BTreeMap::new(),
            boots: BTreeMap::new(),
            control_offset_ms: 0,
            longest_lag: TimeDelta::zero(),
            outage: None,
            are_faults_on: false,
            is_faulted: false,
            waits_out_of_service: BTreeMap::new(),
            violation: None,
            coverage: Coverage::default(),
            trace,
        };
        world.begin()?;
        Ok(world)
    }

    fn begin(&mut self) -> Result<(), domain::Error> {
        self.plan_clocks();
        self.plan_submissions()?;
        for _ in 0..self.scenario.cluster.workers.max(1) {
            self.start_worker();
        }
        for desktop in 0..self.agents.len() {
            if !self.rng.percent(self.scenario.fleet.away) {
                let wait = self.rng.between(0, 800);
                self.clock.after(wait, Event::AgentConnects { desktop });
            } else if !self.rng.percent(self.scenario.fleet.never) {
                let wait = self.rng.between(1_000, self.scenario.fleet.back_within.num_milliseconds());
                self.clock.after(wait, Event::AgentConnects { desktop });
            }
        }
        for scheduler in 0..self.schedulers.len() {
            self.start_scheduler(scheduler);
        }
        self.plan_faults();
        if self.agents.len() >= 1_000 {
            self.coverage.add(Feature::Thousands);
        }
        Ok(())
    }

    /// Runs the next event. Returns false when no event is left.
    pub(super) fn step(&mut self) -> bool {
        let Some(event) = self.clock.next() else { return false };
        self.trace.event(self.clock.elapsed_ms(), &event);
        self.happen(event);
        for (task, effect) in std::mem::take(&mut self.effects) {
            let TaskState { task_id, desktops, invariants, .. } = &mut self.tasks[task];
            let (agents, is_faulted) = (&self.agents, self.is_faulted);
            let is_explained = |ordinal: u32| is_faulted || agents[desktops[ordinal as usize]].is_faulted;
            let rows = self.store.tasks.get(task_id).and_then(|table| {
                let connections = self.store.desktops.get(&table.facts.project_id)?;
                Some((table, connections))
            });
            let connected_since = |ordinal: u32| {
                let (table, connections) = rows?;
                let presence = connections.get(&table.targets.get(ordinal as usize)?.0)?;
                presence.holder().map(|_| presence.changed_at)
            };
            let boot_of = |ordinal: u32| agents[desktops[ordinal as usize]].boot;
            let context = Context {
                now: self.clock.now,
                skew: TimeDelta::milliseconds(self.scenario.cluster.skew_ms),
                longest_lag: self.longest_lag,
                is_explained: &is_explained,
                connected_since: &connected_since,
                boot_of: &boot_of,
            };
            if let Some(table) = self.store.tasks.get(task_id) {
                invariants.see(&effect, table, &context, &mut self.coverage);
            }
            let has_ended = matches!(effect, Effect::TaskEnded { .. });
            self.trace.effect(task, effect);
            if has_ended {
                self.plan_retries(task);
            }
        }
        self.wake();
        if std::mem::take(&mut self.has_committed) {
            self.ask_approvers();
            self.check_projects();
            for state in &mut self.tasks {
                if let Some(table) = self.store.tasks.get(&state.task_id) {
                    state.invariants.check(table, &mut self.coverage);
                }
            }
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::CutTick { scheduler } => self.cut_tick(scheduler),
            Event::ReapTick { scheduler } => self.reap_tick(scheduler),
            Event::Act { scheduler, life, now, ticked_at, act } => {
                self.act(scheduler, life, now, ticked_at, act);
            }
            Event::SchedulerDies { scheduler } => self.kill_scheduler(scheduler),
            Event::SchedulerReturns { scheduler } => self.start_scheduler(scheduler),
            Event::Heartbeat { worker } => self.heartbeat(worker),
            Event::Renewal { worker } => self.renew(worker),
            Event::Pull { worker } => self.pull(worker, true),
            Event::AnnouncePresence { worker } => self.announce(worker),
            Event::Flush { worker } => self.flush(worker),
            Event::ReportTimeout { worker, report } => self.send_report(worker, report),
            Event::PresenceTimeout { worker, update } => self.presence_answered(worker, update, false),
            Event::WorkerDies { worker } => self.kill_worker(worker),
            Event::WorkerDrains { worker } => self.drain_worker(worker),
            Event::WorkerStarts => self.start_worker(),
            Event::Call { worker, call } => self.call(worker, call),
            Event::Answer { worker, answer } => self.answered(worker, answer),
            Event::ToAgent { desktop, session, message } => self.receive(desktop, session, message),
            Event::ToWorker { worker, desktop, session, target, result } => {
                self.take_result(worker, (desktop, session), target, result);
            }
            Event::SessionEnds { worker, desktop, session } => self.end_session(worker, desktop, session),
            Event::AgentLoses { desktop, session } => self.lose_session(desktop, session),
            Event::AgentConnects { desktop } => self.connect(desktop),
            Event::AgentLeaves { desktop, away_ms } => self.leave(desktop, away_ms),
            Event::AgentReboots { desktop, away_ms } => self.reboot(desktop, away_ms),
            Event::AgentReturns { desktop } => self.come_back(desktop),
            Event::PlannedReboot { desktop, boot, until } => self.reboot_as_planned(desktop, boot, until),
            Event::AgentEnrols { desktop } => self.enrol(desktop),
            Event::Begins { desktop, task, life } => self.begin_order(desktop, task, life),
            Event::ScriptEnds { desktop, task, life, script } => {
                self.script_ends(desktop, task, life, script);
            }
            Event::Submit { project, task } => self.submit(project, task),
            Event::Operator(command) => self.command(command),
            Event::ClocksChange => self.change_clocks(),
            Event::OutageBegins { unknown_ms, lasts_ms } => self.begin_outage(unknown_ms, lasts_ms),
            Event::OutageEnds => self.end_outage(),
            Event::FaultsCease => self.are_faults_on = false,
            Event::Fault => self.fault(),
        }
    }

    /// The desktop of a target.
    pub(super) fn desktop_of(&self, target: Target) -> Desktop {
        self.tasks[target.task].desktops[target.ordinal as usize]
    }

    /// The desktop of a target that a message names; `None` if there is no such target.
    pub(super) fn owner_of(&self, target: Target) -> Option<Desktop> {
        self.tasks[target.task].desktops.get(target.ordinal as usize).copied()
    }

    /// Notes a fault of a desktop, which may explain that the end of its targets was never learnt.
    pub(super) fn fault_on(&mut self, desktop: Desktop) {
        self.agents[desktop].is_faulted = true;
    }

    /// Notes a fault of the desktop of a target.
    pub(super) fn fault_of(&mut self, target: Target) {
        self.fault_on(self.desktop_of(target));
    }

    /// Notes a fault that may reach every target.
    pub(super) const fn fault_everywhere(&mut self) {
        self.is_faulted = true;
    }

    /// The time of the use cases.
    pub(super) fn control_now(&self) -> Timestamp {
        self.clock.now + TimeDelta::milliseconds(self.control_offset_ms)
    }

    /// Notes a violation of an invariant over several tasks.
    pub(super) fn must(&mut self, holds: bool, invariant: &str, detail: impl FnOnce() -> String) {
        if !holds && self.violation.is_none() {
            self.violation = Some(format!("{invariant}: {}", detail()));
        }
    }

    /// The first violation of any invariant.
    pub(super) fn violation(&self) -> Option<String> {
        let of_tasks = self.tasks.iter().enumerate().find_map(|(task, state)| {
            let violation = state.invariants.violation()?;
            Some(if task == 0 { violation.to_owned() } else { format!("{violation} (task {task})") })
        });
        self.violation.clone().or(of_tasks)
    }

    /// Whether every task has ended, and none is to come.
    pub(super) fn has_ended(&self) -> bool {
        self.pending == 0 && self.tasks.iter().all(|state| state.invariants.has_ended())
    }

    /// The status of the first task.
    pub(super) fn status(&self) -> TaskStatus {
        let first = self.tasks.first().and_then(|state| self.store.tasks.get(&state.task_id));
        first.map_or(TaskStatus::Waiting, |table| table.facts.status)
    }

    /// Time after the beginning by which every task must have ended.
    pub(super) fn latest_end(&self) -> TimeDelta {
        // A window may open once a day, for the few targets that strict mode admits at once.
        // Retries begin later.
        let has_window = self.scenario.tasks().any(|task| task.policy.window.is_some());
        let retries = self.tasks.iter().map(|state| i32::from(state.attempt)).max().unwrap_or(1);
        self.scenario.faults.until + TimeDelta::days(if has_window { 60 } else { 3 }) * retries
    }
}
