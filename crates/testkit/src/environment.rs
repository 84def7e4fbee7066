//! Use cases and engine over a database per test, without adapters.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use control::{Access, Actor, Control, Credentials, Defaults, MasterKeys, NewToken};
use domain::{
    Timestamp,
    desktop::DesktopFacts,
    ids::{DesktopId, WorkerId},
    outcome::Outcome,
    process::ProcessReport,
};
use scheduler::{Config, Leased, Scheduler, ScriptResult, TargetReport};
use sqlx::{Decode, Postgres, Type};

use crate::{TestClock, TestDatabase, database, project};

/// A database with use cases and engine, one worker, and a fixed clock.
#[derive(Debug)]
pub struct TestEnvironment {
    /// Database of the test.
    pub database: TestDatabase,
    /// Use cases.
    pub control: Control,
    /// Rollout engine, driven as a scheduler drives it.
    pub engine: Scheduler,
}

impl TestEnvironment {
    /// Creates a database and use cases with these static credentials.
    pub async fn new(fixed: Credentials) -> anyhow::Result<Self> {
        let database = database().await?;
        let access = Access { fixed, master_keys: MasterKeys::new(["5".repeat(64)])? };
        let clock = Arc::new(TestClock::default());
        let control = Control::new(database.store.clone(), Defaults::default(), clock, access)
            .with_cluster_admins([(project(), "configuration".to_owned())]);
        let engine = Scheduler::new(database.store.clone(), Config::default());
        Ok(Self { database, control, engine })
    }

    /// Id of the only worker.
    #[expect(clippy::expect_used, reason = "a constant that is a valid id")]
    pub fn worker() -> WorkerId {
        "worker-1".parse().expect("a valid id")
    }

    /// Current time of the test clock.
    pub fn now() -> Timestamp {
        TestClock::start()
    }

    /// Creates the project of the tests unless it exists. Principals and credentials belong to it.
    pub async fn create_project(&self) -> anyhow::Result<()> {
        let projects = self.control.list_projects().await?;
        if !projects.iter().any(|row| row.project_id == project()) {
            self.control.create_project(&project(), "a test").await?;
        }
        Ok(())
    }

    /// Creates a token of a principal with these policies: names of ready policies or
    /// `name=document`.
    pub async fn token(&self, principal: &str, policies: &[&str]) -> anyhow::Result<String> {
        self.create_project().await?;
        let project_id = project();
        let actor = Actor::Database(&project_id);
        let mut names = Vec::new();
        for policy in policies {
            let name = match policy.split_once('=') {
                Some((name, document)) => {
                    self.control.put_policy(actor, name, document).await?;
                    name
                }
                None => policy,
            };
            names.push(name.to_owned());
        }
        self.control.put_principal(actor, principal, &names).await?;
        let NewToken { token, .. } = self.control.create_token(actor, principal, None).await?;
        Ok(token)
    }

    /// Connects desktops through the worker.
    pub async fn connect(&self, desktops: impl IntoIterator<Item = DesktopFacts>) -> anyhow::Result<()> {
        let (worker, now) = (Self::worker(), Self::now());
        let desktops: Vec<_> = desktops.into_iter().collect();
        self.engine.heartbeat(&worker, "here", 10_000, false, now).await?;
        let update = self.engine.presence(&worker, &desktops, &[], now).await?;
        update.map(drop).context("the worker is not known")
    }

    /// Disconnects desktops from the worker.
    pub async fn disconnect(&self, desktops: impl IntoIterator<Item = DesktopId>) -> anyhow::Result<()> {
        let gone: Vec<_> = desktops.into_iter().map(|desktop_id| (project(), desktop_id)).collect();
        let update = self.engine.presence(&Self::worker(), &[], &gone, Self::now()).await?;
        update.map(drop).context("the worker is not known")
    }

    /// Admits all admissible targets and leases the one batch of a task.
    pub async fn lease(&self, task_id: &str) -> anyhow::Result<Leased> {
        while self.engine.admit_all(Self::now()).await? {}
        let leased = self.engine.lease(&Self::worker(), 1_000, Self::now()).await?.leased;
        let mut leased: Vec<Leased> =
            leased.into_iter().filter(|leased| leased.batch.terms.task_id.to_string() == task_id).collect();
        ensure!(leased.len() == 1, "{} batches of task {task_id}", leased.len());
        leased.pop().context("a batch")
    }

    /// Reports the targets of a batch in plan order, each with the results of its scripts.
    pub async fn report(&self, leased: &Leased, targets: Vec<Vec<ScriptResult>>) -> anyhow::Result<()> {
        ensure!(leased.batch.members.len() == targets.len(), "a report for each target");
        let results = leased.batch.members.iter().zip(targets).map(|(member, scripts)| TargetReport {
            task_id: leased.batch.terms.task_id,
            ordinal: member.ordinal,
            attempt: u32::from(leased.spec.facts.attempt),
            batch_id: Some(leased.batch.batch_id),
            project_id: project(),
            desktop_id: member.desktop_id.clone(),
            agent_id: member.agent_id.clone(),
            is_authentic: false,
            scripts,
            reboots_from: None,
            trace_context: None,
        });
        let results = results.collect();
        let answer = self.engine.report(&Self::worker(), results, Vec::new(), Self::now()).await?;
        ensure!(answer.refused.is_empty(), "refused: {:?}", answer.refused);
        Ok(())
    }

    /// Reads one value from the database.
    pub async fn scalar<T>(&self, statement: &'static str) -> anyhow::Result<T>
    where
        T: Send + Unpin + Type<Postgres> + for<'row> Decode<'row, Postgres>,
    {
        let mut connection = self.database.connection().await?;
        Ok(sqlx::query_scalar(statement).fetch_one(&mut connection).await?)
    }
}

/// Result of a script that starts and ends at the current time of the test clock.
pub fn script_report(outcome: Outcome, exit_code: Option<i32>, output: &str) -> ScriptResult {
    let now = TestEnvironment::now();
    ScriptResult {
        outcome,
        exit_code,
        started_at: Some(now),
        ended_at: Some(now),
        output: output.to_owned(),
        reason: String::new(),
        process: ProcessReport::default(),
    }
}
