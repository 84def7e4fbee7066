//! A database, an engine on it, and workers with connected desktops.

use chrono::{DateTime, TimeDelta};
use domain::{
    Timestamp,
    ids::{BatchId, TaskId, WorkerId},
    outcome::Outcome,
    process::ProcessReport,
};
use engine::{Decision, DueTimes, Engine, Rows as _};
use scheduler::{Config, Leased, ReturnedTarget, Scheduler, ScriptResult, TargetReport};
use store::batch::LeaseKey;
use store::{Store, TaskRows, Tx, task::TaskRow, wave::WaveRow};
use testkit::{Submit, TestDatabase, desktop, desktop_id, project};

/// Engine under test.
pub(crate) const ENGINE: Engine = Engine::new();

pub(crate) struct Harness {
    pub(crate) database: TestDatabase,
    pub(crate) engine: Scheduler,
}

/// Start time of all tests.
pub(crate) fn start() -> Timestamp {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

pub(crate) fn after(seconds: i64) -> Timestamp {
    start() + TimeDelta::seconds(seconds)
}

pub(crate) fn worker(name: &str) -> WorkerId {
    name.parse().unwrap()
}

impl Harness {
    pub(crate) async fn new() -> Self {
        let database = testkit::database().await.unwrap();
        let engine = Scheduler::new(database.store.clone(), Config::default());
        Self { database, engine }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.database.store
    }

    /// Registers a worker and connects these desktops to it.
    pub(crate) async fn online(&self, worker_id: &WorkerId, desktops: std::ops::Range<u32>, now: Timestamp) {
        self.engine.heartbeat(worker_id, "here", 10_000, false, now).await.unwrap();
        let facts: Vec<_> = desktops.map(desktop).collect();
        assert!(self.engine.presence(worker_id, &facts, &[], now).await.unwrap().is_some());
    }

    /// Creates desktops that are connected to no worker.
    pub(crate) async fn offline(&self, desktops: std::ops::Range<u32>, now: Timestamp) {
        let nobody = worker("gone");
        self.online(&nobody, desktops, now).await;
        assert!(self.engine.forget_worker(&nobody, None, now).await.unwrap());
    }

    /// Disconnects desktops of the worker `w`.
    pub(crate) async fn offline_of(&self, desktops: &[u32], now: Timestamp) {
        let gone: Vec<_> = desktops.iter().map(|number| (project(), desktop_id(*number))).collect();
        assert!(self.engine.presence(&worker("w"), &[], &gone, now).await.unwrap().is_some());
    }

    pub(crate) async fn submit(&self, submit: Submit) -> TaskId {
        testkit::submit(self.store(), submit, start()).await.unwrap()
    }

    /// Submits a task and performs one batching step.
    pub(crate) async fn submit_and_cut(&self, submit: Submit) -> TaskId {
        let task_id = self.submit(submit).await;
        while self.engine.admit(task_id, start()).await.unwrap() {}
        task_id
    }

    pub(crate) async fn lease(&self, worker_id: &WorkerId, room: u32, now: Timestamp) -> Vec<Leased> {
        self.engine.lease(worker_id, room, now).await.unwrap().leased
    }

    /// Performs all time-driven work, then leases everything available to the live worker `w`.
    pub(crate) async fn leased(&self, seconds: i64) -> Vec<Leased> {
        let (here, now) = (worker("w"), after(seconds));
        self.engine.heartbeat(&here, "here", 10_000, false, now).await.unwrap();
        self.reap(now).await;
        while self.engine.admit_all(now).await.unwrap() {}
        self.lease(&here, 10_000, now).await
    }

    /// Performs a tick at a time at which every heartbeat could be stored.
    pub(crate) async fn reap(&self, now: Timestamp) {
        self.engine.reap(DueTimes::at(now)).await.unwrap();
    }

    /// Reports one outcome for each of the batch's targets.
    pub(crate) async fn report(
        &self,
        worker_id: &WorkerId,
        leased: &Leased,
        outcome: Outcome,
        now: Timestamp,
    ) {
        let results = results(leased, outcome);
        let answer = self.engine.report(worker_id, results, Vec::new(), now).await.unwrap();
        assert!(answer.refused.is_empty(), "{:?}", answer.refused);
    }

    pub(crate) async fn task(&self, task_id: TaskId) -> TaskRow {
        let mut connection = self.store().acquire().await.unwrap();
        store::task::fetch(&mut connection, &project(), task_id).await.unwrap().unwrap()
    }

    pub(crate) async fn waves(&self, task_id: TaskId) -> Vec<WaveRow> {
        let mut connection = self.store().acquire().await.unwrap();
        let waves = store::wave::list(&mut connection, &[task_id]).await.unwrap();
        waves.into_iter().map(|(_, wave)| wave).collect()
    }

    /// Applies decisions made in this transaction, and commits it.
    pub(crate) async fn commit(&self, mut tx: Tx, decisions: impl IntoIterator<Item = Decision>) {
        for decision in decisions {
            TaskRows::new(&mut tx).apply(&decision.changes).await.unwrap();
        }
        self.store().commit(tx).await.unwrap();
    }

    /// Reads one number from the database.
    pub(crate) async fn count(&self, statement: &'static str) -> i64 {
        let mut connection = self.database.connection().await.unwrap();
        sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
    }
}

/// Ordinals of the targets of leased batches.
pub(crate) fn ordinals(leased: &[Leased]) -> Vec<u32> {
    leased.iter().flat_map(|leased| leased.batch.members.iter().map(|member| member.ordinal)).collect()
}

pub(crate) fn results(leased: &Leased, outcome: Outcome) -> Vec<TargetReport> {
    let task_id = leased.batch.terms.task_id;
    let batch_id = Some(leased.batch.batch_id);
    leased
        .batch
        .members
        .iter()
        .map(|member| TargetReport {
            desktop_id: member.desktop_id.clone(),
            agent_id: member.agent_id.clone(),
            ..result(task_id, batch_id, member.ordinal, outcome)
        })
        .collect()
}

/// A target of a leased batch that its worker returns. `handed` means that its agent may have
/// started it.
pub(crate) fn returned(leased: &Leased, ordinal: u32, handed: bool) -> ReturnedTarget {
    ReturnedTarget {
        task_id: leased.batch.terms.task_id,
        batch_id: leased.batch.batch_id,
        ordinal,
        handed,
        given_back: false,
        full: None,
    }
}

/// Result of desktop `ordinal`: valid for plans without a gray wave, whose order is that of the
/// ids.
pub(crate) fn result(
    task_id: TaskId,
    batch_id: Option<BatchId>,
    ordinal: u32,
    outcome: Outcome,
) -> TargetReport {
    TargetReport {
        task_id,
        ordinal,
        attempt: 1,
        batch_id,
        project_id: project(),
        desktop_id: desktop_id(ordinal),
        agent_id: String::new(),
        is_authentic: false,
        reboots_from: None,
        trace_context: None,
        scripts: vec![ScriptResult {
            outcome,
            exit_code: (outcome == Outcome::Success).then_some(0),
            started_at: Some(start()),
            ended_at: Some(start()),
            output: String::new(),
            reason: String::new(),
            process: ProcessReport::default(),
        }],
    }
}

/// Key with which a worker renews a lease.
pub(crate) fn key(leased: &Leased) -> LeaseKey {
    LeaseKey {
        task_id: leased.batch.terms.task_id,
        batch_id: leased.batch.batch_id,
        epoch: leased.batch.epoch,
    }
}
