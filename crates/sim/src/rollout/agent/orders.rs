//! Orders on a desktop: accepted, answered from the journal, queued, run script by script, stopped,
//! finished.

use chrono::TimeDelta;
use domain::{outcome::Outcome, return_policy::PostFinish};

use crate::rollout::{
    coverage::Feature,
    event::{Desktop, Event, Order, ScriptOutcome, Session, Target, TargetResult, Task, ToAgent},
    invariants::Start,
    mutant::Mutant,
    state::{Active, Journal, ScriptEnd},
    world::World,
};

impl World {
    /// A message reaches the agent.
    pub(in crate::rollout) fn receive(&mut self, desktop: Desktop, session: Session, message: ToAgent) {
        let agent = &mut self.agents[desktop];
        if !agent.is_up || agent.session.is_none_or(|(_, current)| current != session) {
            return;
        }
        match message {
            ToAgent::Order(order) => self.accept(desktop, order),
            ToAgent::Acknowledge(target, scripts) => self.acknowledged(desktop, target, scripts),
            ToAgent::Stop(target) => {
                let Some(active) = agent.active.get_mut(&target.task) else { return };
                active.is_stopped = true;
                let Some(before) = active.ended.clone() else {
                    return self.finish_unstarted(target, Outcome::Stopped);
                };
                // The process tree is killed.
                let script = before.len();
                self.script_ended(target, script, (Outcome::Stopped, None));
                self.after_script(target, before, (Outcome::Stopped, None));
            }
        }
    }

    /// The result is stored. A desktop that has to reboot may do so from now on.
    fn acknowledged(&mut self, desktop: Desktop, target: Target, scripts: usize) {
        let agent = &mut self.agents[desktop];
        let Some(
            Journal::Finished { target: known, result, is_acknowledged }
            | Journal::Paused { target: known, result, is_acknowledged },
        ) = agent.journal.get_mut(&target.task)
        else {
            return;
        };
        if *known != target || result.scripts.len() != scripts || std::mem::replace(is_acknowledged, true) {
            return;
        }
        let Some(boot) = result.reboots_from.filter(|boot| *boot == agent.boot) else { return };
        let until = self.agent_time(desktop) + self.tasks[target.task].spec.policy.returns.timeout();
        let wait = self.rng.between(1, 3_000);
        self.clock.after(wait, Event::PlannedReboot { desktop, boot, until });
    }

    fn accept(&mut self, desktop: Desktop, order: Order) {
        let starts_anyway = self.mutant == Some(Mutant::StartWhenAsked);
        let agent = &mut self.agents[desktop];
        let Target { task, .. } = order.target;
        if agent.active.contains_key(&task) {
            return;
        }
        if let Some(result) = agent.result_of(task) {
            let result = result.clone();
            return self.send_to_worker(order.target, result);
        }
        let resumes = agent.resumed(task).map(<[_]>::to_vec);
        agent.active.insert(task, Active { order, is_stopped: false, ended: None, resumes: resumes.clone() });
        if order.is_stopped {
            return self.finish_unstarted(order.target, Outcome::Stopped);
        }
        if order.query_only && !starts_anyway {
            let mut scripts = resumes.unwrap_or_default();
            scripts.resize(self.tasks[task].spec.scripts.into(), (Outcome::Skipped, None));
            return self.finish(order.target, scripts);
        }
        let (life, slow_ms) = (agent.life, agent.slow_ms);
        let wait = self.rng.between(slow_ms / 2, slow_ms);
        if self.agent_time(desktop) + TimeDelta::milliseconds(wait) > order.deliver_by {
            // The agent rejects the order only at its turn, which may be after the last moment for
            // a result.
            self.fault_on(desktop);
        }
        self.clock.after(wait, Event::Begins { desktop, task, life });
    }

    /// Ends an order of which nothing runs.
    fn finish_unstarted(&mut self, target: Target, outcome: Outcome) {
        let mut scripts = self.before(target);
        scripts.push((outcome, None));
        scripts.resize(self.tasks[target.task].spec.scripts.into(), (Outcome::Skipped, None));
        self.finish(target, scripts);
    }

    /// Outcomes of the scripts that an order does not run any more: in an earlier attempt they
    /// succeeded, or they ended before a reboot.
    fn before(&self, target: Target) -> Vec<ScriptOutcome> {
        let active = self.agents[self.desktop_of(target)].active.get(&target.task);
        let resumes = active.and_then(|active| active.resumes.clone());
        resumes.unwrap_or_else(|| vec![(Outcome::Success, None); self.first_script(target)])
    }

    /// The first script that the agent runs of an order.
    fn first_script(&self, target: Target) -> usize {
        let active = self.agents[self.desktop_of(target)].active.get(&target.task);
        let first = active.map_or(0, |active| active.order.first_script);
        if self.mutant == Some(Mutant::RunEarlierScripts) { 0 } else { first.into() }
    }

    /// The turn of an order comes. It waits while too many others run.
    pub(in crate::rollout) fn begin_order(&mut self, desktop: Desktop, task: Task, life: u32) {
        let now = self.agent_time(desktop);
        let ignores_limit = self.mutant == Some(Mutant::IgnoreMaxRunning);
        let agent = &mut self.agents[desktop];
        let running = agent.running();
        let active = agent.active.get_mut(&task).filter(|active| active.ended.is_none());
        let Some(active) = active.filter(|_| agent.life == life) else { return };
        let target = active.order.target;
        let most = active.order.max_running.map_or(usize::MAX, usize::from);
        if running >= most && !ignores_limit {
            agent.queue.push_back(task);
            self.coverage.add(Feature::DesktopBusy);
            return self.fault_on(desktop);
        }
        if active.order.deliver_by < now && active.resumes.is_none() {
            return self.finish_unstarted(target, Outcome::Rejected);
        }
        active.ended = Some(Vec::new());
        let before = self.before(target);
        self.start(target, before);
    }

    /// Starts the script after those that have ended: first in the journal, then on the desktop.
    fn start(&mut self, target: Target, before: Vec<ScriptOutcome>) {
        let desktop = self.desktop_of(target);
        let place = before.len();
        let script = self.tasks[target.task].scripts[target.ordinal as usize][place];
        let agent = &mut self.agents[desktop];
        let Some(active) = agent.active.get_mut(&target.task) else { return };
        if active.is_stopped {
            return self.after_script(target, before, (Outcome::Stopped, None));
        }
        if matches!(script.end, ScriptEnd::Refused) {
            return self.after_script(target, before, (Outcome::Rejected, None));
        }
        let (order, life) = (active.order, agent.life);
        active.ended = Some(before.clone());
        agent.journal.insert(target.task, Journal::Started { target, before });
        self.check_start(target, place, order);
        let number = u16::try_from(place).unwrap_or(u16::MAX);
        let event = Event::ScriptEnds { desktop, task: target.task, life, script: number };
        self.clock.after(script.runs_ms, event);
    }

    /// A script starts: checks the invariants of its task, and those over all tasks.
    fn check_start(&mut self, target: Target, script: usize, order: Order) {
        let desktop = self.desktop_of(target);
        let skew = TimeDelta::milliseconds(self.scenario.cluster.skew_ms);
        let state = &mut self.tasks[target.task];
        if let Some(table) = self.store.tasks.get(&state.task_id) {
            let start = Start { ordinal: target.ordinal, desktop, script, now: self.clock.now, skew };
            state.invariants.started(&start, &order, table);
        }
        self.check_running(target, desktop);
        self.check_not_repeated(target, script);
    }

    fn script_ended(&mut self, target: Target, script: usize, end: ScriptOutcome) {
        self.tasks[target.task].invariants.ended(target.ordinal, script, end);
    }

    /// A script ends, or reaches its timeout.
    pub(in crate::rollout) fn script_ends(&mut self, desktop: Desktop, task: Task, life: u32, script: u16) {
        let agent = &self.agents[desktop];
        let place = usize::from(script);
        let Some(active) = agent.active.get(&task).filter(|_| agent.life == life) else { return };
        let target = active.order.target;
        let Some(before) = active.ended.clone().filter(|before| before.len() == place) else { return };
        let end = match self.tasks[task].scripts[target.ordinal as usize][place].end {
            ScriptEnd::Exits(code) if self.succeeds(task, code) => (Outcome::Success, Some(code)),
            ScriptEnd::Exits(code) => (Outcome::Failed, Some(code)),
            ScriptEnd::Hangs => (Outcome::Timeout, None),
            ScriptEnd::Refused => return,
        };
        self.script_ended(target, place, end);
        self.after_script(target, before, end);
    }

    fn succeeds(&self, task: Task, code: i32) -> bool {
        code == 0 || self.tasks[task].spec.policy.all_success_exit_codes().contains(&code)
    }

    /// Starts the next script, or ends the target.
    fn after_script(&mut self, target: Target, before: Vec<ScriptOutcome>, end: ScriptOutcome) {
        let number = usize::from(self.tasks[target.task].spec.scripts);
        let mut ended = before;
        ended.push(end);
        if end.0 == Outcome::Success && ended.len() < number {
            if self.asks_for_reboot(target.task, end) {
                return self.pause(target, ended);
            }
            return self.start(target, ended);
        }
        ended.resize(number, (Outcome::Skipped, None));
        self.finish(target, ended);
    }

    /// Whether the end of a script asks for a reboot of the desktop.
    fn asks_for_reboot(&self, task: Task, (outcome, code): ScriptOutcome) -> bool {
        let codes = &self.tasks[task].spec.policy.returns.reboot_exit_codes;
        outcome == Outcome::Success && code.is_some_and(|code| codes.contains(&code))
    }

    /// Stores the results before a reboot, and reports them.
    fn pause(&mut self, target: Target, ended: Vec<ScriptOutcome>) {
        self.coverage.add(Feature::Paused);
        let result = self.announcing(target, ended);
        let journal = Journal::Paused { target, result, is_acknowledged: false };
        self.put(target, journal);
    }

    /// A result that announces a reboot.
    fn announcing(&mut self, target: Target, scripts: Vec<ScriptOutcome>) -> TargetResult {
        let boot = self.agents[self.desktop_of(target)].boot;
        self.tasks[target.task].invariants.announced(target.ordinal, boot);
        self.result_before(target, scripts, Some(boot))
    }

    fn finish(&mut self, target: Target, scripts: Vec<ScriptOutcome>) {
        let reboots = self.tasks[target.task].spec.policy.returns.post_finish == Some(PostFinish::Reboot);
        let is_run = |(outcome, _): &ScriptOutcome| {
            matches!(outcome, Outcome::Success | Outcome::Failed | Outcome::Timeout)
        };
        let ran = scripts.iter().skip(self.first_script(target)).any(is_run)
            && scripts.iter().all(|(outcome, _)| *outcome != Outcome::Stopped);
        let asks = scripts.last().is_some_and(|last| self.asks_for_reboot(target.task, *last));
        let result = if ran && (reboots || asks) {
            self.announcing(target, scripts)
        } else {
            self.result(target, scripts)
        };
        self.put(target, Journal::Finished { target, result, is_acknowledged: false });
    }

    /// Journals the end of an order on the desktop, and reports it. The next order gets its turn.
    fn put(&mut self, target: Target, journal: Journal) {
        let desktop = self.desktop_of(target);
        let agent = &mut self.agents[desktop];
        agent.active.remove(&target.task);
        agent.journal.insert(target.task, journal);
        let life = agent.life;
        let waits = |task: &Task| agent.active.get(task).is_some_and(|active| active.ended.is_none());
        let next = std::iter::from_fn(|| agent.queue.pop_front()).find(waits);
        if let Some(task) = next {
            self.clock.after(0, Event::Begins { desktop, task, life });
        }
        self.send_result(desktop, target.task);
    }
}
