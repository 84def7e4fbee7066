//! The world of one story: everything in it, and what each event does to it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use domain::{
    ids::{DesktopId, ProjectId, TaskId, WorkerId},
    task::TaskStatus,
};
use engine::Engine;

use super::{
    clock::Clock,
    coverage::{Coverage, Feature},
    dice::Dice,
    effect::Effect,
    event::{Event, Session},
    promises::Promises,
    rows,
    sabotage::{Deliberate, Sabotage},
    scenario::Scenario,
    state::{Agent, Scheduler, WorkerState},
    trace::Trace,
};
use crate::memory::MemoryStore;

/// The stream of dice that a story is played with.
const STREAM: u64 = 2;

/// Everything in a story.
#[derive(Debug)]
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) clock: Clock,
    pub(super) dice: Dice,
    pub(super) store: MemoryStore,
    pub(super) engine: Engine<Deliberate>,
    pub(super) task_id: TaskId,
    pub(super) project_id: ProjectId,
    /// By ordinal.
    pub(super) desktop_ids: Vec<DesktopId>,
    /// What transactions did in this event.
    pub(super) effects: Vec<Effect>,
    pub(super) schedulers: Vec<Scheduler>,
    pub(super) workers: Vec<WorkerState>,
    /// By worker.
    pub(super) worker_ids: Vec<WorkerId>,
    /// By ordinal.
    pub(super) agents: Vec<Agent>,
    pub(super) sessions: Session,
    /// Which agent each connection is of.
    pub(super) installs: BTreeMap<Session, u32>,
    /// Waves that an approver was called to.
    pub(super) asked: BTreeSet<u16>,
    pub(super) are_faults_on: bool,
    pub(super) promises: Promises,
    pub(super) coverage: Coverage,
    pub(super) trace: Trace,
}

impl World {
    /// The world at the moment at which its task was accepted.
    pub(super) fn new(
        scenario: &Scenario,
        sabotage: Option<Sabotage>,
        trace: Trace,
    ) -> Result<Self, domain::Error> {
        let clock = Clock::new();
        let mut dice = Dice::new(scenario.seed, STREAM);
        let rows::Rows { store, task_id, project_id, desktop_ids } = rows::of_scenario(scenario, clock.now)?;
        let agents = (0..scenario.desktops).map(|_| Agent::new(scenario, &mut dice)).collect();
        let schedulers = (0..scenario.plant.schedulers.max(1)).map(|_| Scheduler::new(clock.now));
        let mut world = Self {
            scenario: scenario.clone(),
            sabotage,
            schedulers: schedulers.collect(),
            promises: Promises::new(scenario, store.task(task_id).map_or(0, |table| table.waves.len())),
            clock,
            dice,
            store,
            engine: Engine::with_faults(Deliberate::new(sabotage)),
            task_id,
            project_id,
            desktop_ids,
            effects: Vec::new(),
            workers: Vec::new(),
            worker_ids: Vec::new(),
            agents,
            sessions: 0,
            installs: BTreeMap::new(),
            asked: BTreeSet::new(),
            are_faults_on: false,
            coverage: Coverage::default(),
            trace,
        };
        world.begin_all();
        Ok(world)
    }

    fn begin_all(&mut self) {
        for _ in 0..self.scenario.plant.workers.max(1) {
            self.start_worker();
        }
        for ordinal in 0..self.scenario.desktops {
            if !self.dice.percent(self.scenario.fleet.away) {
                let wait = self.dice.between(0, 800);
                self.clock.after(wait, Event::AgentConnects { ordinal });
            } else if !self.dice.percent(self.scenario.fleet.never) {
                let wait = self.dice.between(1_000, self.scenario.fleet.back_within.num_milliseconds());
                self.clock.after(wait, Event::AgentConnects { ordinal });
            }
        }
        for scheduler in 0..self.schedulers.len() {
            self.start_scheduler(scheduler);
        }
        self.invite();
        self.plan_faults();
        if self.scenario.desktops >= 1_000 {
            self.coverage.add(Feature::Thousands);
        }
    }

    /// The next event; false when nothing more will ever happen.
    pub(super) fn step(&mut self) -> bool {
        let Some(event) = self.clock.next() else { return false };
        self.trace.event(self.clock.elapsed_ms(), &event);
        self.happen(event);
        let effects = std::mem::take(&mut self.effects);
        if let Some(table) = self.store.task(self.task_id) {
            for effect in effects {
                self.promises.see(&effect, table, &mut self.coverage);
                self.trace.effect(effect);
            }
        }
        self.ring();
        self.call_approver();
        if let Some(table) = self.store.task(self.task_id) {
            self.promises.check(table, &mut self.coverage);
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::CutTick { scheduler } => self.cut_tick(scheduler),
            Event::ReapTick { scheduler } => self.reap_tick(scheduler),
            Event::Act { scheduler, life, now, act } => self.act(scheduler, life, now, act),
            Event::SchedulerDies { scheduler } => self.kill_scheduler(scheduler),
            Event::SchedulerReturns { scheduler } => self.start_scheduler(scheduler),
            Event::Heartbeat { worker } => self.heartbeat(worker),
            Event::Renewal { worker } => self.renew(worker),
            Event::Pull { worker } => self.pull(worker, true),
            Event::Tell { worker } => self.tell(worker),
            Event::Flush { worker } => self.flush(worker),
            Event::SendAgain { worker, report } => self.send_report(worker, report),
            Event::TellAgain { worker, tell } => self.has_told(worker, tell, false),
            Event::WorkerDies { worker } => self.kill_worker(worker),
            Event::WorkerDrains { worker } => self.drain_worker(worker),
            Event::WorkerStarts => self.start_worker(),
            Event::Call { worker, call } => self.call(worker, call),
            Event::Answer { worker, answer } => self.answered(worker, answer),
            Event::ToAgent { ordinal, session, message } => self.told(ordinal, session, message),
            Event::ToWorker { worker, ordinal, session, results } => {
                self.take_result(worker, ordinal, session, results);
            }
            Event::SessionEnds { worker, ordinal, session } => self.end_session(worker, ordinal, session),
            Event::AgentLoses { ordinal, session } => self.lose_session(ordinal, session),
            Event::AgentConnects { ordinal } => self.connect(ordinal),
            Event::AgentLeaves { ordinal, away_ms } => self.leave(ordinal, away_ms),
            Event::AgentReboots { ordinal, away_ms } if self.agents[ordinal as usize].is_up() => {
                self.reboot(ordinal, away_ms);
            }
            Event::AgentReboots { .. } => {}
            Event::AgentReturns { ordinal } => self.come_back(ordinal),
            Event::Begins { ordinal, life } => self.begin(ordinal, life, self.clock.now),
            Event::ScriptEnds { ordinal, life, script } => self.script_ends(ordinal, life, script),
            Event::Person(wish) => self.person(wish),
            Event::FaultsCease => self.are_faults_on = false,
            Event::Fault => self.fault(),
        }
    }

    /// The status of the task.
    pub(super) fn status(&self) -> TaskStatus {
        self.store.task(self.task_id).map_or(TaskStatus::Waiting, |table| table.facts.status)
    }

    /// When a story that goes on is one that never ends.
    pub(super) fn latest_end(&self) -> TimeDelta {
        // A window may open once a day for the few that strict mode lets go at once.
        let days = if self.scenario.policy.window.is_some() { 60 } else { 3 };
        self.scenario.faults.until + TimeDelta::days(days)
    }
}
