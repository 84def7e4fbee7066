//! The world of one story: everything in it, and what each event does to it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use domain::{
    desktop::Stratum,
    ids::DesktopId,
    plan::{self, Candidate, Gray, Plan},
    stratum::StratumKey,
};

use super::{
    agent::Agent,
    clock::Clock,
    coverage::{Coverage, Feature},
    database::Database,
    dice::Dice,
    engine::Scheduler,
    event::{Event, Session},
    promises::Promises,
    sabotage::Sabotage,
    scenario::{Scenario, Waves},
    trace::Trace,
    worker::WorkerState,
};

/// The stream of dice that a story is played with.
const STREAM: u64 = 2;

/// Everything in a story.
#[derive(Debug)]
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) clock: Clock,
    pub(super) dice: Dice,
    pub(super) database: Database,
    pub(super) schedulers: Vec<Scheduler>,
    pub(super) workers: Vec<WorkerState>,
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
        let plan = planned(scenario)?;
        let agents = (0..scenario.desktops).map(|_| Agent::new(scenario, &mut dice)).collect();
        let database = Database::new(scenario, plan, clock.now, sabotage);
        let schedulers = (0..scenario.plant.schedulers.max(1)).map(|_| Scheduler::new(clock.now));
        let mut world = Self {
            scenario: scenario.clone(),
            sabotage,
            schedulers: schedulers.collect(),
            promises: Promises::new(scenario, &database),
            clock,
            dice,
            database,
            workers: Vec::new(),
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
        let effects = std::mem::take(&mut self.database.effects);
        for effect in effects {
            self.promises.see(&effect, &self.database, &mut self.coverage);
            self.trace.effect(effect);
        }
        self.ring();
        self.call_approver();
        self.promises.check(&self.database, &mut self.coverage);
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

    /// When a story that goes on is one that never ends.
    pub(super) fn latest_end(&self) -> TimeDelta {
        // A window may open once a day for the few that strict mode lets go at once.
        let days = if self.scenario.policy.window.is_some() { 60 } else { 3 };
        self.scenario.faults.until + TimeDelta::days(days)
    }
}

/// The plan of the scenario's task.
fn planned(scenario: &Scenario) -> Result<Plan, domain::Error> {
    let traits = |number: u32| Stratum {
        os_type: ["Linux", "Windows"][number as usize % 2].to_owned(),
        pool_id: format!("pool-{}", number % 3),
        availability_zone: String::new(),
    };
    let candidates = (0..scenario.desktops)
        .map(|number| {
            let desktop_id: DesktopId = format!("sim-{number:05}").parse()?;
            Ok(Candidate { desktop_id, stratum: traits(number) })
        })
        .collect::<Result<Vec<_>, domain::Error>>()?;
    let by = [StratumKey::Os, StratumKey::Pool];
    match &scenario.waves {
        Waves::One => plan::plan(candidates, None, &by, scenario.seed),
        Waves::Gray { count, fail_threshold } => {
            let gray = Gray { count: *count, ids: Vec::new(), fail_threshold: *fail_threshold };
            plan::plan(candidates, Some(&gray), &by, scenario.seed)
        }
        Waves::Asked(specs) => plan::plan_waves(candidates, specs, &by, scenario.seed),
    }
}
