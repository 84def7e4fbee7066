//! Operators: they submit, pause, freeze, stop, change limits, approve and retry. A command that
//! gets no answer is given again.

mod out_of_service;
mod retry;
mod submit;

use domain::{task::TaskStatus, wave::WaveStatus};
use engine::{Approval, Approved, Freeze, Rows as _, Suspension};

use super::{
    clock::beginning,
    coverage::Feature,
    effect::Effect,
    event::{Command, Event, Target, Task},
    transaction::{Database, Scope, at_once},
    world::World,
};

/// Time between the commit of a freeze and the hold of everything that is ready.
const HOLD_AFTER_MS: i64 = 15;
/// Time between a repeated hold and its end.
const RELEASE_AFTER_MS: i64 = 60_000;
/// Principal that submits tasks.
const AUTHOR: &str = "alice";
/// Principal that approves waves.
const APPROVER: &str = "bob";

impl World {
    /// Schedules the submissions, and the commands on projects.
    pub(super) fn plan_submissions(&mut self) -> Result<(), domain::Error> {
        let begin = beginning();
        let scenario = self.scenario.clone();
        for (project, spec) in scenario.projects.iter().enumerate() {
            for (task, spec) in spec.tasks.iter().enumerate() {
                self.check_plan(project, spec)?;
                self.pending += 1;
                if spec.submitted_after.is_zero() {
                    self.submit(project, task);
                } else {
                    self.clock.at(begin + spec.submitted_after, Event::Submit { project, task });
                }
            }
            if let Some((from, to)) = spec.freeze {
                self.clock.at(begin + from, Event::Operator(Command::Freeze { project }));
                self.clock.at(begin + to, Event::Operator(Command::Unfreeze { project }));
            }
            self.plan_out_of_service(project, &spec.out_of_service);
            for &(at, max_in_flight) in &spec.limit_changes {
                let command = Command::SetProjectLimit { project, max_in_flight };
                self.clock.at(begin + at, Event::Operator(command));
            }
        }
        Ok(())
    }

    /// Runs a command as a use case in a transaction. A command without an answer is given again.
    pub(super) fn command(&mut self, command: Command) {
        let database = self.database();
        let is_retry = matches!(command, Command::RetryTask(_) | Command::RetryRecord { .. });
        if database != Database::Down {
            self.execute(command);
            self.pending -= usize::from(is_retry);
        }
        // The second half of a freeze is part of one call: it is not given again, and schedulers
        // finish it.
        if database != Database::Up && !matches!(command, Command::SuspendProject { .. }) {
            self.pending += usize::from(is_retry && database == Database::AnswerLost);
            let wait = self.rng.between(1_000, 10_000);
            self.clock.after(wait, Event::Operator(command));
            // The planned end of the hold may come before the repeated command.
            let end = match command {
                Command::Pause(task) => Some(Command::Resume(task)),
                Command::Freeze { project } => Some(Command::Unfreeze { project }),
                _ => None,
            };
            if let Some(end) = end {
                self.clock.after(wait + RELEASE_AFTER_MS, Event::Operator(end));
            }
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Pause(task) => {
                if self.hold(task, true) {
                    self.tasks[task].invariants.held(true);
                    self.coverage.add(Feature::Pause);
                }
            }
            Command::Resume(task) => {
                self.hold(task, false);
                self.observe_hold(task);
            }
            Command::Freeze { project } => {
                self.store.freezes.insert(self.projects[project].project_id.clone());
                self.clock.after(HOLD_AFTER_MS, Event::Operator(Command::SuspendProject { project }));
            }
            Command::SuspendProject { project } => self.suspend_project(project),
            Command::Unfreeze { project } => self.release_project(project),
            Command::Stop { task, kills } => self.stop(task, kills),
            Command::StopTarget(target) => self.stop_target(target),
            Command::SetConcurrency(task, most) => self.set_max_concurrency(task, most),
            Command::SetProjectLimit { project, max_in_flight } => {
                let project_id = self.projects[project].project_id.clone();
                self.store.limits.entry(project_id).or_default().max_in_flight = Some(max_in_flight);
                self.coverage.add(Feature::ProjectLimitChanged);
            }
            Command::Approve { task, wave } => self.approve(task, wave),
            Command::Retire { desktop } => self.retire(desktop),
            Command::Revoke { desktop, away_ms } => self.revoke(desktop, away_ms),
            Command::RetryTask(task) => self.retry_task(task),
            Command::RetryRecord { target, script } => self.retry_record(target, script),
        }
    }

    fn scope(&self, task: Task) -> Scope {
        Scope::Task(self.tasks[task].task_id)
    }

    /// Pauses or resumes a task. Returns whether that changed anything.
    fn hold(&mut self, task: Task, pauses: bool) -> bool {
        let (task_id, now) = (self.tasks[task].task_id, self.control_now());
        match at_once(self.engine.set_paused(&mut self.store, task_id, pauses, AUTHOR, "", now)) {
            Suspension::Done(decision) => self.commit(decision.map(|decision| *decision), &self.scope(task)),
            Suspension::TooLate(_) => false,
        }
    }

    /// Tells the invariants whether operators hold a task.
    fn observe_hold(&mut self, task: Task) {
        let state = &mut self.tasks[task];
        let Some(table) = self.store.tasks.get(&state.task_id) else { return };
        let facts = &table.facts;
        let is_frozen = self.store.freezes.contains(&facts.project_id);
        state.invariants.held((facts.is_paused || is_frozen) && !facts.status.admits_no_more());
    }

    fn suspend_project(&mut self, project: usize) {
        let news = Some(Freeze { actor: AUTHOR, reason: "" });
        let (project_id, now) = (self.projects[project].project_id.clone(), self.control_now());
        let scope = Scope::Project(project_id.clone());
        for task_id in at_once(self.store.open_tasks(&project_id)) {
            let step = self.engine.suspend_task_of_project(&mut self.store, &project_id, task_id, news, now);
            let Some(decision) = at_once(step) else { continue };
            let task = self.number_of(task_id);
            self.commit(Some(decision), &scope);
            self.tasks[task].invariants.held(true);
            self.coverage.add(Feature::Freeze);
        }
    }

    fn release_project(&mut self, project: usize) {
        let (project_id, now) = (self.projects[project].project_id.clone(), self.control_now());
        if !at_once(self.store.unfreeze(&project_id)) {
            return;
        }
        let scope = Scope::Project(project_id.clone());
        for task_id in at_once(self.store.open_tasks(&project_id)) {
            let news = Some(Freeze { actor: AUTHOR, reason: "" });
            let step = self.engine.release_task_of_project(&mut self.store, task_id, news, now);
            let decision = at_once(step);
            self.commit(decision, &scope);
        }
        for task in 0..self.tasks.len() {
            if self.tasks[task].project == project {
                self.observe_hold(task);
            }
        }
    }

    fn stop(&mut self, task: Task, kills: bool) {
        let (task_id, now) = (self.tasks[task].task_id, self.control_now());
        let stop = self.engine.stop_task(&mut self.store, task_id, kills, AUTHOR, "stopped", now);
        let decision = at_once(stop);
        if self.commit(decision, &self.scope(task)) {
            self.coverage.add(if kills { Feature::Kill } else { Feature::Stop });
        }
    }

    fn stop_target(&mut self, target: Target) {
        let Target { task, ordinal } = target;
        let (task_id, now) = (self.tasks[task].task_id, self.control_now());
        let first_script = self.store.tasks[&task_id].targets[ordinal as usize].1;
        let stop = self.engine.stop_target(&mut self.store, task_id, ordinal, first_script, now);
        let decision = at_once(stop);
        if decision.is_some() {
            self.effects.push((task, Effect::TargetStopped { ordinal }));
            self.coverage.add(Feature::TargetStop);
        }
        self.commit(decision, &self.scope(task));
    }

    fn set_max_concurrency(&mut self, task: Task, most: Option<u32>) {
        let (task_id, now) = (self.tasks[task].task_id, self.control_now());
        let change = self.engine.set_max_concurrency(&mut self.store, task_id, most, AUTHOR, now);
        let decision = at_once(change);
        if self.commit(decision, &self.scope(task)) {
            self.coverage.add(Feature::ConcurrencyChanged);
        }
    }

    /// Asks an approver, once, for each wave that waits for approval.
    pub(super) fn ask_approvers(&mut self) {
        for task in 0..self.tasks.len() {
            let state = &mut self.tasks[task];
            let table = self.store.tasks.get(&state.task_id);
            let Some(row) = table.and_then(|table| table.current()) else { continue };
            let waits = row.state.status == WaveStatus::Pending && row.opening.hold().is_some();
            let wave = row.wave;
            if waits && state.asked.insert(wave) {
                let most = state.spec.operators.approver_takes.num_milliseconds();
                let wait = self.rng.between(1, most);
                self.clock.after(wait, Event::Operator(Command::Approve { task, wave }));
            }
        }
    }

    fn approve(&mut self, task: Task, wave: u16) {
        let approver = if self.rng.percent(20) { AUTHOR } else { APPROVER };
        let (task_id, now) = (self.tasks[task].task_id, self.control_now());
        let current = self.store.tasks.get(&task_id).and_then(|table| table.current());
        let seen_hold = current.and_then(|row| row.opening.hold());
        let approval = Approval {
            wave,
            author: AUTHOR,
            approver,
            reason: "",
            fits_plan: true,
            fits_scripts: true,
            seen_hold,
        };
        match at_once(self.engine.approve(&mut self.store, task_id, &approval, now)) {
            Approved::Done(decision) => {
                if self.commit(decision.map(|decision| *decision), &self.scope(task)) {
                    self.tasks[task].invariants.approved(wave);
                    self.coverage.add(Feature::Approval);
                }
            }
            Approved::TooLate => {}
            Approved::Refused(_) => {
                let wait = self.rng.between(10_000, 120_000);
                self.clock.after(wait, Event::Operator(Command::Approve { task, wave }));
            }
        }
    }

    fn status_of(&self, task: Task) -> TaskStatus {
        self.store.tasks[&self.tasks[task].task_id].facts.status
    }
}
