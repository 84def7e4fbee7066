//! Retries of ended tasks and of single records, by the rules of `domain::retry`.

use domain::{
    outcome::Outcome,
    plan::plan_again,
    record::RecordStatus,
    retry::{self, Remainder},
    threshold::Threshold,
};

use super::submit::NewTask;
use crate::rollout::{
    coverage::Feature,
    event::{Command, Event, Target, Task},
    mutant::Mutant,
    scenario::{Operators, Retries, TaskSpec, Waves},
    world::World,
};

impl World {
    /// A task ended: schedules its retries.
    pub(in crate::rollout) fn plan_retries(&mut self, task: Task) {
        let Retries { records, tasks, wait } = self.tasks[task].spec.operators.retries;
        if tasks == 0 {
            return;
        }
        let state = &self.tasks[task];
        let table = &self.store.tasks[&state.task_id];
        let records_of = |ordinal: u32| table.records[ordinal as usize].iter();
        let failed = (0..u32::try_from(state.desktops.len()).unwrap_or(u32::MAX)).flat_map(|ordinal| {
            let failed = records_of(ordinal).filter(|record| record.outcome != Outcome::Success);
            failed.map(move |record| (Target { task, ordinal }, record.script))
        });
        let failed: Vec<(Target, u16)> = failed.collect();
        let most = wait.num_milliseconds();
        for _ in 0..records {
            if let Some((target, script)) = self.rng.pick(&failed) {
                let wait = self.rng.between(1, most / 2);
                self.plan_retry(wait, Command::RetryRecord { target, script });
            }
        }
        let wait = self.rng.between(most / 2, most);
        self.plan_retry(wait, Command::RetryTask(task));
        if self.rng.percent(30) {
            self.plan_retry(wait + 5_000, Command::RetryTask(task));
        }
    }

    fn plan_retry(&mut self, wait: i64, command: Command) {
        self.pending += 1;
        self.clock.after(wait, Event::Operator(command));
    }

    /// Retries what did not succeed of a task.
    pub(super) fn retry_task(&mut self, task: Task) {
        if retry::check_task(self.status_of(task)).is_err() || self.is_retried(task, None) {
            return;
        }
        let state = &self.tasks[task];
        let table = &self.store.tasks[&state.task_id];
        let mut remainder: Vec<Remainder> = self.store.remainder(state.task_id).into_values().collect();
        if self.mutant == Some(Mutant::RetryEverything) {
            let all = table.targets.iter().map(|(desktop_id, _)| desktop_id.clone());
            remainder = all.map(|desktop_id| Remainder { desktop_id, first_script: 0 }).collect();
        }
        if remainder.is_empty() {
            return;
        }
        let old = table.waves.iter().map(|row| (row.state.size, row.state.fail_threshold));
        let old: Vec<(u32, Option<Threshold>)> = old.collect();
        let waves = retry::waves(&old, u32::try_from(remainder.len()).unwrap_or(u32::MAX));
        if remainder.iter().any(|target| target.first_script > 0) {
            self.coverage.add(Feature::RetryResumes);
        }
        self.coverage.add(Feature::RetryTask);
        let tasks = state.spec.operators.retries.tasks.saturating_sub(1);
        let gray = matches!(state.spec.waves, Waves::Gray { .. });
        let scripts = state.spec.scripts;
        self.accept_retry(task, None, remainder, waves, gray, (scripts, tasks));
    }

    /// Retries one record that did not succeed.
    pub(super) fn retry_record(&mut self, target: Target, script: u16) {
        let Target { task, ordinal } = target;
        let table = &self.store.tasks[&self.tasks[task].task_id];
        let records = &table.records[ordinal as usize];
        let Some(record) = records.iter().find(|record| record.script == script) else { return };
        let status = RecordStatus::Ended(record.outcome);
        let may_retry = retry::check_record(status, true, self.status_of(task)).is_ok();
        let desktop_id = table.targets[ordinal as usize].0.clone();
        if !may_retry || self.is_retried(task, Some((ordinal, script))) {
            return;
        }
        self.coverage.add(Feature::RetryRecord);
        let remainder = vec![Remainder { desktop_id, first_script: 0 }];
        self.accept_retry(task, Some((ordinal, script)), remainder, vec![(1, None)], false, (1, 0));
    }

    /// Whether a retry is refused because there is one already.
    fn is_retried(&mut self, task: Task, record: Option<(u32, u16)>) -> bool {
        let is_retried = self.store.successor(self.tasks[task].task_id, record).is_some();
        if is_retried {
            self.coverage.add(Feature::RetryRefused);
        }
        is_retried && self.mutant != Some(Mutant::RetryTwice)
    }

    /// Accepts a retry, with a number of scripts and of retries of its own.
    fn accept_retry(
        &mut self,
        old: Task,
        record: Option<(u32, u16)>,
        remainder: Vec<Remainder>,
        waves: Vec<(u32, Option<Threshold>)>,
        gray: bool,
        (scripts, tasks): (u16, u32),
    ) {
        let first_scripts: Vec<u16> = remainder.iter().map(|target| target.first_script).collect();
        let order = remainder.into_iter().map(|target| target.desktop_id).collect();
        let plan = plan_again(order, waves, gray);
        let state = &self.tasks[old];
        let operators = &state.spec.operators;
        let spec = TaskSpec {
            scripts,
            expires_after: None,
            operators: Operators {
                approver_takes: operators.approver_takes,
                retries: Retries { tasks, ..operators.retries },
                ..Operators::default()
            },
            ..state.spec.clone()
        };
        let (project, attempt) = (state.project, state.attempt + 1);
        let retry_of = Some((old, record));
        let new = self.accept_task(NewTask { project, spec, plan, first_scripts, attempt, retry_of });
        self.check_retry(old, record, new);
    }
}
