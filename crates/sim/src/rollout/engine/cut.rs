//! Opens the task's next wave when it is its turn, and hands targets to workers: as `scheduler::engine::cut` and
//! `waiting`.

use std::collections::BTreeMap;

use domain::{
    Timestamp,
    cut::{self, Member, Placed, Timed},
    deadline, limits,
    outcome::Outcome,
    wave::WaveStatus,
};

use crate::rollout::{
    database::{Database, Terms, ordinals_of, worker_of},
    effect::Effect,
    sabotage::Sabotage,
};

/// What a project leaves of its targets in flight, while its limit is locked.
struct Room(Option<u32>);

impl Room {
    /// As many of these as there is room for.
    fn of(&self, wanted: u32) -> u32 {
        self.0.map_or(wanted, |room| room.min(wanted))
    }

    fn take(&mut self, taken: u32) {
        self.0 = self.0.map(|room| room.saturating_sub(taken));
    }
}

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
        let mut room = self.room();
        let by_results = self.live().iter().any(|&place| self.waves[place].state.admits_by_results());
        if by_results || room.0.is_some() {
            // Who waited for a place comes before who has not had a turn yet.
            self.hand_out(&mut room, now);
        }
        self.admit(&mut room, now);
        self.settle_waiting(now);
        self.relate();
        let current = self.current().map(|place| &self.waves[place].state);
        current.is_some_and(|state| room.of(self.admission(state)) > 0)
    }

    /// Admits the next targets of the open wave.
    fn admit(&mut self, room: &mut Room, now: Timestamp) {
        self.relate();
        let open = self.current().filter(|&place| self.waves[place].state.status == WaveStatus::Open);
        let Some(place) = open else { return };
        let number = room.of(self.admission(&self.waves[place].state));
        if number == 0 {
            return;
        }
        let row = &mut self.waves[place];
        let (wave, first) = (row.wave, row.first + row.cursor);
        row.state.admitted += number;
        row.cursor += number;
        self.effects.push(Effect::Admitted { wave, first, number });
        let (stopped, others) = self.before_start((first..first + number).collect());
        let placed = others.into_iter().map(|ordinal| self.placed(ordinal, false)).collect();
        let deadlines = self.fresh(now);
        let handed = self.hand_to_workers(Terms { wave, deadlines, maybe_handed: false }, placed, now);
        room.take(handed.targets);
        if !stopped.is_empty() {
            self.store_outcomes(stopped, now);
        }
    }

    /// Hands out targets that waited for their desktops, now that these are back: of every wave that can still change,
    /// as many as there are places for. Those that hold a place already need none.
    fn hand_out(&mut self, room: &mut Room, now: Timestamp) {
        let mut replaced = Vec::new();
        for place in self.live() {
            self.relate();
            let row = &self.waves[place];
            let (wave, places) = (row.wave, room.of(self.late_admission(&row.state)));
            let taken = self.take_reachable(wave, places, now);
            let mut groups: BTreeMap<_, (Terms, Vec<Placed>)> = BTreeMap::new();
            for (ordinal, terms) in taken {
                let key = (terms.maybe_handed, terms.deadlines.deliver_by, terms.deadlines.finish_by);
                let group = groups.entry(key).or_insert_with(|| (terms, Vec::new()));
                group.1.push(self.placed(ordinal, terms.maybe_handed));
            }
            for (mut terms, placed) in groups.into_values() {
                if !terms.maybe_handed {
                    terms.deadlines = deadline::after_waiting(terms.deadlines, now, &self.task.timeouts);
                    let ordinals = placed.iter().map(|target| target.ordinal).collect();
                    self.effects.push(Effect::Placed { ordinals });
                }
                let mut handed = self.hand_to_workers(terms, placed, now);
                if !terms.maybe_handed {
                    room.take(handed.targets);
                }
                replaced.append(&mut handed.replaced);
            }
        }
        self.end_replaced(&replaced, now);
    }

    /// Stragglers whose desktop came online get their batch, as far as there are places.
    pub(in crate::rollout) fn cut_stragglers(&mut self, now: Timestamp) {
        if self.hold(now).is_none() || self.task.status.admits_no_more() {
            let mut room = self.room();
            self.hand_out(&mut room, now);
        }
    }

    /// What the project leaves of its targets in flight.
    fn room(&self) -> Room {
        let begun = self.waves.iter().filter(|row| row.state.status != WaveStatus::Pending);
        let in_flight: u32 = begun.map(|row| row.state.in_flight()).sum();
        Room(self.task.project_limit.map(|most| most.saturating_sub(in_flight)))
    }

    /// Makes batches for the workers that hold the desktops, and stragglers of the rest and of those whose window is
    /// closed.
    pub(in crate::rollout) fn hand_to_workers(
        &mut self,
        terms: Terms,
        placed: Vec<Placed>,
        now: Timestamp,
    ) -> Handed {
        let (mut handed, mut replaced) = (0, Vec::new());
        for timed in self.by_window(placed, terms.deadlines, terms.maybe_handed, now) {
            let Timed { deadlines, not_before, targets } = timed;
            let terms = Terms { deadlines, ..terms };
            let mut cut = cut::cut(targets, limits::MAX_TARGETS_PER_BATCH);
            replaced.append(&mut cut.replaced);
            if not_before.is_some() {
                let members = cut.batches.drain(..).flat_map(|(_, members)| members);
                cut.stragglers.extend(members);
            }
            self.insert_stragglers(terms, not_before, &ordinals_of(&cut.stragglers));
            for (worker, members) in cut.batches {
                if let Some(worker) = worker_of(&worker) {
                    handed += members.len();
                    self.insert_batch(terms, worker, &members);
                    self.wakes.ready = true;
                }
            }
        }
        Handed { targets: u32::try_from(handed).unwrap_or(u32::MAX), replaced }
    }

    /// Ends targets of replaced agents as UNKNOWN.
    pub(in crate::rollout) fn end_replaced(&mut self, replaced: &[Member], now: Timestamp) {
        if replaced.is_empty() {
            return;
        }
        let ordinals = ordinals_of(replaced);
        self.effects.push(Effect::Replaced { ordinals: ordinals.clone() });
        let scripts = self.overdue_scripts(Outcome::Unknown);
        let outcomes = ordinals.into_iter().map(|ordinal| (ordinal, scripts.clone())).collect();
        self.store_outcomes(outcomes, now);
    }
}

/// What became of targets that were to be handed out.
#[must_use = "replaced targets end with end_replaced"]
pub(in crate::rollout) struct Handed {
    /// Targets that are in batches.
    pub(in crate::rollout) targets: u32,
    /// Targets that a former agent of their desktop may have started.
    pub(in crate::rollout) replaced: Vec<Member>,
}
