//! Batching: groups admitted targets into batches for the workers that hold their desktops, or
//! defers them.

use std::collections::BTreeMap;

use crate::{
    Timestamp,
    deadline::{self, Deadlines},
    ids::{DesktopId, WorkerId},
    window::{Window, WindowState},
};

/// A target with the presence of its desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedTarget {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Desktop of the target.
    pub desktop_id: DesktopId,
    /// Worker that holds the desktop's connection; `None` while the desktop is offline.
    pub worker_id: Option<WorkerId>,
    /// Time zone of the desktop, as its agent reports it.
    pub time_zone: String,
    /// Id of the agent that last connected for the desktop; empty for an agent without an id.
    pub agent_id: String,
    /// Id of the agent that may have started the target; `None` if the target was certainly never
    /// delivered.
    pub delivered_to: Option<String>,
    /// Whether the desktop takes an order for the target now: it is not busy, and no earlier target
    /// waits for it.
    pub has_room: bool,
    /// Whether the desktop cannot connect any more: it is retired, or its certificates are revoked.
    pub is_out_of_service: bool,
    /// Script that is known to have started; `None` if none is known.
    pub started: Option<StartedScript>,
}

/// A script that an agent has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedScript {
    /// Place of the script in the task, from 0.
    pub script: u16,
    /// Start time by the agent's clock.
    pub at: Timestamp,
}

impl LocatedTarget {
    /// Returns whether the desktop was reinstalled since the target was delivered. The connected
    /// agent's journal does not contain the target, so the agent would start it a second time.
    fn is_replaced(&self) -> bool {
        self.worker_id.is_some()
            && self.delivered_to.as_ref().is_some_and(|agent_id| *agent_id != self.agent_id)
    }
}

/// A target in a batch, without its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Place in the plan, from 0.
    pub ordinal: u32,
    /// Desktop of the target.
    pub desktop_id: DesktopId,
    /// Id of the only agent that may start the target; empty for an agent without an id.
    pub agent_id: String,
    /// Script that is known to have started; `None` if none is known.
    pub started: Option<StartedScript>,
}

/// Result of batching.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchPlan {
    /// Batches in the order of workers. Each batch lists its targets in the order of the plan.
    pub batches: Vec<(WorkerId, Vec<Member>)>,
    /// Targets whose desktop is offline or busy.
    pub deferred: Vec<Member>,
    /// Targets that a former agent of their desktop may have started. Their outcome cannot be
    /// determined.
    pub replaced: Vec<Member>,
}

/// Groups targets by worker into batches of at most `batch_size`, which is at least 1.
///
/// A target that may have started is only addressed to the agent that may have started it.
pub fn batch_by_worker(targets: impl IntoIterator<Item = LocatedTarget>, batch_size: usize) -> BatchPlan {
    let mut by_worker: BTreeMap<WorkerId, Vec<Member>> = BTreeMap::new();
    let (mut deferred, mut replaced) = (Vec::new(), Vec::new());
    for target in targets {
        let is_replaced = target.is_replaced();
        let LocatedTarget {
            ordinal, desktop_id, worker_id, agent_id, delivered_to, has_room, started, ..
        } = target;
        let member = |agent_id| Member { ordinal, desktop_id, agent_id, started };
        match worker_id.filter(|_| has_room || is_replaced) {
            _ if is_replaced => replaced.push(member(delivered_to.unwrap_or_default())),
            Some(worker_id) => by_worker.entry(worker_id).or_default().push(member(agent_id)),
            None => deferred.push(member(delivered_to.unwrap_or_default())),
        }
    }
    let mut batches = Vec::new();
    for (worker_id, members) in by_worker {
        for chunk in members.chunks(batch_size.max(1)) {
            batches.push((worker_id.clone(), chunk.to_vec()));
        }
    }
    BatchPlan { batches, deferred, replaced }
}

/// Targets with the same deadlines and the same earliest start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartGroup {
    /// Deadlines of all targets.
    pub deadlines: Deadlines,
    /// Time before which none of the targets starts; `None` if they may start now.
    pub not_before: Option<Timestamp>,
    /// Targets of the group.
    pub targets: Vec<LocatedTarget>,
}

/// Groups targets by the time at which they may start. Without a window all of them start now, with
/// `deadlines`.
///
/// Within an open window, a target of an online desktop must start before the window closes. A
/// target of an offline desktop keeps its full delivery time. A target with a closed window waits
/// until the window opens. From then on it has the same delivery time as a target admitted now,
/// whose deadlines are `fresh`.
pub fn by_window(
    targets: Vec<LocatedTarget>,
    window: Option<&Window>,
    deadlines: Deadlines,
    fresh: Deadlines,
    now: Timestamp,
) -> Vec<StartGroup> {
    let Some(window) = window else { return vec![StartGroup { deadlines, not_before: None, targets }] };
    let mut groups: BTreeMap<_, StartGroup> = BTreeMap::new();
    for target in targets {
        let (deadlines, not_before) = match window.at(now, &target.time_zone) {
            WindowState::OpenUntil(closes_at) if target.worker_id.is_some() => {
                (deadline::within(deadlines, closes_at), None)
            }
            WindowState::OpenUntil(_) => (deadlines, None),
            WindowState::ClosedUntil(opens_at) => (fresh.later(opens_at - now), Some(opens_at)),
        };
        let key = (not_before, deadlines.deliver_by, deadlines.finish_by);
        let group =
            groups.entry(key).or_insert_with(|| StartGroup { deadlines, not_before, targets: Vec::new() });
        group.targets.push(target);
    }
    groups.into_values().collect()
}

/// Returns whether an overdue, undelivered target only missed its window: the window closed at its
/// delivery deadline.
pub fn missed_window(window: &Window, time_zone: &str, deadlines: &Deadlines) -> bool {
    matches!(window.at(deadlines.deliver_by, time_zone), WindowState::ClosedUntil(_))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Creates a target of an offline desktop.
    fn placed(ordinal: u32) -> LocatedTarget {
        LocatedTarget {
            ordinal,
            desktop_id: format!("d{ordinal}").parse().unwrap(),
            worker_id: None,
            time_zone: String::new(),
            agent_id: String::new(),
            delivered_to: None,
            has_room: true,
            is_out_of_service: false,
            started: None,
        }
    }

    proptest! {
        #[test]
        fn every_target_lands_once_with_the_worker_that_holds_it(
            holders in prop::collection::vec(prop::option::of(0usize..4), 0..2_000),
            batch_size in 1usize..600,
        ) {
            let targets: Vec<LocatedTarget> = holders
                .iter()
                .zip(0u32..)
                .map(|(holder, ordinal)| LocatedTarget {
                    worker_id: holder.map(|worker| format!("w{worker}").parse().unwrap()),
                    ..placed(ordinal)
                })
                .collect();
            let cut = batch_by_worker(targets.clone(), batch_size);
            let mut seen: Vec<LocatedTarget> = Vec::new();
            for (worker_id, members) in &cut.batches {
                prop_assert!((1..=batch_size).contains(&members.len()));
                prop_assert!(members.is_sorted_by_key(|member| member.ordinal));
                seen.extend(members.iter().map(|member| LocatedTarget {
                    worker_id: Some(worker_id.clone()), ..placed(member.ordinal)
                }));
            }
            seen.extend(cut.deferred.into_iter().map(|member| placed(member.ordinal)));
            seen.sort_by_key(|placed| placed.ordinal);
            prop_assert_eq!(seen, targets);
        }
    }

    #[test]
    fn replaced_agent_is_given_nothing_that_may_have_started() {
        let target = |ordinal, is_there: bool, agent: &str, delivered_to: Option<&str>| LocatedTarget {
            worker_id: is_there.then(|| "w".parse().unwrap()),
            agent_id: agent.into(),
            delivered_to: delivered_to.map(str::to_owned),
            ..placed(ordinal)
        };
        let cut = batch_by_worker(
            [
                target(0, true, "new", None),
                target(1, true, "same", Some("same")),
                target(2, true, "new", Some("former")),
                // The machine that reconnects for this desktop may be the former agent.
                target(3, false, "new", Some("former")),
                target(4, true, "", Some("former")),
                target(5, true, "new", Some("")),
            ],
            10,
        );
        let of = |members: &[Member]| -> Vec<(u32, String)> {
            members.iter().map(|member| (member.ordinal, member.agent_id.clone())).collect()
        };
        assert_eq!(of(&cut.batches[0].1), [(0, "new".into()), (1, "same".into())]);
        assert_eq!(of(&cut.deferred), [(3, "former".into())]);
        assert_eq!(of(&cut.replaced), [(2, "former".into()), (4, "former".into()), (5, String::new())]);
    }

    #[test]
    fn busy_desktop_gets_nothing_unless_its_agent_was_replaced() {
        let busy = |ordinal, delivered_to: Option<&str>| LocatedTarget {
            worker_id: Some("w".parse().unwrap()),
            agent_id: "present".into(),
            delivered_to: delivered_to.map(str::to_owned),
            has_room: false,
            ..placed(ordinal)
        };
        let cut = batch_by_worker([busy(0, None), busy(1, Some("present")), busy(2, Some("former"))], 10);
        assert!(cut.batches.is_empty());
        assert_eq!(cut.deferred.iter().map(|member| member.ordinal).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(cut.replaced.iter().map(|member| member.ordinal).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_target_waits_for_its_own_window() {
        let now: Timestamp = "2026-07-01T21:00:00Z".parse().unwrap();
        let minutes = chrono::TimeDelta::minutes;
        let deadlines = Deadlines { deliver_by: now + minutes(600), finish_by: now + minutes(700) };
        let target = |ordinal: u32, zone: &str, is_there: bool| LocatedTarget {
            worker_id: is_there.then(|| "w".parse().unwrap()),
            time_zone: zone.into(),
            ..placed(ordinal)
        };
        let targets = vec![
            target(0, "Europe/Berlin", true),
            target(1, "America/New_York", true),
            target(2, "Europe/Paris", false),
            target(3, "Europe/Rome", true),
        ];
        let fresh = Deadlines { deliver_by: now + minutes(10), finish_by: now + minutes(20) };
        let plain = by_window(targets.clone(), None, deadlines, fresh, now);
        assert_eq!(plain, [StartGroup { deadlines, not_before: None, targets: targets.clone() }]);
        let night = Window::new("22:00", "05:00", "desktop").unwrap();
        let found: Vec<_> = by_window(targets, Some(&night), deadlines, fresh, now)
            .into_iter()
            .map(|it| {
                let ordinals: Vec<u32> = it.targets.iter().map(|target| target.ordinal).collect();
                (ordinals, it.not_before.map(|at| at - now), it.deadlines.deliver_by - now)
            })
            .collect();
        assert_eq!(
            found,
            [
                (vec![0, 3], None, minutes(360)),
                (vec![2], None, minutes(600)),
                (vec![1], Some(minutes(300)), minutes(310)),
            ]
        );
        let cut_short = deadline::within(deadlines, now + minutes(360));
        assert!(missed_window(&night, "Europe/Berlin", &cut_short));
        assert!(
            !missed_window(&night, "Europe/Berlin", &fresh),
            "the window does not limit a deadline inside it"
        );
    }
}
