//! People: they pause, freeze, stop, change limits, and approve, some of them late.

use domain::wave::WaveStatus;
use engine::{Approval, Approved, Freeze, Suspension};

use super::{
    clock::beginning,
    coverage::Feature,
    effect::Effect,
    event::{Event, Wish},
    transaction::at_once,
    world::World,
};

/// Between the commit of a freeze and the hold of what was ready before.
const HOLD_AFTER_MS: i64 = 15;
/// Who asks for tasks.
const AUTHOR: &str = "alice";
/// Who approves them.
const APPROVER: &str = "bob";

impl World {
    /// Notes what people are going to do.
    pub(super) fn invite(&mut self) {
        let people = self.scenario.people.clone();
        let begin = beginning();
        for (from, to) in people.pauses {
            self.clock.at(begin + from, Event::Person(Wish::Pause));
            self.clock.at(begin + to, Event::Person(Wish::Resume));
        }
        if let Some((from, to)) = people.freeze {
            self.clock.at(begin + from, Event::Person(Wish::Freeze));
            self.clock.at(begin + to, Event::Person(Wish::Unfreeze));
        }
        for (at, most) in people.concurrency {
            self.clock.at(begin + at, Event::Person(Wish::Concurrency(most)));
        }
        for (at, ordinal) in people.target_stops {
            let ordinal = ordinal % self.scenario.desktops;
            self.clock.at(begin + at, Event::Person(Wish::StopTarget(ordinal)));
        }
        if let Some((at, kill)) = people.stop {
            self.clock.at(begin + at, Event::Person(Wish::Stop { kill }));
        }
    }

    /// A person's wish, as a use case in a transaction of its own.
    pub(super) fn person(&mut self, wish: Wish) {
        match wish {
            Wish::Pause => {
                if self.hold(true) {
                    self.promises.held(true);
                    self.coverage.add(Feature::Pause);
                }
            }
            Wish::Resume => {
                self.hold(false);
                self.promises.held(self.is_suspended());
            }
            Wish::Freeze => {
                self.store.freeze(&self.project_id);
                self.clock.after(HOLD_AFTER_MS, Event::Person(Wish::SuspendProject));
            }
            Wish::SuspendProject => self.suspend_project(),
            Wish::Unfreeze => self.release_project(),
            Wish::Stop { kill } => self.stop(kill),
            Wish::StopTarget(ordinal) => self.stop_target(ordinal),
            Wish::Concurrency(most) => self.set_max_concurrency(most),
            Wish::Approve(wave) => self.approve(wave),
        }
    }

    /// Pauses or resumes the task. Returns whether that changed anything.
    fn hold(&mut self, pauses: bool) -> bool {
        let (task_id, now) = (self.task_id, self.clock.now);
        let hold = if pauses {
            at_once(self.engine.pause(&mut self.store, task_id, AUTHOR, now))
        } else {
            at_once(self.engine.resume(&mut self.store, task_id, AUTHOR, now))
        };
        match hold {
            Suspension::Done(decision) => self.commit(decision.map(|decision| *decision)),
            Suspension::TooLate(_) => false,
        }
    }

    /// Whether people hold the task.
    fn is_suspended(&self) -> bool {
        let facts = self.store.task(self.task_id).map(|table| &table.facts);
        let is_frozen = self.store.is_frozen(&self.project_id);
        facts.is_some_and(|facts| (facts.is_paused || is_frozen) && !facts.status.admits_no_more())
    }

    fn suspend_project(&mut self) {
        let news = Some(Freeze { actor: AUTHOR, reason: "" });
        let now = self.clock.now;
        let held = at_once(self.engine.suspend_project(&mut self.store, &self.project_id, news, now));
        for decision in held {
            self.commit(Some(decision));
            self.promises.held(true);
            self.coverage.add(Feature::Freeze);
        }
    }

    fn release_project(&mut self) {
        let now = self.clock.now;
        let released = at_once(self.engine.release_project(&mut self.store, &self.project_id, AUTHOR, now));
        for decision in released.into_iter().flatten() {
            self.commit(Some(decision));
        }
        self.promises.held(self.is_suspended());
    }

    fn stop(&mut self, kills: bool) {
        let (task_id, now) = (self.task_id, self.clock.now);
        let stop = self.engine.stop_task(&mut self.store, task_id, kills, AUTHOR, "stopped", now);
        let decision = at_once(stop);
        if self.commit(decision) {
            self.coverage.add(if kills { Feature::Kill } else { Feature::Stop });
        }
    }

    fn stop_target(&mut self, ordinal: u32) {
        let (task_id, now) = (self.task_id, self.clock.now);
        let decision = at_once(self.engine.stop_target(&mut self.store, task_id, ordinal, 0, now));
        if decision.is_some() {
            self.effects.push(Effect::TargetStopped { ordinal });
            self.coverage.add(Feature::TargetStop);
        }
        self.commit(decision);
    }

    fn set_max_concurrency(&mut self, most: Option<u32>) {
        let (task_id, now) = (self.task_id, self.clock.now);
        let change = self.engine.set_max_concurrency(&mut self.store, task_id, most, AUTHOR, now);
        let decision = at_once(change);
        if self.commit(decision) {
            self.coverage.add(Feature::ConcurrencyChanged);
        }
    }

    /// Has someone look at a wave that waits for approval, once.
    pub(super) fn call_approver(&mut self) {
        let Some(row) = self.store.task(self.task_id).and_then(|table| table.current()) else { return };
        let waits =
            row.state.status == WaveStatus::Pending && row.opening.needs_approval && !row.opening.is_approved;
        let wave = row.wave;
        if waits && self.asked.insert(wave) {
            let wait = self.dice.between(1, self.scenario.people.approver_takes.num_milliseconds());
            self.clock.after(wait, Event::Person(Wish::Approve(wave)));
        }
    }

    fn approve(&mut self, wave: u16) {
        let approver = if self.dice.percent(20) { AUTHOR } else { APPROVER };
        let approval = Approval { wave, author: AUTHOR, approver, fits_plan: true, fits_scripts: true };
        let now = self.clock.now;
        match at_once(self.engine.approve(&mut self.store, self.task_id, &approval, now)) {
            Approved::Done(decision) => {
                if self.commit(decision.map(|decision| *decision)) {
                    self.promises.approved(wave);
                    self.coverage.add(Feature::Approval);
                }
            }
            Approved::TooLate => {}
            Approved::Refused(_) => {
                let wait = self.dice.between(10_000, 120_000);
                self.clock.after(wait, Event::Person(Wish::Approve(wave)));
            }
        }
    }
}
