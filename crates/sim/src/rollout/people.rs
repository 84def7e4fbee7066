//! People: they pause, freeze, stop, change limits, and approve, some of them late.

use domain::{
    opening::{ApprovalRequest, check_approval},
    wave::{WaveStatus, WaveTerms},
};

use super::{
    clock::beginning,
    coverage::Feature,
    event::{Event, Wish},
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

    /// A person's wish, as a use case of its own transaction.
    pub(super) fn person(&mut self, wish: Wish) {
        let now = self.clock.now;
        let database = &mut self.database;
        match wish {
            Wish::Pause => {
                if database.pause() {
                    self.promises.held(true);
                    self.coverage.add(Feature::Pause);
                }
            }
            Wish::Resume => {
                database.resume(now);
                self.promises.held(self.database.is_held());
            }
            Wish::Freeze => {
                database.task.is_frozen = true;
                self.clock.after(HOLD_AFTER_MS, Event::Person(Wish::HoldProject));
            }
            Wish::HoldProject => {
                if !database.task.is_frozen {
                    return;
                }
                database.hold_project();
                if !database.task.status.admits_no_more() {
                    self.promises.held(true);
                    self.coverage.add(Feature::Freeze);
                }
            }
            Wish::Unfreeze => {
                database.unfreeze(now);
                self.promises.held(self.database.is_held());
            }
            Wish::Stop { kill } => {
                if database.stop(kill, now) {
                    self.coverage.add(if kill { Feature::Kill } else { Feature::Stop });
                }
            }
            Wish::StopTarget(ordinal) => {
                if database.stop_target(ordinal, now) {
                    self.coverage.add(Feature::TargetStop);
                }
            }
            Wish::Concurrency(most) => {
                if database.task.status.is_ended() {
                    return;
                }
                database.set_concurrency(most);
                self.coverage.add(Feature::ConcurrencyChanged);
            }
            Wish::Approve(wave) => self.approve(wave),
        }
    }

    /// Has someone look at a wave that waits for approval, once.
    pub(super) fn call_approver(&mut self) {
        let Some(row) = self.database.current().map(|place| &self.database.waves[place]) else { return };
        let waits =
            row.state.status == WaveStatus::Pending && row.opening.needs_approval && !row.opening.is_approved;
        let wave = row.wave;
        if waits && self.asked.insert(wave) {
            let wait = self.dice.between(1, self.scenario.people.approver_takes.num_milliseconds());
            self.clock.after(wait, Event::Person(Wish::Approve(wave)));
        }
    }

    fn approve(&mut self, wave: u16) {
        if self.database.task.status.admits_no_more() {
            return;
        }
        let approver = if self.dice.percent(20) { AUTHOR } else { APPROVER };
        let current = self.database.current().map(|place| self.database.waves[place].wave);
        let row = self.database.row_of(wave);
        let is_next = current == Some(wave) && row.state.status == WaveStatus::Pending;
        let request = ApprovalRequest {
            wave,
            is_next: is_next || row.opening.is_approved,
            opening: &row.opening,
            author: AUTHOR,
            approver,
            distinct_approver: self.scenario.policy.approval.distinct_approver,
            fits_plan: true,
            fits_scripts: true,
        };
        if check_approval(&request).is_err() {
            let wait = self.dice.between(10_000, 120_000);
            return self.clock.after(wait, Event::Person(Wish::Approve(wave)));
        }
        row.opening.is_approved = true;
        self.database.wakes.cut = true;
        self.promises.approved(wave);
        self.coverage.add(Feature::Approval);
    }
}

impl super::database::Database {
    /// How many targets may be in flight from now on. What is in flight already stays so.
    fn set_concurrency(&mut self, most: Option<u32>) {
        self.task.max_concurrency = most;
        let terms = WaveTerms::new(&self.task.policy, most);
        self.waves.iter_mut().for_each(|row| row.state.terms = terms);
        self.wakes.cut = true;
        self.wakes.presence = true;
    }
}
