//! Links: messages take their time, and while things break they are lost, doubled, late and out of order.

use super::{
    event::{Answer, Call, Ended, Event, Session, ToAgent, Worker},
    world::World,
};

/// What becomes of a message.
enum Passage {
    Lost,
    /// It comes after so many milliseconds, and once more after so many others.
    Comes(i64, Option<i64>),
}

impl World {
    /// Whether the dice lose something now.
    pub(super) fn is_lost(&mut self) -> bool {
        self.are_faults_on && self.dice.per_mille(self.scenario.faults.lost)
    }

    fn passage(&mut self) -> Passage {
        let delay = self.scenario.plant.delay_ms;
        let mut wait = self.dice.between(1, delay);
        if !self.are_faults_on {
            return Passage::Comes(wait, None);
        }
        if self.is_lost() {
            return Passage::Lost;
        }
        if self.dice.per_mille(self.scenario.faults.late) {
            self.promises.fault_everywhere();
            wait += self.dice.between(1_000, 90_000);
        }
        let again = self.dice.per_mille(self.scenario.faults.doubled);
        Passage::Comes(wait, again.then(|| self.dice.between(1, delay * 50)))
    }

    fn send(&mut self, wait: i64, again: Option<i64>, event: Event) {
        if let Some(again) = again {
            self.clock.after(again, event.clone());
        }
        self.clock.after(wait, event);
    }

    /// A call to whichever scheduler lives when it arrives.
    pub(super) fn send_call(&mut self, worker: Worker, call: Call) {
        match self.passage() {
            // A worker tells who came and went one call after the other, so an older one never comes again.
            Passage::Comes(wait, _) if matches!(call, Call::Presence { .. }) => {
                self.clock.after(wait, Event::Call { worker, call });
            }
            Passage::Comes(wait, again) => self.send(wait, again, Event::Call { worker, call }),
            Passage::Lost => match call {
                Call::Report { results, .. } => {
                    results.iter().for_each(|result| self.promises.fault(result.ordinal));
                }
                _ => self.promises.fault_everywhere(),
            },
        }
    }

    /// The answer to a call. A call may come twice and is then answered twice, but no answer comes twice: whoever calls
    /// listens for one.
    pub(super) fn answer(&mut self, worker: Worker, answer: Answer) {
        match self.passage() {
            Passage::Comes(wait, _) => self.clock.after(wait, Event::Answer { worker, answer }),
            Passage::Lost => {
                if let Answer::Batches(batches) = answer {
                    let ordinals = batches.iter().flat_map(|leased| &leased.ordinals);
                    ordinals.for_each(|&ordinal| self.promises.fault(ordinal));
                }
            }
        }
    }

    /// A message that is lost on a connection breaks it: neither side hears the other any more.
    fn breaks(&mut self, ordinal: u32, session: Session) {
        self.promises.fault(ordinal);
        let wait = self.dice.between(1, 15_000);
        self.clock.after(wait, Event::AgentLoses { ordinal, session });
    }

    pub(super) fn send_to_agent(&mut self, ordinal: u32, session: Session, message: ToAgent) {
        match self.passage() {
            Passage::Comes(wait, again) => {
                self.send(wait, again, Event::ToAgent { ordinal, session, message });
            }
            Passage::Lost => self.breaks(ordinal, session),
        }
    }

    /// A result to the worker that the agent is connected to, if it is.
    pub(super) fn send_to_worker(&mut self, ordinal: u32, results: Vec<Ended>) {
        let Some((worker, session)) = self.agents[ordinal as usize].session else { return };
        match self.passage() {
            Passage::Comes(wait, again) => {
                self.send(wait, again, Event::ToWorker { worker, ordinal, session, results });
            }
            Passage::Lost => self.breaks(ordinal, session),
        }
    }
}
