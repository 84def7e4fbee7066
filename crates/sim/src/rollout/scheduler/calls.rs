//! Calls of workers, as a scheduler answers them.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    ids::{BatchId, WorkerId},
    outcome::Outcome,
};
use engine::{LeaseRows as _, Report, ReportedTarget, ReturnedTarget, ScriptResult, row::BatchRow};

use crate::rollout::{
    effect::Effect,
    event::{Answer, Call, Ended, Leased, Order, Presence, TargetReport, Worker},
    sabotage::Sabotage,
    transaction::at_once,
    world::World,
};

impl World {
    /// A call of a worker reaches a scheduler, if one lives. The answer goes back.
    pub(in crate::rollout) fn call(&mut self, worker: Worker, call: Call) {
        if !self.schedulers.iter().any(|scheduler| scheduler.alive) {
            return;
        }
        let now = self.clock.now;
        let worker_id = self.worker_ids[worker].clone();
        let answer = match call {
            Call::Heartbeat { draining } => {
                Some(Answer::Heartbeat { is_new: self.store.record_heartbeat(&worker_id, draining, now) })
            }
            Call::Presence { deadline, .. } if deadline < now => None,
            Call::Presence { tell, changes, .. } => {
                Some(Answer::Presence { tell, known: self.presence(&worker_id, &changes, now) })
            }
            Call::Pull { room } => Some(Answer::Batches(self.lease(worker, room, now))),
            Call::Renew { leases } => {
                let leases = leases.into_iter().map(|batch_id| (self.task_id, batch_id)).collect();
                let lost = self.store.renew(&worker_id, leases, now + self.lease_time());
                Some(Answer::Renewed { lost: lost.into_iter().map(|(_, batch_id)| batch_id).collect() })
            }
            Call::Report { report, results, returned } => {
                self.report(worker_id, results, returned, now);
                Some(Answer::Reported { report })
            }
            Call::Stops => {
                let stops = self.store.stops_of(&worker_id);
                Some(Answer::Stops(stops.into_iter().map(|(_, ordinal)| ordinal).collect()))
            }
            Call::Goodbye => {
                self.store.forget_worker(&worker_id, None, now);
                None
            }
        };
        if let Some(answer) = answer {
            self.answer(worker, answer);
        }
    }

    /// Desktops that a worker gained and lost; false when the worker is not known.
    fn presence(&mut self, worker_id: &WorkerId, changes: &[Presence], now: Timestamp) -> bool {
        if !self.store.knows(worker_id) {
            return false;
        }
        for &Presence { ordinal, agent } in changes {
            let desktop = (&self.project_id, &self.desktop_ids[ordinal as usize]);
            match agent {
                Some(agent) => self.store.connected(worker_id, desktop, &agent.to_string(), now),
                None => self.store.disconnected(worker_id, desktop, now),
            };
        }
        true
    }

    fn lease_time(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.scenario.plant.lease_ms)
    }

    fn lease(&mut self, worker: Worker, room: u32, now: Timestamp) -> Vec<Leased> {
        let lease = self.lease_time();
        let worker_id = &self.worker_ids[worker];
        let ready = at_once(self.engine.leasable(&mut self.store, worker_id, now, lease));
        let choices = self.engine.choose(&ready, room);
        let rows = at_once(self.store.lease(&choices, now, now + lease));
        rows.into_iter().map(|row| self.leased(worker, row)).collect()
    }

    /// A leased batch with its order. An agent starts nothing after its task has expired.
    fn leased(&mut self, worker: Worker, row: BatchRow) -> Leased {
        let BatchRow { batch_id, terms, query_only, stop, members, .. } = row;
        let table = self.store.task(terms.task_id);
        let expires_at = table.and_then(|table| table.facts.expires_at);
        let expires_at = expires_at.filter(|_| self.sabotage != Some(Sabotage::StartAfterExpiry));
        let deliver_by = terms.deadlines.deliver_by;
        let deliver_by = expires_at.map_or(deliver_by, |expires_at| deliver_by.min(expires_at));
        let ordinals: Vec<u32> = members.iter().map(|member| member.ordinal).collect();
        let agents = members.iter().map(|member| member.agent_id.parse().unwrap_or_default()).collect();
        let is_stopped = |ordinal: &u32| stop && table.is_some_and(|it| it.stops.contains_key(ordinal));
        let stops = ordinals.iter().copied().filter(is_stopped).collect();
        let suspects = self.suspects(worker, batch_id);
        self.effects.push(Effect::Leased { worker, ordinals: ordinals.clone(), query_only, suspects });
        let order = Order { deliver_by, query_only, stop: false };
        Leased { batch: batch_id, order, ordinals, agents, stops }
    }

    /// Number of suspected batches, but for this one, that a worker holds and leased within one lease.
    fn suspects(&self, worker: Worker, but: BatchId) -> usize {
        let survived = self.clock.now - self.lease_time();
        let worker_id = &self.worker_ids[worker];
        let batches = self.store.task(self.task_id).into_iter().flat_map(|table| table.batches.values());
        let held = batches.filter(|batch| {
            batch.row.worker_id == *worker_id && batch.row.lease_until.is_some() && batch.row.batch_id != but
        });
        let recent = held.filter(|batch| batch.leased_at.is_some_and(|at| at > survived));
        recent.filter(|batch| batch.row.terms.worker_deaths >= 2).count()
    }

    fn report(
        &mut self,
        worker_id: WorkerId,
        results: Vec<TargetReport>,
        returned: Vec<crate::rollout::event::Returned>,
        now: Timestamp,
    ) {
        let returned = returned.into_iter().map(|target| ReturnedTarget {
            batch_id: target.batch,
            ordinal: target.ordinal,
            handed: target.handed,
        });
        let report = Report {
            task_id: self.task_id,
            worker_id,
            results: results.into_iter().map(|result| self.reported_target(result)).collect(),
            returned: returned.collect(),
        };
        let answer = at_once(self.engine.report(&mut self.store, report, now));
        self.commit(answer.decision);
    }

    fn reported_target(&self, result: TargetReport) -> ReportedTarget {
        let TargetReport { ordinal, batch, agent, scripts } = result;
        let batch_id: Option<BatchId> = batch;
        ReportedTarget {
            ordinal,
            attempt: 1,
            batch_id,
            project_id: self.project_id.clone(),
            desktop_id: self.desktop_ids[ordinal as usize].clone(),
            agent_id: agent.to_string(),
            scripts: scripts.into_iter().map(script_result).collect(),
        }
    }
}

fn script_result((outcome, exit_code): Ended) -> ScriptResult {
    let reason = if outcome == Outcome::Success { "" } else { outcome.as_str() };
    ScriptResult {
        outcome,
        exit_code,
        started_at: None,
        ended_at: None,
        output: String::new(),
        reason: reason.to_owned(),
    }
}
