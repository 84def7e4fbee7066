//! Submissions: tasks are accepted, with what operators will do to them.

use domain::{ids::TaskId, plan::Plan};
use uuid::Uuid;

use crate::rollout::{
    coverage::Feature,
    event::{Command, Desktop, Event, Target, Task},
    invariants::Invariants,
    poison::Poison,
    rows,
    scenario::{ClusterConfig, Operators, Scenario, TaskSpec},
    state::{Script, TaskState},
    transaction::Database,
    world::World,
};

/// A task to accept.
pub(super) struct NewTask {
    pub(super) project: usize,
    pub(super) spec: TaskSpec,
    pub(super) plan: Plan,
    /// By ordinal.
    pub(super) first_scripts: Vec<u16>,
    pub(super) attempt: u16,
    /// The task that it retries, and the record (ordinal and script) if it retries only one.
    pub(super) retry_of: Option<(Task, Option<(u32, u16)>)>,
}

impl World {
    /// Checks that a task of the scenario can be planned.
    pub(super) fn check_plan(&self, project: usize, spec: &TaskSpec) -> Result<(), domain::Error> {
        rows::plan_task(&self.projects[project], spec, self.scenario.seed).map(|_| ())
    }

    /// Submits a task of the scenario. A submission without an answer is repeated with its
    /// idempotency key.
    pub(in crate::rollout) fn submit(&mut self, project: usize, task: usize) {
        if self.database() == Database::Down {
            let wait = self.rng.between(1_000, 10_000);
            return self.clock.after(wait, Event::Submit { project, task });
        }
        self.pending -= 1;
        let spec = self.scenario.projects[project].tasks[task].clone();
        let plan = rows::plan_task(&self.projects[project], &spec, self.scenario.seed);
        let Ok(plan) = plan else { return };
        let first_scripts = vec![0; plan.order.len()];
        self.accept_task(NewTask { project, spec, plan, first_scripts, attempt: 1, retry_of: None });
        if task > 0 || project > 0 {
            self.coverage.add(if project > 0 { Feature::SecondProject } else { Feature::SecondTask });
        }
    }

    /// Stores a task.
    pub(super) fn accept_task(&mut self, new: NewTask) -> Task {
        let NewTask { project, spec, plan, first_scripts, attempt, retry_of } = new;
        let task = self.tasks.len();
        let task_id = TaskId(Uuid::from_u128(task as u128 + 1));
        let state = &self.projects[project];
        let desktop =
            |id| state.desktop_ids.iter().position(|it| it == id).map(|it| it + state.first_desktop);
        let desktops: Vec<Desktop> = plan.order.iter().filter_map(desktop).collect();
        let scripts = desktops.iter().map(|_| Script::drawn(&self.scenario.fleet, &spec, &mut self.rng));
        let scripts = scripts.collect();
        let poisons = self.draw_poisons(desktops.len());
        let now = self.control_now();
        let project_id = &self.projects[project].project_id;
        let mut table = rows::task_table(project_id, &spec, &plan, &first_scripts, attempt, now);
        table.retry_of = retry_of.map(|(old, record)| (self.tasks[old].task_id, record));
        let waves = table.waves.len();
        let mut invariants = Invariants::new(&spec, &first_scripts, waves);
        invariants.held(self.store.freezes.contains(project_id));
        self.store.tasks.insert(task_id, table);
        self.store.wakes.insert(engine::Wake::Admit);
        let retry_of = retry_of.map(|(old, record)| (old, record.map_or(0, |(_, script)| script)));
        self.plan_commands(task, &spec.operators, plan.order.len());
        self.tasks.push(TaskState {
            task_id,
            project,
            spec,
            attempt,
            desktops,
            scripts,
            poisons,
            asked: std::collections::BTreeSet::new(),
            retry_of,
            invariants,
        });
        task
    }

    /// Draws the poison of each target's result.
    fn draw_poisons(&mut self, targets: usize) -> Vec<Option<Poison>> {
        let Scenario { fleet, cluster, faults, .. } = &self.scenario;
        let is_roomy = cluster.capacity >= ClusterConfig::default().capacity && faults.kinds.drains == 0;
        (0..targets).map(|_| Poison::drawn(&mut self.poison_rng, fleet.poisoned, is_roomy)).collect()
    }

    /// Schedules the commands on a task.
    fn plan_commands(&mut self, task: Task, operators: &Operators, targets: usize) {
        let begin = self.clock.now;
        for &(from, to) in &operators.pauses {
            self.clock.at(begin + from, Event::Operator(Command::Pause(task)));
            self.clock.at(begin + to, Event::Operator(Command::Resume(task)));
        }
        for &(at, most) in &operators.concurrency {
            self.clock.at(begin + at, Event::Operator(Command::SetConcurrency(task, most)));
        }
        for &(at, ordinal) in &operators.target_stops {
            let ordinal = ordinal % u32::try_from(targets).unwrap_or(u32::MAX);
            let target = Target { task, ordinal };
            self.clock.at(begin + at, Event::Operator(Command::StopTarget(target)));
        }
        if let Some((at, kills)) = operators.stop {
            self.clock.at(begin + at, Event::Operator(Command::Stop { task, kills }));
        }
    }
}
