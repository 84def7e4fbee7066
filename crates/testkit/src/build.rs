//! Builders of desktops and tasks with defaults.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::{
    Timestamp,
    containment::Containment,
    deadline::Timeouts,
    desktop::{DesktopFacts, Stratum},
    ids::{DesktopId, ProjectId, TaskId},
    justification::Justification,
    plan::{Canaries, Candidate, Gray, Plan, plan},
    policy::RolloutPolicy,
    script::ScriptType,
};
use store::{
    Store,
    task::{NewTask, PinnedScript},
};
use uuid::Uuid;

/// Id of the project that tests work in.
#[expect(clippy::expect_used, reason = "a constant that is a valid id")]
pub fn project() -> ProjectId {
    "project-1".parse().expect("a valid id")
}

/// Id of a numbered desktop, such as `desktop-7`.
#[expect(clippy::expect_used, reason = "a constant that is a valid id")]
pub fn desktop_id(number: u32) -> DesktopId {
    format!("desktop-{number}").parse().expect("a valid id")
}

/// Facts of a numbered Linux desktop without pool, zone and tags.
pub fn desktop(number: u32) -> DesktopFacts {
    DesktopFacts {
        project_id: project(),
        desktop_id: desktop_id(number),
        computer_name: format!("computer-{number}"),
        os_host_name: format!("host-{number}"),
        os_type: "Linux".into(),
        os_version: "Test 1.0, Linux 6.1".into(),
        containment: Some(Containment::Mark),
        ip_address: "127.0.0.1".into(),
        pool_id: String::new(),
        availability_zone: String::new(),
        agent_version: "test".into(),
        tags: BTreeMap::new(),
        time_zone: String::new(),
        agent_id: String::new(),
        incarnation: 0,
        run_id: String::new(),
        boot_id: String::new(),
        connected_at: Timestamp::UNIX_EPOCH,
        certificate: None,
        attach: None,
    }
}

/// A task over desktops 0 to `targets` - 1 that runs one command.
#[derive(Debug, Clone)]
pub struct Submit {
    /// Project of the task and its desktops.
    pub project_id: ProjectId,
    /// Id of the task; `None` for a new UUIDv7 of the current time.
    pub task_id: Option<TaskId>,
    /// Number of targets.
    pub targets: u32,
    /// Command of every target, run by `/bin/sh`.
    pub command: String,
    /// Size of the gray wave and its failure threshold; `None` for one wave.
    pub gray: Option<(u32, u32)>,
    /// Number of the first script of each target, by ordinal; `None` for 0.
    pub first_scripts: Option<Vec<u16>>,
    /// Time limit of one script.
    pub execution: TimeDelta,
    /// Time that a target waits for its desktop to connect.
    pub delivery: TimeDelta,
    /// Time that a result may take from the desktop to the database.
    pub grace: TimeDelta,
    /// Thresholds and weights of the rollout.
    pub policy: RolloutPolicy,
    /// Maximum number of targets in flight; `None` for no limit.
    pub max_concurrency: Option<u32>,
    /// Time after which no target starts; `None` for no expiry.
    pub expires_at: Option<Timestamp>,
    /// Seed of the canary selection.
    pub seed: u64,
}

impl Default for Submit {
    fn default() -> Self {
        Self {
            project_id: project(),
            task_id: None,
            targets: 1,
            command: "true".to_owned(),
            gray: None,
            first_scripts: None,
            execution: TimeDelta::minutes(10),
            delivery: TimeDelta::minutes(10),
            grace: TimeDelta::seconds(30),
            policy: RolloutPolicy::default(),
            max_concurrency: None,
            expires_at: None,
            seed: 1,
        }
    }
}

impl Submit {
    /// Returns the plan that the task gets.
    pub fn plan(&self) -> anyhow::Result<Plan> {
        let candidates: Vec<Candidate> = (0..self.targets)
            .map(|number| Candidate {
                desktop_id: desktop_id(number),
                stratum: Stratum {
                    os_type: "Linux".into(),
                    pool_id: String::new(),
                    availability_zone: String::new(),
                },
                is_connected: true,
            })
            .collect();
        let gray = self.gray.map(|(count, fail_threshold)| Gray { count, ids: Vec::new(), fail_threshold });
        Ok(plan(&candidates, gray.as_ref(), &Canaries::default(), self.seed)?)
    }
}

/// Stores the task in its own transaction and returns its id.
pub async fn submit(store: &Store, submit: Submit, now: Timestamp) -> anyhow::Result<TaskId> {
    let task_id = submit.task_id.unwrap_or_else(|| TaskId(Uuid::now_v7()));
    let mut tx = store.begin().await?;
    store::task::insert(
        &mut tx,
        &NewTask {
            task_id,
            project_id: &submit.project_id,
            scripts: &[PinnedScript { script: None, name: String::new(), parameters: BTreeMap::new() }],
            command: Some((ScriptType::Shell, &submit.command)),
            timeouts: Timeouts {
                execution: submit.execution,
                delivery: submit.delivery,
                grace: submit.grace,
            },
            plan: &submit.plan()?,
            first_scripts: submit.first_scripts.as_deref(),
            attempt: 1,
            retry_of: None,
            selection: None,
            policy: &submit.policy,
            max_concurrency: submit.max_concurrency,
            expires_at: submit.expires_at,
            created_by: "a-test",
            justification: &Justification::default(),
            trace_context: None,
            now,
        },
    )
    .await?;
    store.commit(tx).await?;
    Ok(task_id)
}
