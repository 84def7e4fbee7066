//! Deferred targets: admitted, and waiting for their desktop, their window or a place.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    batching::{LocatedTarget, Member},
    quarantine,
};

use super::{BatchTerms, Presence};

/// Time in which a desktop moves from one worker to another.
const RECONNECTS: TimeDelta = TimeDelta::seconds(30);

/// A deferred target to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeferred {
    /// Terms of its last cut.
    pub terms: BatchTerms,
    /// Time before which it may not be handed out, because its window is closed.
    pub not_before: Option<Timestamp>,
    /// Whether nobody may hand it out, because the task is on hold.
    pub suspended: bool,
    /// The target, with the agent that may have started it.
    pub member: Member,
}

/// A deferred target's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeferredRow {
    /// The target, with the agent that may have started it.
    pub member: Member,
    /// Terms of its last cut.
    pub terms: BatchTerms,
    /// Whether nobody may hand it out.
    pub suspended: bool,
    /// Time before which it may not be handed out.
    pub not_before: Option<Timestamp>,
    /// Script from which on a person stopped the target.
    pub stop: Option<u16>,
    /// Connection of its desktop; `None` when no such desktop is known.
    pub presence: Option<Presence>,
}

impl DeferredRow {
    fn waits_for_window(&self, now: Timestamp) -> bool {
        self.not_before.is_some_and(|opens_at| now < opens_at)
    }

    /// Whether the desktop came online before the target's deadline. What may have been handed out is only asked for, and
    /// has no such deadline.
    fn came_in_time(&self, presence: &Presence) -> bool {
        self.terms.maybe_delivered || presence.changed_at < self.terms.deadlines.deliver_by
    }

    /// Whether the target may be handed out at `now`, as far as its desktop is concerned.
    pub fn is_reachable(&self, now: Timestamp) -> bool {
        let is_there = |presence: &Presence| presence.holder().is_some() && self.came_in_time(presence);
        !self.suspended
            && !self.waits_for_window(now)
            && !quarantine::is_quarantined(self.terms.worker_deaths)
            && self.presence.as_ref().is_some_and(is_there)
    }

    /// Whether the target passed its deadline. Results are missed only up to `observed_until`.
    pub fn is_overdue(&self, now: Timestamp, observed_until: Timestamp) -> bool {
        let BatchTerms { deadlines, maybe_delivered, .. } = self.terms;
        !self.suspended
            && deadlines.deliver_by <= now
            && (!maybe_delivered || deadlines.finish_by <= observed_until)
    }

    /// Whether the target only waits for a place and its deadline is near. It is noticed a while before, so that a desktop
    /// which moves from one worker to another just then is not too late.
    pub fn waits_for_place(&self, now: Timestamp) -> bool {
        let is_there = |presence: &Presence| {
            presence.worker_id.is_some() && presence.changed_at < self.terms.deadlines.deliver_by
        };
        !self.suspended
            && !self.terms.maybe_delivered
            && !self.waits_for_window(now)
            && self.terms.deadlines.deliver_by <= now + RECONNECTS
            && self.presence.as_ref().is_some_and(is_there)
    }

    /// Moment up to which [`Self::waits_for_place`] looks at deadlines at `now`.
    pub fn near(now: Timestamp) -> Timestamp {
        now + RECONNECTS
    }

    /// The target with the worker that holds its desktop.
    pub(crate) fn placed(&self, forgets_agents: bool) -> LocatedTarget {
        let delivered_to =
            (self.terms.maybe_delivered && !forgets_agents).then(|| self.member.agent_id.clone());
        placed(&self.member, self.presence.as_ref(), delivered_to)
    }
}

/// A target with the worker that holds its desktop. `delivered_to` is the agent that may have started it.
pub(crate) fn placed(
    member: &Member,
    presence: Option<&Presence>,
    delivered_to: Option<String>,
) -> LocatedTarget {
    LocatedTarget {
        ordinal: member.ordinal,
        desktop_id: member.desktop_id.clone(),
        worker_id: presence.and_then(Presence::holder).cloned(),
        time_zone: presence.map(|presence| presence.time_zone.clone()).unwrap_or_default(),
        agent_id: presence.map(|presence| presence.agent_id.clone()).unwrap_or_default(),
        delivered_to,
    }
}
