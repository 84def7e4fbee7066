//! Orders on a desktop: taken in, answered from the journal, run script by script, stopped, finished.

use chrono::TimeDelta;
use domain::{Timestamp, outcome::Outcome};

use crate::rollout::{
    event::{Ended, Event, Order, Session, ToAgent},
    sabotage::Sabotage,
    state::{Active, Fate, Journal},
    world::World,
};

impl World {
    /// A message reaches the agent.
    pub(in crate::rollout) fn told(&mut self, ordinal: u32, session: Session, message: ToAgent) {
        let agent = &mut self.agents[ordinal as usize];
        if !agent.is_up || agent.session.is_none_or(|(_, current)| current != session) {
            return;
        }
        match message {
            ToAgent::Order(order) => self.accept(ordinal, order),
            ToAgent::Ack => {
                if let Journal::Finished { acked, .. } = &mut agent.journal {
                    *acked = true;
                }
            }
            ToAgent::Stop => {
                let Some(active) = &mut agent.active else { return };
                active.is_stopped = true;
                let Some(before) = active.ended.clone() else {
                    return self.nothing_runs(ordinal, Outcome::Stopped);
                };
                // The process tree is ended.
                let script = before.len();
                self.promises.ended(ordinal, script, (Outcome::Stopped, None));
                self.after_script(ordinal, before, (Outcome::Stopped, None));
            }
        }
    }

    fn accept(&mut self, ordinal: u32, order: Order) {
        let starts_anyway = self.sabotage == Some(Sabotage::StartWhenAsked);
        let agent = &mut self.agents[ordinal as usize];
        if agent.active.is_some() {
            return;
        }
        if let Journal::Finished { scripts, .. } = &agent.journal {
            let scripts = scripts.clone();
            return self.send_to_worker(ordinal, scripts);
        }
        agent.active = Some(Active { order, is_stopped: false, ended: None });
        if order.stop {
            return self.nothing_runs(ordinal, Outcome::Stopped);
        }
        if order.query_only && !starts_anyway {
            let scripts = vec![(Outcome::Skipped, None); agent.scripts.len()];
            return self.finish(ordinal, scripts);
        }
        let wait = self.dice.between(agent.slow_ms / 2, agent.slow_ms);
        if self.clock.now + TimeDelta::milliseconds(wait) > order.deliver_by {
            // Its refusal comes only when its turn does, which may be after the last moment for its result.
            self.promises.fault(ordinal);
        }
        self.clock.after(wait, Event::Begins { ordinal, life: agent.life });
    }

    /// Ends an order of which nothing runs.
    fn nothing_runs(&mut self, ordinal: u32, outcome: Outcome) {
        let number = self.agents[ordinal as usize].scripts.len();
        let mut scripts = vec![(outcome, None)];
        scripts.resize(number, (Outcome::Skipped, None));
        self.finish(ordinal, scripts);
    }

    /// The order's turn has come.
    pub(in crate::rollout) fn begin(&mut self, ordinal: u32, life: u32, now: Timestamp) {
        let agent = &mut self.agents[ordinal as usize];
        let Some(active) =
            agent.active.as_mut().filter(|active| agent.life == life && active.ended.is_none())
        else {
            return;
        };
        if active.order.deliver_by < now {
            return self.nothing_runs(ordinal, Outcome::Rejected);
        }
        active.ended = Some(Vec::new());
        self.start(ordinal, Vec::new());
    }

    /// Starts the script behind those that have ended: first in the journal, then in truth.
    fn start(&mut self, ordinal: u32, before: Vec<Ended>) {
        let agent = &mut self.agents[ordinal as usize];
        let Some(active) = &agent.active else { return };
        let (place, script, life) = (before.len(), agent.scripts[before.len()], agent.life);
        if active.is_stopped {
            return self.after_script(ordinal, before, (Outcome::Stopped, None));
        }
        if matches!(script.fate, Fate::Refused) {
            return self.after_script(ordinal, before, (Outcome::Rejected, None));
        }
        let order = active.order;
        agent.journal = Journal::Started(before);
        if let Some(table) = self.store.task(self.task_id) {
            self.promises.started(ordinal, place, order, self.clock.now, table);
        }
        let number = u16::try_from(place).unwrap_or(u16::MAX);
        self.clock.after(script.runs_ms, Event::ScriptEnds { ordinal, life, script: number });
    }

    /// A script ended by itself, or at its timeout.
    pub(in crate::rollout) fn script_ends(&mut self, ordinal: u32, life: u32, script: u16) {
        let agent = &self.agents[ordinal as usize];
        let place = usize::from(script);
        let ended = agent.active.as_ref().and_then(|active| active.ended.clone());
        let Some(before) = ended.filter(|before| agent.life == life && before.len() == place) else { return };
        let end = match agent.scripts[place].fate {
            Fate::Exits(code) if self.succeeds(code) => (Outcome::Success, Some(code)),
            Fate::Exits(code) => (Outcome::Failed, Some(code)),
            Fate::Hangs => (Outcome::Timeout, None),
            Fate::Refused => return,
        };
        self.promises.ended(ordinal, place, end);
        self.after_script(ordinal, before, end);
    }

    fn succeeds(&self, code: i32) -> bool {
        code == 0 || self.scenario.policy.success_exit_codes.contains(&code)
    }

    /// The next script, or the end.
    fn after_script(&mut self, ordinal: u32, before: Vec<Ended>, end: Ended) {
        let agent = &mut self.agents[ordinal as usize];
        let number = agent.scripts.len();
        let mut ended = before;
        ended.push(end);
        if end.0 == Outcome::Success && ended.len() < number {
            if let Some(active) = &mut agent.active {
                active.ended = Some(ended.clone());
            }
            return self.start(ordinal, ended);
        }
        ended.resize(number, (Outcome::Skipped, None));
        self.finish(ordinal, ended);
    }

    fn finish(&mut self, ordinal: u32, scripts: Vec<Ended>) {
        let agent = &mut self.agents[ordinal as usize];
        agent.active = None;
        agent.journal = Journal::Finished { scripts, acked: false };
        self.send_result(ordinal);
    }
}
