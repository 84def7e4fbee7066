//! Rows in memory and on Postgres, and the random operations on both.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use domain::{
    Timestamp,
    ids::{BatchId, DesktopId, ProjectId, TaskId, WorkerId},
    outcome::Outcome,
    process::ProcessReport,
    return_policy::PostFinish,
};
use engine::{
    DueTimes, Duty, DutyKind, Engine, LeaseRows as _, Report, ReportedTarget, ReturnedTarget, Rows as _,
    ScriptResult, TargetDetail, TargetSelection,
    row::{BatchRow, LeaseChoice, OutOfService},
};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sim::{
    memory::{MemoryStore, TaskTable},
    rollout::Scenario,
};
use store::{TaskRows, batch, desktop, project_limit, target, worker};
use testkit::{Submit, TestDatabase, desktop, desktop_id, project, submit};

use super::{
    follower::Follower,
    log,
    step::{Act, Step},
    view::View,
};

/// Number of desktops of each project.
const DESKTOPS: u32 = 9;
const PROJECTS: usize = 2;
/// Number of tasks. The last one is of the second project.
const TASKS: usize = 3;
const WORKERS: u32 = 3;
const LEASE: TimeDelta = TimeDelta::seconds(30);

/// A task of a sequence.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) task_id: TaskId,
    pub(super) project_id: ProjectId,
    pub(super) size: u32,
}

/// The id of a project by its place.
fn project_id(place: usize) -> ProjectId {
    if place == 0 { project() } else { format!("project-{}", place + 1).parse().unwrap() }
}

/// Two stores that hold the same rows.
pub(super) struct Pair {
    seed: u64,
    rng: ChaCha8Rng,
    now: Timestamp,
    memory: MemoryStore,
    postgres: TestDatabase,
    tasks: Vec<Task>,
    workers: Vec<WorkerId>,
    /// Batch ids of Postgres by those of the rows in memory. Batches that are gone stay.
    ids: BTreeMap<BatchId, BatchId>,
    /// Batches that were leased, with their workers.
    leased: Vec<BatchRow>,
    steps: Vec<Step>,
    /// A report that comes again.
    again: Option<Step>,
    /// Number of events with which a task was accepted.
    accepted: BTreeMap<TaskId, i64>,
    follower: Follower,
    /// Names of the effects so far.
    pub(super) effects: BTreeSet<String>,
}

impl Pair {
    /// Two tasks of one project over the same desktops, and a task of another project over desktops
    /// of the same names.
    pub(super) async fn new(seed: u64) -> Self {
        let postgres = testkit::database().await.unwrap();
        let mut pair = Self {
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: "2026-07-01T10:00:00Z".parse().unwrap(),
            memory: MemoryStore::default(),
            postgres,
            tasks: Vec::new(),
            workers: (0..WORKERS).map(|number| format!("worker-{number}").parse().unwrap()).collect(),
            ids: BTreeMap::new(),
            leased: Vec::new(),
            steps: Vec::new(),
            again: None,
            accepted: BTreeMap::new(),
            follower: Follower::default(),
            effects: BTreeSet::new(),
        };
        for project in 0..PROJECTS {
            let most = pair.rng.random_bool(0.3).then(|| pair.rng.random_range(1..=6));
            if most.is_some() {
                pair.run(Step::SetLimit { project_id: project_id(project), max_in_flight: most }).await;
            }
        }
        for task in 0..TASKS {
            pair.submit(project_id(task / (TASKS - 1))).await;
        }
        for worker_id in pair.workers.clone() {
            pair.run(Step::Heartbeat { worker_id, is_draining: false }).await;
        }
        pair
    }

    /// Submits a task to Postgres, and copies its rows.
    async fn submit(&mut self, project_id: ProjectId) {
        let targets = self.rng.random_range(3..=DESKTOPS);
        let gray = self.rng.random_bool(0.6).then(|| (self.rng.random_range(2..targets), 1));
        let drawn = Scenario::drawn(self.rng.random_range(0..1_000_000));
        let mut policy = drawn.projects[0].tasks[0].policy.clone();
        policy.strict &= gray.is_none() && policy.fail_threshold.is_some();
        if self.rng.random_bool(0.4) {
            policy.returns.post_finish = Some(PostFinish::Reboot);
            policy.returns.timeout_seconds = Some(120);
        }
        let terms = Submit {
            project_id: project_id.clone(),
            targets,
            gray,
            execution: TimeDelta::minutes(2),
            delivery: TimeDelta::minutes(3),
            policy,
            max_concurrency: self.rng.random_bool(0.3).then_some(2),
            expires_at: self.rng.random_bool(0.2).then(|| self.now + TimeDelta::minutes(15)),
            seed: self.seed,
            ..Submit::default()
        };
        let task_id = submit(&self.postgres.store, terms, self.now).await.unwrap();
        let mut tx = self.postgres.store.begin().await.unwrap();
        self.accepted.insert(task_id, log::count_events(&mut tx, task_id).await);
        let mut rows = TaskRows::new(&mut tx);
        let facts = rows.lock(task_id, &[]).await.unwrap().unwrap().facts;
        let mut waves = Vec::new();
        while let Some(row) = rows.lock_next_wave(task_id, u16::try_from(waves.len()).unwrap()).await.unwrap()
        {
            waves.push(row);
        }
        let next = TargetSelection::Next { first: 0, number: targets };
        let targets: Vec<_> = rows.targets(task_id, &project_id, next, TargetDetail::Plain).await.unwrap();
        let targets: Vec<_> =
            targets.into_iter().map(|target| (target.desktop_id, target.first_script)).collect();
        let size = u32::try_from(targets.len()).unwrap();
        self.tasks.push(Task { task_id, project_id, size });
        self.memory.tasks.insert(task_id, TaskTable::new(facts, waves, targets));
    }

    /// Runs a random operation on both stores, and compares them.
    pub(super) async fn step(&mut self) {
        self.now += TimeDelta::seconds(match self.rng.random_range(0..10) {
            0 => self.rng.random_range(60..400),
            1..4 => self.rng.random_range(5..40),
            _ => self.rng.random_range(0..5),
        });
        let step = match self.again.take() {
            Some(step) => step,
            None => self.choose().await,
        };
        self.run(step).await;
    }

    async fn run(&mut self, step: Step) {
        self.steps.push(step.clone());
        self.run_in_memory(&step).await;
        self.run_on_postgres(&step).await;
        self.compare().await;
    }

    async fn compare(&mut self) {
        let memory = View::read(&mut self.memory, &self.tasks, &self.workers, self.now).await;
        let mut tx = self.postgres.store.begin().await.unwrap();
        let mut rows = TaskRows::new(&mut tx);
        let postgres = View::read(&mut rows, &self.tasks, &self.workers, self.now).await;
        let mut logs = Vec::new();
        for Task { task_id, .. } in &self.tasks {
            logs.push((
                log::of_table(&self.memory.tasks[task_id]),
                log::read(&mut tx, *task_id, self.accepted[task_id]).await,
            ));
        }
        let context = format!("seed {}, after {:#?}", self.seed, self.steps.last());
        self.follower.follow(&mut tx, &self.tasks, &context).await;
        drop(tx);
        for (in_memory, on_postgres) in memory.lines.iter().zip(&postgres.lines) {
            let (seed, steps) = (self.seed, &self.steps[self.steps.len().saturating_sub(12)..]);
            assert_eq!(in_memory, on_postgres, "seed {seed}, after {steps:#?}");
        }
        for (in_memory, on_postgres) in logs {
            assert_eq!(in_memory, on_postgres, "seed {}", self.seed);
        }
        for (place, batch_id) in memory.batches {
            self.ids.insert(batch_id, postgres.batches[&place]);
        }
    }

    /// Compares what a retry of each task would take.
    pub(super) async fn compare_remainders(&mut self) {
        assert!(self.follower.applied > 0, "seed {}: no change of a map", self.seed);
        let mut connection = self.postgres.store.acquire().await.unwrap();
        for Task { task_id, .. } in &self.tasks {
            let in_memory: Vec<_> = self.memory.remainder(*task_id).into_values().collect();
            let on_postgres = target::remainder(&mut connection, *task_id).await.unwrap();
            assert_eq!(in_memory, on_postgres, "seed {}", self.seed);
        }
    }

    async fn run_in_memory(&mut self, step: &Step) {
        let now = self.now;
        match step {
            Step::Heartbeat { worker_id, is_draining } => {
                self.memory.put_heartbeat(worker_id, 10, *is_draining, now);
            }
            Step::Connect { worker_id, project_id, desktop_id, agent_id, boot_id } => {
                self.memory.connect(worker_id, (project_id, desktop_id), agent_id, boot_id, now);
            }
            Step::Disconnect { worker_id, project_id, desktop_id } => {
                self.memory.disconnect(worker_id, (project_id, desktop_id), now);
            }
            Step::Retire { project_id, desktop_id } => {
                let key = (project_id, desktop_id);
                self.memory.put_out_of_service(key, OutOfService::Retired, now);
            }
            Step::Forget { worker_id, died } => {
                let last_heartbeat_before = died.then(|| now + TimeDelta::seconds(1));
                self.memory.forget_worker(worker_id, last_heartbeat_before, now);
            }
            Step::Lease { choices } => {
                let mut leased = self.memory.lease(choices, now, now + LEASE).await.unwrap();
                self.leased.append(&mut leased);
            }
            Step::Renew { worker_id, leases } => {
                self.memory.renew(worker_id, leases.clone(), now + LEASE);
            }
            Step::Freeze { project_id } => {
                self.memory.freezes.insert(project_id.clone());
            }
            Step::SetLimit { project_id, max_in_flight } => {
                let limits = self.memory.limits.entry(project_id.clone()).or_default();
                limits.max_in_flight = *max_in_flight;
            }
            Step::Decide(act) => {
                for decision in act.decide(&mut self.memory, now).await.unwrap() {
                    self.memory.apply(&decision.changes).await.unwrap();
                    self.effects.extend(decision.effects.iter().map(name));
                    if !decision.changes.records.is_empty() {
                        self.effects.insert("Recorded".to_owned());
                    }
                }
            }
        }
    }

    /// The same choices with the batch ids of Postgres.
    fn translated(&self, choices: &[LeaseChoice]) -> Vec<LeaseChoice> {
        let translated =
            choices.iter().map(|choice| LeaseChoice { batch_id: self.ids[&choice.batch_id], ..*choice });
        translated.collect()
    }

    async fn run_on_postgres(&mut self, step: &Step) {
        let now = self.now;
        let mut tx = self.postgres.store.begin().await.unwrap();
        match step {
            Step::Heartbeat { worker_id, is_draining } => {
                worker::record_heartbeat(&mut tx, worker_id, "address", 10, *is_draining, now).await.unwrap();
            }
            Step::Connect { worker_id, project_id, desktop_id, agent_id, boot_id } => {
                let facts = domain::desktop::DesktopFacts {
                    project_id: project_id.clone(),
                    desktop_id: desktop_id.clone(),
                    agent_id: agent_id.clone(),
                    boot_id: boot_id.clone(),
                    connected_at: now,
                    ..desktop(0)
                };
                desktop::connected(&mut tx, worker_id, &[facts], now).await.unwrap();
            }
            Step::Disconnect { worker_id, project_id, desktop_id } => {
                let desktop = (project_id.clone(), desktop_id.clone());
                desktop::disconnected(&mut tx, worker_id, &[desktop], now).await.unwrap();
            }
            Step::Retire { project_id, desktop_id } => {
                desktop::retire(&mut tx, project_id, desktop_id, "alice", now).await.unwrap();
            }
            Step::Forget { worker_id, died } => {
                if worker::delete(&mut tx, worker_id, None).await.unwrap() {
                    desktop::worker_gone(&mut tx, worker_id, now).await.unwrap();
                    batch::end_leases_of(&mut tx, worker_id, *died).await.unwrap();
                }
            }
            Step::Lease { choices } => {
                let choices = self.translated(choices);
                TaskRows::new(&mut tx).lease(&choices, now, now + LEASE).await.unwrap();
            }
            Step::Renew { worker_id, leases } => {
                let epoch = |task_id: &TaskId, batch_id: &BatchId| {
                    let batch = self.memory.tasks[task_id].batches.get(batch_id);
                    batch.map_or(0, |batch| batch.row.epoch)
                };
                let keys = leases.iter().map(|(task_id, batch_id)| batch::LeaseKey {
                    task_id: *task_id,
                    batch_id: self.ids[batch_id],
                    epoch: epoch(task_id, batch_id),
                });
                let keys: Vec<batch::LeaseKey> = keys.collect();
                batch::renew(&mut tx, worker_id, &keys, now + LEASE).await.unwrap();
            }
            Step::SetLimit { project_id, max_in_flight } => {
                let max_in_flight = *max_in_flight;
                let limits = project_limit::ProjectLimits { max_in_flight, ..Default::default() };
                project_limit::put(&mut tx, project_id, limits).await.unwrap();
            }
            Step::Freeze { project_id } => {
                let (frozen_by, [reason, ticket]) = ("alice".into(), [String::new(), String::new()]);
                let freeze = project_limit::FreezeRow { frozen_at: now, frozen_by, reason, ticket };
                project_limit::set_frozen(&mut tx, project_id, &freeze).await.unwrap();
            }
            Step::Decide(act) => {
                let act = act.translated(|batch_id| self.ids[&batch_id]);
                let mut rows = TaskRows::new(&mut tx);
                for decision in act.decide(&mut rows, now).await.unwrap() {
                    rows.apply(&decision.changes).await.unwrap();
                }
            }
        }
        self.postgres.store.commit(tx).await.unwrap();
    }

    async fn choose(&mut self) -> Step {
        let worker_id = self.workers[self.rng.random_range(0..self.workers.len())].clone();
        let desktop_id = desktop_id(self.rng.random_range(0..DESKTOPS));
        let Task { task_id, project_id, size } = self.tasks[self.rng.random_range(0..TASKS)].clone();
        let ordinal = self.rng.random_range(0..size);
        match self.rng.random_range(0..100) {
            0..6 => Step::Heartbeat { worker_id, is_draining: self.rng.random_bool(0.15) },
            6..22 => self.connect(worker_id, project_id, desktop_id),
            22..27 => Step::Disconnect { worker_id, project_id, desktop_id },
            27..30 => Step::Forget { worker_id, died: self.rng.random_bool(0.8) },
            30..43 => self.lease(&worker_id).await,
            43 => self.renew(worker_id),
            44 => Step::SetLimit { project_id, max_in_flight: Some(self.rng.random_range(1..8)) },
            45..47 => Step::Freeze { project_id },
            47..60 => Step::Decide(Act::Cut(task_id)),
            60..75 => self.report(),
            75..86 => self.duty().await,
            86 => Step::Decide(Act::Pause(task_id)),
            87..90 => Step::Decide(Act::Resume(task_id)),
            90 => Step::Decide(Act::SuspendProject(project_id)),
            91..94 => Step::Decide(Act::ReleaseProject(project_id)),
            94 => Step::Decide(Act::Stop { task_id, kills: self.rng.random_bool(0.5) }),
            95..97 => Step::Decide(Act::StopTarget { task_id, ordinal }),
            97 => Step::Retire { project_id, desktop_id },
            98 => Step::Decide(Act::SetMaxConcurrency(task_id, Some(self.rng.random_range(1..5)))),
            _ => Step::Decide(Act::Approve { task_id, wave: self.rng.random_range(1..3) }),
        }
    }

    /// Connects a desktop. Another agent than before comes only while the desktop is offline.
    fn connect(&mut self, worker_id: WorkerId, project_id: ProjectId, desktop_id: DesktopId) -> Step {
        let known = self.memory.presence(&project_id, &desktop_id);
        let is_online = known.is_some_and(|presence| presence.worker_id.is_some());
        let is_new = known.is_none() || !is_online && self.rng.random_bool(0.2);
        let agent_id = match known {
            Some(presence) if !is_new => presence.agent_id.clone(),
            _ => format!("agent-{}", self.rng.random_range(0..1_000)),
        };
        let boot_id = self.rng.random_range(0..3).to_string();
        if self.memory.workers.contains_key(&worker_id) {
            Step::Connect { worker_id, project_id, desktop_id, agent_id, boot_id }
        } else {
            Step::Heartbeat { worker_id, is_draining: false }
        }
    }

    /// Renews some batches that were leased lately, some of them by other workers.
    fn renew(&mut self, worker_id: WorkerId) -> Step {
        let recent = self
            .leased
            .iter()
            .rev()
            .take(4)
            .filter(|row| self.memory.tasks[&row.terms.task_id].batches.contains_key(&row.batch_id));
        let leases = recent.map(|row| (row.terms.task_id, row.batch_id)).collect();
        Step::Renew { worker_id, leases }
    }

    async fn lease(&mut self, worker_id: &WorkerId) -> Step {
        let engine = Engine::new();
        let ready = engine.leasable(&mut self.memory, worker_id, self.now, LEASE).await.unwrap();
        let room = self.rng.random_range(1..6);
        Step::Lease { choices: engine.choose(&ready, room, self.now) }
    }

    /// A duty that is due, or a cut.
    async fn duty(&mut self) -> Step {
        let mut due: Vec<Duty> = Vec::new();
        for kind in DutyKind::ALL {
            due.append(&mut self.memory.due(kind, DueTimes::at(self.now), 100).await.unwrap());
        }
        if due.is_empty() {
            return Step::Decide(Act::Cut(self.tasks[0].task_id));
        }
        let duty = due.swap_remove(self.rng.random_range(0..due.len()));
        Step::Decide(Act::Perform(duty))
    }

    /// A report of a batch that was leased once, by its worker or by another one.
    fn report(&mut self) -> Step {
        if self.leased.is_empty() {
            return Step::Decide(Act::Cut(self.tasks[0].task_id));
        }
        let recent = self.leased.len().saturating_sub(4);
        let place = self.rng.random_range(recent..self.leased.len());
        let BatchRow { batch_id, terms, worker_id, members, .. } = self.leased[place].clone();
        let (mut results, mut returned) = (Vec::new(), Vec::new());
        for member in members {
            if self.rng.random_bool(0.25) {
                let handed = self.rng.random_bool(0.6);
                returned.push(ReturnedTarget {
                    batch_id,
                    ordinal: member.ordinal,
                    handed,
                    given_back: false,
                });
            } else if self.rng.random_bool(0.7) {
                results.push(ReportedTarget {
                    ordinal: member.ordinal,
                    attempt: 1,
                    batch_id: self.rng.random_bool(0.8).then_some(batch_id),
                    project_id: self.project_of(terms.task_id),
                    desktop_id: member.desktop_id,
                    agent_id: member.agent_id,
                    is_authentic: false,
                    scripts: vec![self.script()],
                    reboots_from: self.rng.random_bool(0.8).then(|| self.rng.random_range(0..3).to_string()),
                });
            }
        }
        let names: BTreeSet<&WorkerId> = self.workers.iter().collect();
        let other = names.into_iter().find(|other| **other != worker_id).unwrap().clone();
        let worker_id = if self.rng.random_bool(0.9) { worker_id } else { other };
        let report = Report { task_id: terms.task_id, worker_id, results, returned };
        let step = Step::Decide(Act::Report(report));
        self.again = Some(step.clone()).filter(|_| self.rng.random_bool(0.4));
        step
    }

    /// The project of a task, and now and then another one: a result of another project is refused.
    fn project_of(&mut self, task_id: TaskId) -> ProjectId {
        let task = self.tasks.iter().find(|task| task.task_id == task_id).unwrap();
        let other = self.rng.random_bool(0.03).then(|| project_id(1));
        other.unwrap_or_else(|| task.project_id.clone())
    }

    fn script(&mut self) -> ScriptResult {
        let (outcome, exit_code) = match self.rng.random_range(0..10) {
            0..6 => (Outcome::Success, Some(0)),
            6 => (Outcome::Failed, Some(75)),
            7 => (Outcome::Failed, Some(1)),
            8 => (Outcome::Timeout, None),
            _ => (Outcome::Rejected, None),
        };
        let output = if outcome == Outcome::Success { "" } else { "no such file" };
        ScriptResult {
            outcome,
            exit_code,
            started_at: Some(self.now),
            ended_at: None,
            output: output.to_owned(),
            reason: String::new(),
            process: ProcessReport::default(),
        }
    }
}

/// The name of an effect, without its fields.
fn name(effect: &engine::Effect) -> String {
    format!("{effect:?}").split(' ').next().unwrap().to_owned()
}
