//! Stragglers: targets of an open wave whose desktop was not reachable when their place came: as `store::straggler`.

use chrono::TimeDelta;
use domain::{Timestamp, deadline::HAND_OUT};

use super::{Database, Straggler, Terms};

/// In this time a desktop has gone from one worker to another.
const RECONNECTS: TimeDelta = TimeDelta::seconds(30);

impl Database {
    /// Stores stragglers. One that is there already stays as it is.
    pub(in crate::rollout) fn insert_stragglers(
        &mut self,
        terms: Terms,
        not_before: Option<Timestamp>,
        ordinals: &[u32],
    ) {
        let held = self.is_held();
        let mut waiting = 0;
        for &ordinal in ordinals {
            self.stragglers.entry(ordinal).or_insert_with(|| {
                waiting += u32::from(!terms.maybe_handed);
                Straggler { terms, held, not_before }
            });
        }
        self.row_of(terms.wave).state.waiting += waiting;
    }

    fn remove_straggler(&mut self, ordinal: u32) -> Option<Straggler> {
        let straggler = self.stragglers.remove(&ordinal)?;
        if !straggler.terms.maybe_handed {
            let state = &mut self.row_of(straggler.terms.wave).state;
            state.waiting = state.waiting.saturating_sub(1);
        }
        Some(straggler)
    }

    /// Whether a straggler may be handed out: its desktop is connected, and was so before its deadline.
    fn is_reachable(&self, ordinal: u32, straggler: &Straggler, now: Timestamp) -> bool {
        !straggler.held
            && straggler.not_before.is_none_or(|opens_at| opens_at <= now)
            && self.is_back(ordinal, straggler)
    }

    fn is_back(&self, ordinal: u32, straggler: &Straggler) -> bool {
        let came_at = self.desktops[ordinal as usize].presence_at;
        let in_time = straggler.terms.maybe_handed || came_at < straggler.terms.deadlines.deliver_by;
        in_time && self.holder(ordinal).is_some()
    }

    pub(in crate::rollout) fn has_reachable(&self, now: Timestamp) -> bool {
        self.stragglers.iter().any(|(&ordinal, straggler)| self.is_reachable(ordinal, straggler, now))
    }

    /// Takes stragglers of a wave out that may be handed out; at most `room` of those that hold no place yet.
    pub(in crate::rollout) fn take_reachable(
        &mut self,
        wave: u16,
        room: u32,
        now: Timestamp,
    ) -> Vec<(u32, Terms)> {
        let mut room = room;
        let mut ordinals = Vec::new();
        for (&ordinal, straggler) in &self.stragglers {
            if straggler.terms.wave != wave || !self.is_reachable(ordinal, straggler, now) {
                continue;
            }
            if !straggler.terms.maybe_handed {
                if room == 0 {
                    continue;
                }
                room -= 1;
            }
            ordinals.push(ordinal);
        }
        self.take_stragglers(&ordinals)
    }

    /// Stragglers past their deadline, but for those that are held.
    pub(in crate::rollout) fn overdue_stragglers(&self, now: Timestamp) -> Vec<u32> {
        let overdue = self.stragglers.iter().filter(|(_, straggler)| Self::is_late(straggler, now));
        overdue.map(|(&ordinal, _)| ordinal).collect()
    }

    fn is_late(straggler: &Straggler, now: Timestamp) -> bool {
        let Terms { deadlines, maybe_handed, .. } = straggler.terms;
        deadlines.deliver_by <= now && !straggler.held && (!maybe_handed || deadlines.finish_by <= now)
    }

    /// Stragglers that only wait for a place, and whose deadline is near.
    pub(in crate::rollout) fn nearly_overdue(&self, now: Timestamp) -> Vec<u32> {
        let near = self.stragglers.iter().filter(|(ordinal, straggler)| {
            !straggler.held
                && !straggler.terms.maybe_handed
                && straggler.not_before.is_none_or(|opens_at| opens_at <= now)
                && straggler.terms.deadlines.deliver_by <= now + RECONNECTS
                && self.is_back(**ordinal, straggler)
        });
        near.map(|(&ordinal, _)| ordinal).collect()
    }

    /// Puts the deadline of those off that only wait for a place.
    pub(in crate::rollout) fn put_off(&mut self, ordinals: &[u32], now: Timestamp) {
        let near = self.nearly_overdue(now);
        for ordinal in ordinals.iter().filter(|ordinal| near.contains(ordinal)) {
            if let Some(straggler) = self.stragglers.get_mut(ordinal) {
                let deadlines = &mut straggler.terms.deadlines;
                *deadlines = deadlines.later(now + HAND_OUT - deadlines.deliver_by);
            }
        }
    }

    /// Takes those of the stragglers out that are past their deadline by now.
    pub(in crate::rollout) fn take_overdue_stragglers(
        &mut self,
        ordinals: &[u32],
        now: Timestamp,
    ) -> Vec<(u32, Terms)> {
        let late = ordinals.iter().copied().filter(|ordinal| {
            self.stragglers.get(ordinal).is_some_and(|straggler| Self::is_late(straggler, now))
        });
        let late: Vec<u32> = late.collect();
        self.take_stragglers(&late)
    }

    /// Takes stragglers out, whatever they wait for.
    pub(in crate::rollout) fn take_stragglers(&mut self, ordinals: &[u32]) -> Vec<(u32, Terms)> {
        let mut taken = Vec::new();
        for &ordinal in ordinals {
            if let Some(straggler) = self.remove_straggler(ordinal) {
                taken.push((ordinal, straggler.terms));
            }
        }
        taken
    }

    /// Withdraws the stragglers of a wave that were certainly never handed out. The others are only asked what became
    /// of them, so nothing holds them.
    pub(super) fn withdraw_stragglers(&mut self, wave: u16) -> Vec<u32> {
        for straggler in self.stragglers.values_mut().filter(|straggler| straggler.terms.wave == wave) {
            straggler.held &= !straggler.terms.maybe_handed;
        }
        let unhanded = self
            .stragglers
            .iter()
            .filter(|(_, straggler)| straggler.terms.wave == wave && !straggler.terms.maybe_handed);
        let unhanded: Vec<u32> = unhanded.map(|(&ordinal, _)| ordinal).collect();
        self.take_stragglers(&unhanded).into_iter().map(|(ordinal, _)| ordinal).collect()
    }
}
