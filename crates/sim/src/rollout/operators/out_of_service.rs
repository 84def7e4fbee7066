//! Retired and revoked desktops: their connections end, and what waits for them ends at once.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::Timestamp;
use engine::{Changes, row::OutOfService};

use crate::rollout::{
    clock::beginning,
    coverage::Feature,
    event::{Command, Desktop, Event, Target},
    mutant::Mutant,
    scenario::Departure,
    world::World,
};

/// Time in which a scheduler certainly ends a target that it may end at once.
const PATIENCE: TimeDelta = TimeDelta::minutes(2);
/// Time after a retirement in which targets that come back are looked for, without what clocks may
/// differ.
const LOOKED_FOR: TimeDelta = TimeDelta::seconds(590);

impl World {
    /// Schedules the retirements and revocations of a project's desktops.
    pub(super) fn plan_out_of_service(&mut self, project: usize, departures: &[Departure]) {
        for departure in departures {
            let state = &self.projects[project];
            let number = departure.desktop as usize % state.desktop_ids.len();
            let desktop = state.first_desktop + number;
            let command = match departure.returns_after {
                None => Command::Retire { desktop },
                Some(away) => Command::Revoke { desktop, away_ms: away.num_milliseconds() },
            };
            self.clock.at(beginning() + departure.after, Event::Operator(command));
        }
    }

    pub(super) fn retire(&mut self, desktop: Desktop) {
        self.coverage.add(Feature::Retired);
        self.bar(desktop, OutOfService::Retired);
    }

    pub(super) fn revoke(&mut self, desktop: Desktop, away_ms: i64) {
        self.coverage.add(Feature::Revoked);
        self.bar(desktop, OutOfService::Revoked);
        self.clock.after(away_ms, Event::AgentEnrols { desktop });
    }

    /// Takes a desktop out of service. Its worker closes the connection after its next heartbeat.
    fn bar(&mut self, desktop: Desktop, reason: OutOfService) {
        self.fault_on(desktop);
        let now = self.control_now();
        let project = &self.projects[self.agents[desktop].project];
        let desktop_id = &project.desktop_ids[desktop - project.first_desktop];
        let key = (&project.project_id, desktop_id);
        let before = self.store.presence(key.0, key.1).cloned();
        self.store.put_out_of_service(key, reason, now);
        if self.mutant == Some(Mutant::KeepRetiredConnected) {
            let desktops = self.store.desktops.get_mut(key.0);
            let presence = desktops.and_then(|all| all.get_mut(desktop_id));
            if let Some((presence, before)) = presence.zip(before) {
                presence.worker_id = before.worker_id;
            }
            return;
        }
        self.agents[desktop].is_barred = true;
        if let Some((worker, session)) = self.agents[desktop].session {
            let wait = self.rng.between(1, self.scenario.cluster.heartbeat_ms * 2);
            self.clock.after(wait, Event::SessionEnds { worker, desktop, session });
            self.clock.after(wait + 5, Event::AgentLoses { desktop, session });
        }
    }

    /// The agent of a revoked desktop has a new certificate. A retired desktop gets none.
    pub(in crate::rollout) fn enrol(&mut self, desktop: Desktop) {
        let project = &self.projects[self.agents[desktop].project];
        let desktop_id = &project.desktop_ids[desktop - project.first_desktop];
        let presence = self.store.presence(&project.project_id, desktop_id);
        if presence.is_some_and(|presence| presence.out_of_service == Some(OutOfService::Retired)) {
            return;
        }
        self.agents[desktop].is_barred = false;
        self.connect(desktop);
    }

    /// No target is handed out to a desktop that is out of service.
    pub(in crate::rollout) fn check_handed_out(&mut self, changes: &Changes) {
        let members = changes.batches.insert.iter().flat_map(|batch| &batch.members);
        let is_out = |desktop_id| {
            let presence = self.store.presence(&changes.project_id, desktop_id);
            presence.is_some_and(|presence| presence.out_of_service.is_some())
        };
        let out = members.map(|member| &member.desktop_id).find(|desktop_id| is_out(desktop_id)).cloned();
        self.must(out.is_none(), "nothing is handed out to a desktop out of service", || {
            format!("a batch has a target of {out:?}")
        });
    }

    /// A target that waits for a desktop out of service ends at once. Called at each tick that
    /// looks for due work.
    pub(in crate::rollout) fn check_waits(&mut self) {
        let now = self.clock.now;
        let mut waits: BTreeMap<Target, Timestamp> = BTreeMap::new();
        for (&task_id, table) in &self.store.tasks {
            let task = self.number_of(task_id);
            for (&ordinal, row) in &table.deferred {
                let key = (table.facts.project_id.clone(), row.member.desktop_id.clone());
                let presence = self.store.presence(&key.0, &key.1);
                let is_out = presence.is_some_and(|presence| presence.out_of_service.is_some());
                let since = self.store.out_of_service_since.get(&key);
                let is_looked_for = since.is_some_and(|since| now < *since + LOOKED_FOR);
                if is_out && is_looked_for && !row.suspended && !row.terms.maybe_delivered {
                    let target = Target { task, ordinal };
                    let first = self.waits_out_of_service.get(&target).copied().unwrap_or(now);
                    waits.insert(target, first);
                }
            }
        }
        let longest = waits.iter().find(|(_, first)| now - **first > PATIENCE);
        let longest = longest.map(|(&target, _)| target);
        self.waits_out_of_service = waits;
        self.must(longest.is_none(), "what waits for a desktop out of service ends at once", || {
            format!("{longest:?} still waits after {PATIENCE}")
        });
    }
}
