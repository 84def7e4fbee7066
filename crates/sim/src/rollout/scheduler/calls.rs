//! Calls of workers, as a scheduler answers them.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    ids::{BatchId, WorkerId},
};
use engine::{LeaseRows as _, row::BatchRow};

use crate::rollout::{
    effect::Effect,
    event::{Answer, Call, Leased, Member, Presence, Target, Worker},
    mutant::Mutant,
    transaction::{Database, at_once},
    world::World,
};

impl World {
    /// A call of a worker reaches a scheduler, if one lives. The answer goes back.
    pub(in crate::rollout) fn call(&mut self, worker: Worker, call: Call) {
        let alive = (0..self.schedulers.len()).filter(|&it| self.schedulers[it].alive);
        let alive: Vec<usize> = alive.collect();
        let Some(scheduler) = self.rng.pick(&alive) else { return };
        if matches!(call, Call::Presence { deadline, .. } if deadline < self.clock.now) {
            return;
        }
        let now = self.schedulers[scheduler].time(self.clock.now);
        if let Call::Report { report, results, returned } = call {
            // Each task of a report has a transaction of its own.
            if self.report(worker, results, returned, now) {
                self.answer(worker, Answer::Reported { report });
            }
            return;
        }
        let database = self.database();
        if database == Database::Down {
            return;
        }
        let answer = self.serve(worker, call, now);
        if let Some(answer) = answer.filter(|_| database == Database::Up) {
            self.answer(worker, answer);
        }
    }

    fn serve(&mut self, worker: Worker, call: Call, now: Timestamp) -> Option<Answer> {
        let worker_id = self.worker_ids[worker].clone();
        Some(match call {
            Call::Heartbeat { draining } => {
                let capacity = self.scenario.cluster.capacity;
                Answer::Heartbeat { is_new: self.store.put_heartbeat(&worker_id, capacity, draining, now) }
            }
            Call::Presence { update, changes, .. } => {
                Answer::Presence { update, known: self.presence(&worker_id, &changes, now) }
            }
            Call::Pull { room } => Answer::Batches(self.lease(worker, room, now)),
            Call::Renew { leases } => {
                let leases =
                    leases.into_iter().map(|(task, batch_id)| (self.tasks[task].task_id, batch_id)).collect();
                let lost = self.store.renew(&worker_id, leases, now + self.lease_time());
                Answer::Renewed { lost: lost.into_iter().map(|(_, batch_id)| batch_id).collect() }
            }
            Call::Stops => {
                let stops = self.store.stops_of(&worker_id).into_iter();
                let target = |(task_id, ordinal)| Target { task: self.number_of(task_id), ordinal };
                Answer::Stops(stops.map(target).collect())
            }
            Call::Goodbye => {
                self.store.forget_worker(&worker_id, None, now);
                return None;
            }
            Call::Report { .. } => return None,
        })
    }

    /// Stores the desktops that a worker gained and lost. Returns false when the worker is not
    /// known.
    fn presence(&mut self, worker_id: &WorkerId, changes: &[Presence], now: Timestamp) -> bool {
        if !self.store.workers.contains_key(worker_id) {
            return false;
        }
        for &Presence { desktop, agent, boot } in changes {
            if agent.is_some() && self.agents[desktop].is_barred {
                continue;
            }
            let project = &self.projects[self.agents[desktop].project];
            let desktop_id = &project.desktop_ids[desktop - project.first_desktop];
            let key = (&project.project_id, desktop_id);
            match agent {
                Some(agent) => {
                    self.store.connect(worker_id, key, &agent.to_string(), &boot.to_string(), now);
                }
                None => self.store.disconnect(worker_id, key, now),
            }
        }
        true
    }

    fn lease_time(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.scenario.cluster.lease_ms)
    }

    fn lease(&mut self, worker: Worker, room: u32, now: Timestamp) -> Vec<Leased> {
        let lease = self.lease_time();
        let worker_id = &self.worker_ids[worker];
        let ready = at_once(self.engine.leasable(&mut self.store, worker_id, now, lease));
        let choices = self.engine.choose(&ready, room, now);
        let rows = at_once(self.store.lease(&choices, now, now + lease));
        self.check_shares(worker, room, &rows);
        let leased: Vec<Leased> = rows.into_iter().map(|row| self.leased(worker, row, now)).collect();
        for leased in &leased {
            if self.outage.is_some() {
                // The answer is lost: nobody holds the batch until its lease ends.
                let targets = leased.members.iter();
                let targets = targets.map(|it| Target { task: leased.task, ordinal: it.ordinal });
                targets.collect::<Vec<_>>().into_iter().for_each(|target| self.fault_of(target));
            }
        }
        leased
    }

    /// A leased batch. An agent starts nothing after its task has expired.
    fn leased(&mut self, worker: Worker, row: BatchRow, now: Timestamp) -> Leased {
        let BatchRow { batch_id, terms, query_only, stop, members, .. } = row;
        let task = self.number_of(terms.task_id);
        let table = &self.store.tasks[&terms.task_id];
        let expires_at = table.facts.expires_at;
        let expires_at = expires_at.filter(|_| self.mutant != Some(Mutant::StartAfterExpiry));
        let deliver_by = terms.deadlines.deliver_by;
        let deliver_by = expires_at.map_or(deliver_by, |expires_at| deliver_by.min(expires_at));
        let member = |member: &domain::batching::Member| Member {
            ordinal: member.ordinal,
            agent: member.agent_id.parse().unwrap_or_default(),
            first_script: table.targets[member.ordinal as usize].1,
            is_stopped: stop && table.stops.contains_key(&member.ordinal),
        };
        let members: Vec<Member> = members.iter().map(member).collect();
        let limits = self.store.limits.get(&table.facts.project_id);
        let max_running = limits.and_then(|limits| limits.max_running_per_desktop);
        let suspects = self.suspects(worker, batch_id, now);
        let ordinals = members.iter().map(|member| member.ordinal).collect();
        self.has_committed = true;
        self.effects.push((task, Effect::Leased { worker, ordinals, query_only, suspects }));
        Leased { batch: batch_id, task, deliver_by, query_only, max_running, members }
    }

    /// Number of suspected batches other than this one that a worker holds and leased within the
    /// time of one lease.
    fn suspects(&self, worker: Worker, other_than: BatchId, now: Timestamp) -> usize {
        // Clocks of schedulers differ, so that only a part of the time is certain.
        let certain = self.lease_time() - TimeDelta::milliseconds(self.scenario.cluster.skew_ms * 2);
        let survived = now - certain;
        let worker_id = &self.worker_ids[worker];
        let held = self.store.batches().filter(|batch| {
            let row = &batch.row;
            row.worker_id == *worker_id && row.lease_until.is_some() && row.batch_id != other_than
        });
        let recent = held.filter(|batch| batch.leased_at.is_some_and(|at| at > survived));
        recent.filter(|batch| batch.row.terms.worker_deaths >= 2).count()
    }
}
