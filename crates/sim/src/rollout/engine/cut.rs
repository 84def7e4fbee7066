//! Opens the task's next wave when it is its turn, and hands targets to workers: as `scheduler::engine::cut` and
//! `waiting`.

use std::collections::BTreeMap;

use domain::{
    Timestamp,
    cut::{self, Placed, Timed},
    deadline,
    wave::WaveStatus,
};

use crate::rollout::{
    database::{Database, Terms, ordinals_of, worker_of},
    effect::Effect,
    sabotage::Sabotage,
};

impl Database {
    /// Whether there may be something to cut: as the statement `task::to_cut`.
    pub(in crate::rollout) fn has_to_cut(&self, now: Timestamp) -> bool {
        let is_held =
            (self.task.is_paused || self.task.is_frozen) && !self.sabotaged(Sabotage::AdmitWhileHeld);
        if self.task.status.admits_no_more() || is_held {
            return false;
        }
        let Some(row) = self.current().map(|place| &self.waves[place]) else { return false };
        let opening = &row.opening;
        let is_approved =
            !opening.needs_approval || opening.is_approved || self.sabotaged(Sabotage::IgnoreApproval);
        match row.state.status {
            WaveStatus::Open => row.cursor < row.state.size,
            WaveStatus::Pending => opening.opens_at.is_none_or(|opens_at| opens_at <= now) && is_approved,
            _ => false,
        }
    }

    /// One cut; true when another one may follow at once.
    pub(in crate::rollout) fn cut(&mut self, now: Timestamp) -> bool {
        if self.task.status.admits_no_more() || self.hold(now).is_some() {
            return false;
        }
        self.open_current(now);
        if self.live().iter().any(|&place| self.waves[place].state.admits_by_results()) {
            // Who waited for a place comes before who has not had a turn yet.
            self.hand_out(now);
        }
        self.admit(now)
    }

    /// Admits the next targets of the open wave.
    fn admit(&mut self, now: Timestamp) -> bool {
        self.relate();
        let open = self.current().filter(|&place| self.waves[place].state.status == WaveStatus::Open);
        let Some(place) = open else { return false };
        let number = self.admission(&self.waves[place].state);
        if number == 0 {
            return false;
        }
        let row = &mut self.waves[place];
        let (wave, first) = (row.wave, row.first + row.cursor);
        row.state.admitted += number;
        row.cursor += number;
        self.effects.push(Effect::Admitted { wave, first, number });
        let placed = (first..first + number).map(|ordinal| self.placed(ordinal)).collect();
        let deadlines = deadline::of_target(now, &self.task.timeouts, u32::from(self.task.scripts));
        self.hand_to_workers(Terms { wave, deadlines, maybe_handed: false }, placed, now);
        self.relate();
        self.admission(&self.waves[place].state) > 0
    }

    /// Hands out targets that waited for their desktops, now that these are back: of every wave that can still change,
    /// as many as there are places for. Those that hold a place already need none.
    pub(in crate::rollout) fn hand_out(&mut self, now: Timestamp) {
        for place in self.live() {
            self.relate();
            let row = &self.waves[place];
            let (wave, places) = (row.wave, self.late_admission(&row.state));
            let taken = self.take_reachable(wave, places, now);
            let mut groups: BTreeMap<_, (Terms, Vec<Placed>)> = BTreeMap::new();
            for (ordinal, terms) in taken {
                let key = (terms.maybe_handed, terms.deadlines.deliver_by, terms.deadlines.finish_by);
                let group = groups.entry(key).or_insert_with(|| (terms, Vec::new()));
                group.1.push(self.placed(ordinal));
            }
            for (mut terms, placed) in groups.into_values() {
                if !terms.maybe_handed {
                    terms.deadlines = deadline::after_waiting(terms.deadlines, now, &self.task.timeouts);
                    let ordinals = placed.iter().map(|target| target.ordinal).collect();
                    self.effects.push(Effect::Placed { ordinals });
                }
                self.hand_to_workers(terms, placed, now);
            }
        }
    }

    /// Stragglers whose desktop came online get their batch, as far as there are places.
    pub(in crate::rollout) fn cut_stragglers(&mut self, now: Timestamp) {
        if self.hold(now).is_none() || self.task.status.admits_no_more() {
            self.hand_out(now);
        }
    }

    /// Makes batches for the workers that hold the desktops, and stragglers of the rest and of those whose window is
    /// closed.
    pub(in crate::rollout) fn hand_to_workers(&mut self, terms: Terms, placed: Vec<Placed>, now: Timestamp) {
        for timed in self.by_window(placed, terms.deadlines, terms.maybe_handed, now) {
            let Timed { deadlines, not_before, targets } = timed;
            let terms = Terms { deadlines, ..terms };
            let mut cut = cut::cut(targets);
            if not_before.is_some() {
                let members = cut.batches.drain(..).flat_map(|(_, members)| members);
                cut.stragglers.extend(members);
            }
            self.insert_stragglers(terms, not_before, &ordinals_of(&cut.stragglers));
            for (worker, members) in cut.batches {
                if let Some(worker) = worker_of(&worker) {
                    self.insert_batch(terms, worker, &members);
                    self.wakes.ready = true;
                }
            }
        }
    }
}
