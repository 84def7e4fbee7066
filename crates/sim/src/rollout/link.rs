//! Links: messages take time, and during faults they are lost, duplicated, late and out of order.

use super::{
    event::{Answer, Call, Desktop, Event, Session, Target, TargetResult, ToAgent, Worker},
    world::World,
};

/// The fate of a message.
enum Passage {
    Lost,
    /// It arrives after this many milliseconds, and a copy after that many.
    Arrives(i64, Option<i64>),
}

impl World {
    /// Whether a message is lost now.
    pub(super) fn is_lost(&mut self) -> bool {
        self.are_faults_on && self.rng.per_mille(self.scenario.faults.lost)
    }

    fn passage(&mut self) -> Passage {
        let delay = self.scenario.cluster.delay_ms;
        let mut wait = self.rng.between(1, delay);
        if !self.are_faults_on {
            return Passage::Arrives(wait, None);
        }
        if self.is_lost() {
            return Passage::Lost;
        }
        if self.rng.per_mille(self.scenario.faults.late) {
            self.fault_everywhere();
            wait += self.rng.between(1_000, 90_000);
        }
        let again = self.rng.per_mille(self.scenario.faults.doubled);
        Passage::Arrives(wait, again.then(|| self.rng.between(1, delay * 50)))
    }

    fn send(&mut self, wait: i64, again: Option<i64>, event: Event) {
        if let Some(again) = again {
            self.clock.after(again, event.clone());
        }
        self.clock.after(wait, event);
    }

    /// Sends a call to any scheduler that lives when the call arrives.
    pub(super) fn send_call(&mut self, worker: Worker, call: Call) {
        let most = self.scenario.cluster.delay_ms;
        let passage = self.passage();
        let is_disturbed = match passage {
            Passage::Lost => true,
            Passage::Arrives(wait, again) => wait > most || again.is_some(),
        };
        if is_disturbed && matches!(call, Call::Heartbeat { .. }) {
            self.workers[worker].heartbeat_disturbed_at = Some(self.clock.now);
        }
        match passage {
            // A worker sends one presence update at a time, so that an older one never comes after
            // it.
            Passage::Arrives(wait, _) if matches!(call, Call::Presence { .. }) => {
                self.clock.after(wait, Event::Call { worker, call });
            }
            Passage::Arrives(wait, again) => self.send(wait, again, Event::Call { worker, call }),
            Passage::Lost => match call {
                Call::Report { results, .. } => {
                    results.iter().for_each(|result| self.fault_on(result.desktop));
                }
                _ => self.fault_everywhere(),
            },
        }
    }

    /// Sends the answer to a call. A call that arrives twice is answered twice, but no answer
    /// arrives twice.
    pub(super) fn answer(&mut self, worker: Worker, answer: Answer) {
        match self.passage() {
            Passage::Arrives(wait, _) => self.clock.after(wait, Event::Answer { worker, answer }),
            Passage::Lost => {
                let Answer::Batches(batches) = answer else { return };
                for leased in batches {
                    for member in leased.members {
                        self.fault_of(Target { task: leased.task, ordinal: member.ordinal });
                    }
                }
            }
        }
    }

    /// A lost message breaks its connection: neither side hears the other any more.
    fn breaks(&mut self, desktop: Desktop, session: Session) {
        self.fault_on(desktop);
        let wait = self.rng.between(1, 15_000);
        self.clock.after(wait, Event::AgentLoses { desktop, session });
    }

    pub(super) fn send_to_agent(&mut self, desktop: Desktop, session: Session, message: ToAgent) {
        match self.passage() {
            Passage::Arrives(wait, again) => {
                self.send(wait, again, Event::ToAgent { desktop, session, message });
            }
            Passage::Lost => self.breaks(desktop, session),
        }
    }

    /// Sends the result of a target to the worker that the agent is connected to, if any. A
    /// poisoned result may name another target.
    pub(super) fn send_to_worker(&mut self, target: Target, result: TargetResult) {
        let desktop = self.desktop_of(target);
        let targets = self.tasks[target.task].desktops.len();
        let target = result
            .poison
            .map_or(target, |poison| Target { ordinal: poison.named(target.ordinal, targets), ..target });
        let Some((worker, session)) = self.agents[desktop].session else { return };
        match self.passage() {
            Passage::Arrives(wait, again) => {
                self.send(wait, again, Event::ToWorker { worker, desktop, session, target, result });
            }
            Passage::Lost => self.breaks(desktop, session),
        }
    }
}
