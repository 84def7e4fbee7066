//! Deferred targets: admitted, and waiting for their desktop, their window or a slot.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    batching::{LocatedTarget, Member},
    deadline::HAND_OUT,
    quarantine,
};

use super::{
    BatchTerms, Presence,
    presence::{OutOfService, RECONNECTS},
};
use crate::DueTimes;

/// A deferred target to insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeferred {
    /// Terms of its last batching.
    pub terms: BatchTerms,
    /// Time before which the target may not be dispatched, because its window is closed; `None`
    /// without a window.
    pub not_before: Option<Timestamp>,
    /// Whether the target may not be dispatched, because the task is paused or frozen.
    pub suspended: bool,
    /// The target, with the agent that may have started it.
    pub member: Member,
}

/// A stored deferred target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeferredRow {
    /// The target, with the agent that may have started it.
    pub member: Member,
    /// Terms of its last batching.
    pub terms: BatchTerms,
    /// Whether the target may not be dispatched, because the task is paused or frozen.
    pub suspended: bool,
    /// Time before which the target may not be dispatched; `None` without a window.
    pub not_before: Option<Timestamp>,
    /// Script from which on a person stopped the target; `None` if it is not stopped.
    pub stop: Option<u16>,
    /// Connection of its desktop; `None` when the desktop is unknown.
    pub presence: Option<Presence>,
}

impl DeferredRow {
    fn waits_for_window(&self, now: Timestamp) -> bool {
        self.not_before.is_some_and(|opens_at| now < opens_at)
    }

    /// Returns whether the desktop came online before the target's deadline. A target that may have
    /// been delivered is only queried and has no such deadline.
    fn came_in_time(&self, presence: &Presence) -> bool {
        self.terms.maybe_delivered || presence.changed_at < self.terms.deadlines.deliver_by
    }

    /// Returns whether the state of the desktop allows a dispatch at `now`.
    pub fn is_reachable(&self, now: Timestamp) -> bool {
        let is_there = |presence: &Presence| {
            presence.holder().is_some() && self.came_in_time(presence) && presence.has_room(now)
        };
        !self.suspended
            && !self.waits_for_window(now)
            && !quarantine::is_quarantined(self.terms.worker_deaths)
            && self.presence.as_ref().is_some_and(is_there)
    }

    /// Returns why the target ends although its deadline has not passed: its desktop cannot connect
    /// any more. A target that may have been delivered waits for its deadline.
    pub fn ends_early(&self) -> Option<OutOfService> {
        let out_of_service = self.presence.as_ref()?.out_of_service;
        out_of_service.filter(|_| !self.terms.maybe_delivered)
    }

    /// Returns whether the target passed its deadline. A missing result is overdue only up to
    /// `observed_until`.
    pub fn is_overdue(&self, times: DueTimes) -> bool {
        let DueTimes { now, observed_until } = times;
        let BatchTerms { deadlines, maybe_delivered, .. } = self.terms;
        !self.suspended
            && deadlines.deliver_by <= now
            && (!maybe_delivered || deadlines.finish_by <= observed_until)
    }

    /// Returns whether the target only waits for a slot, or for its busy desktop, and its deadline
    /// is near. The margin covers a desktop that moves between workers at that moment. A desktop
    /// whose worker drains counts as busy: it is about to move.
    pub fn waits_for_place(&self, now: Timestamp) -> bool {
        let is_there = |presence: &Presence| {
            presence.worker_id.is_some()
                && presence.changed_at < self.terms.deadlines.deliver_by
                && (presence.has_room(now) && !presence.is_draining || now < self.terms.wait_until)
        };
        !self.suspended
            && !self.terms.maybe_delivered
            && !self.waits_for_window(now)
            && self.terms.deadlines.deliver_by <= now + RECONNECTS
            && self.presence.as_ref().is_some_and(is_there)
    }

    /// Returns the new `deliver_by` of a target that only waits. A target that waits for a slot is
    /// delivered as soon as it gets one. A target that waits for its busy desktop keeps its whole
    /// delivery time, in case the desktop disconnects.
    pub fn put_off(&self, now: Timestamp, delivery: TimeDelta) -> Timestamp {
        let is_busy = self.presence.as_ref().is_some_and(|presence| !presence.has_room(now));
        let least = now + HAND_OUT;
        if is_busy { (now + delivery).min(self.terms.wait_until).max(least) } else { least }
    }

    /// Returns the latest deadline that [`Self::waits_for_place`] considers near at `now`.
    pub fn near(now: Timestamp) -> Timestamp {
        now + RECONNECTS
    }

    /// Returns the target with the worker that holds its desktop.
    pub(crate) fn placed(&self, forgets_agents: bool, now: Timestamp) -> LocatedTarget {
        let delivered_to =
            (self.terms.maybe_delivered && !forgets_agents).then(|| self.member.agent_id.clone());
        placed(&self.member, self.presence.as_ref(), delivered_to, now)
    }
}

/// Locates a target at the worker that holds its desktop. `delivered_to` is the agent that may have
/// started it.
pub(crate) fn placed(
    member: &Member,
    presence: Option<&Presence>,
    delivered_to: Option<String>,
    now: Timestamp,
) -> LocatedTarget {
    LocatedTarget {
        ordinal: member.ordinal,
        desktop_id: member.desktop_id.clone(),
        worker_id: presence.and_then(Presence::holder).cloned(),
        time_zone: presence.map(|presence| presence.time_zone.clone()).unwrap_or_default(),
        agent_id: presence.map(|presence| presence.agent_id.clone()).unwrap_or_default(),
        delivered_to,
        is_out_of_service: presence.is_some_and(|presence| presence.out_of_service.is_some()),
        has_room: presence.is_none_or(|presence| presence.has_room(now) && !presence.has_backlog),
        started: member.started,
    }
}
