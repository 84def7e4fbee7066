//! Reports of workers, as a scheduler stores them: each task on its own, and a result that the
//! database refuses apart from the others.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Timestamp, limits};
use engine::{Report, ReportParts, ReportedTarget, ReturnedTarget, Split};

use crate::rollout::{
    coverage::Feature,
    event::{Returned, Target, TargetReport, Task, Worker},
    mutant::Mutant,
    poison, results,
    transaction::{Database, Scope, at_once},
    world::World,
};

/// The part of a report that concerns one task.
type OfTask = (Vec<ReportedTarget>, Vec<ReturnedTarget>);

impl World {
    /// Stores a report, task by task. Returns whether all of it is stored and may be answered.
    pub(super) fn report(
        &mut self,
        worker: Worker,
        results: Vec<TargetReport>,
        returned: Vec<Returned>,
        now: Timestamp,
    ) -> bool {
        let is_poisoned = results.iter().any(|result| result.result.poison.is_some());
        let honest = results.iter().filter(|result| result.result.poison.is_none());
        let honest: Vec<Target> = honest.filter(|_| is_poisoned).map(|result| result.target).collect();
        let mut refused = BTreeSet::new();
        let is_stored = self.store_report(worker, results, returned, now, &mut refused);
        self.must(is_stored || self.outage.is_some(), "a report that reaches a scheduler is stored", || {
            format!("worker {worker} sends it again for ever")
        });
        // The effects of this event are not seen yet: the rows know which targets ended.
        let has_ended =
            |target: &Target| self.store.tasks[&self.tasks[target.task].task_id].has_ended(target.ordinal);
        let is_spoiled = |target: &&Target| !has_ended(target) && !refused.contains(*target);
        let spoiled = honest.iter().find(|target| is_stored && is_spoiled(target)).copied();
        self.must(spoiled.is_none(), "a poisoned result costs no other result anything", || {
            format!("{spoiled:?} was reported by worker {worker} and has no outcome")
        });
        is_stored
    }

    /// Stores a report, and adds the targets whose results are refused.
    fn store_report(
        &mut self,
        worker: Worker,
        results: Vec<TargetReport>,
        returned: Vec<Returned>,
        now: Timestamp,
        refused: &mut BTreeSet<Target>,
    ) -> bool {
        let mut by_task: BTreeMap<Task, OfTask> = BTreeMap::new();
        for result in results {
            let target = result.target;
            match self.reported_target(result) {
                Ok(result) => by_task.entry(target.task).or_default().0.push(result),
                Err(_) => _ = refused.insert(target),
            }
        }
        for Returned { target, batch, handed } in returned {
            let returned =
                ReturnedTarget { batch_id: batch, ordinal: target.ordinal, handed, given_back: false };
            by_task.entry(target.task).or_default().1.push(returned);
        }
        for (task, (results, returned)) in by_task {
            let (task_id, worker_id) = (self.tasks[task].task_id, self.worker_ids[worker].clone());
            let mut parts = ReportParts::new(Report { task_id, worker_id, results, returned });
            while let Some(part) = parts.next_part() {
                let database = self.database();
                if database == Database::Down {
                    return false;
                }
                let answer = at_once(self.engine.report(&mut self.store, part, now));
                if answer.decision.as_ref().is_some_and(|it| poison::is_refused(&it.changes)) {
                    // The transaction is rolled back.
                    self.coverage.add(Feature::ReportSplit);
                    let is_whole = self.mutant == Some(Mutant::StoreReportsWhole);
                    if is_whole || parts.split() == Split::Impossible {
                        return false;
                    }
                    continue;
                }
                for refusal in answer.refused {
                    self.coverage.add(Feature::ResultRefused);
                    refused.insert(Target { task, ordinal: refusal.ordinal });
                }
                let records = answer.decision.iter().flat_map(|it| &it.changes.records);
                let longest = records.map(|record| record.output.len()).max().unwrap_or_default();
                self.must(longest <= limits::MAX_OUTPUT_BYTES, "an output is cut at its limit", || {
                    format!("{longest} bytes of task {task} are stored")
                });
                self.commit(answer.decision, &Scope::Task(task_id));
                if database == Database::AnswerLost {
                    return false;
                }
            }
        }
        true
    }

    fn reported_target(&self, report: TargetReport) -> Result<ReportedTarget, domain::Error> {
        let TargetReport { target, desktop, batch, agent, result } = report;
        let reboots_from = result.reboots_from.map(|boot| boot.to_string());
        let project = &self.projects[self.agents[desktop].project];
        Ok(ReportedTarget {
            ordinal: target.ordinal,
            attempt: self.tasks[target.task].attempt.into(),
            batch_id: batch,
            project_id: project.project_id.clone(),
            desktop_id: project.desktop_ids[desktop - project.first_desktop].clone(),
            agent_id: agent.to_string(),
            is_authentic: false,
            scripts: results::checked(&result, self.mutant == Some(Mutant::KeepPoisonedOutcomes))?,
            reboots_from,
        })
    }
}
