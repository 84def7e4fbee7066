//! The service over a database of its own, with a clock that stands still and ids that count up.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use admin::Options;
use chrono::DateTime;
use control::{Access, Actor, Clock, Control, Credentials, Defaults, MasterKeys, NewToken, Token};
use domain::{Timestamp, ids::WorkerId, outcome::Outcome};
use identity::{Certified, Identity};
use proto::admin::{
    Command, ScriptType, SubmitTaskRequest, Task, TaskSpec, access_service_client::AccessServiceClient,
    audit_service_client::AuditServiceClient, desktop_service_client::DesktopServiceClient,
    insight_service_client::InsightServiceClient, project_service_client::ProjectServiceClient,
    record_service_client::RecordServiceClient, script_service_client::ScriptServiceClient,
    task_service_client::TaskServiceClient, worker_service_client::WorkerServiceClient,
};
use scheduler::{Config, Leased, Scheduler, ScriptResult, TargetReport};
use testkit::TestDatabase;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    service::{Interceptor, Routes, interceptor::InterceptedService},
};
use tonic_types::{ErrorDetails, StatusExt as _};
use uuid::Uuid;

pub(crate) const TOKEN: &str = "a-token-of-project-1";

#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn id(&self) -> Uuid {
        Uuid::from_u128(
            0x019a_0000_0000_7000_8000_0000_0000_0000 + u128::from(self.0.fetch_add(1, Ordering::SeqCst)),
        )
    }

    fn seed(&self) -> u64 {
        7
    }
}

/// Sends a token, or none.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(Option<String>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        Ok(request)
    }
}

pub(crate) type Channel = InterceptedService<Routes, Bearer>;

pub(crate) struct Harness {
    database: TestDatabase,
    pub(crate) engine: Scheduler,
    pub(crate) control: Control,
    pub(crate) stop: CancellationToken,
    routes: Routes,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default(), None).await
    }

    /// With a certificate that each call comes with.
    pub(crate) async fn with(options: Options, certificate: Option<Identity>) -> Self {
        let database = testkit::database().await.unwrap();
        let tokens = vec![Token::new("project-1".parse().unwrap(), TOKEN).unwrap()];
        let master_keys = MasterKeys::new(["5".repeat(64)]).unwrap();
        let access = Access { fixed: Credentials::new(tokens, Vec::new()), master_keys };
        let clock = Arc::new(TestClock::default());
        let control = Control::new(database.store.clone(), Defaults::default(), clock, access);
        let engine = Scheduler::new(database.store.clone(), Config::default());
        let stop = CancellationToken::new();
        let guard = move |mut request: Request<()>| {
            if let Some(identity) = certificate.clone() {
                let serial = "0a".to_owned();
                let shown = Certified { identity, serial, not_before_unix: 0, not_after_unix: i64::MAX };
                request.extensions_mut().insert(shown);
            }
            Ok(request)
        };
        let routes = admin::routes(control.clone(), &options, guard, stop.clone());
        Self { database, engine, control, stop, routes }
    }

    /// One text from the database.
    pub(crate) async fn text(&self, statement: &'static str) -> String {
        let mut connection = self.database.connection().await.unwrap();
        sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
    }

    pub(crate) fn channel(&self, token: Option<&str>) -> Channel {
        InterceptedService::new(self.routes.clone(), Bearer(token.map(str::to_owned)))
    }

    pub(crate) fn tasks(&self) -> TaskServiceClient<Channel> {
        TaskServiceClient::new(self.channel(Some(TOKEN)))
    }

    pub(crate) fn insight(&self) -> InsightServiceClient<Channel> {
        InsightServiceClient::new(self.channel(Some(TOKEN)))
    }

    pub(crate) fn records(&self) -> RecordServiceClient<Channel> {
        RecordServiceClient::new(self.channel(Some(TOKEN)))
    }

    pub(crate) fn projects(&self) -> ProjectServiceClient<Channel> {
        ProjectServiceClient::new(self.channel(Some(TOKEN)))
    }

    pub(crate) fn workers(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channel(Some(TOKEN)))
    }

    pub(crate) fn desktops_client(&self) -> DesktopServiceClient<Channel> {
        DesktopServiceClient::new(self.channel(Some(TOKEN)))
    }

    pub(crate) fn scripts(&self) -> ScriptServiceClient<Channel> {
        ScriptServiceClient::new(self.channel(Some(TOKEN)))
    }

    pub(crate) fn access(&self) -> AccessServiceClient<Channel> {
        AccessServiceClient::new(self.channel(Some(TOKEN)))
    }

    pub(crate) fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel(Some(TOKEN)))
    }

    /// Makes the project of the tests, which principals and credentials need.
    pub(crate) async fn project(&self) {
        self.control.create_project(&testkit::project(), "a test").await.unwrap();
    }

    /// A token of a principal with these ready policies.
    pub(crate) async fn token(&self, principal: &str, policies: &[&str]) -> String {
        self.project().await;
        let (project_id, policies) = (testkit::project(), policies.iter().map(ToString::to_string));
        let actor = Actor::Database(&project_id);
        self.control.put_principal(actor, principal, &policies.collect::<Vec<_>>()).await.unwrap();
        let NewToken { token, .. } = self.control.create_token(actor, principal, None).await.unwrap();
        token
    }

    /// A token of a principal whose one policy is this document.
    pub(crate) async fn token_with(&self, principal: &str, document: &str) -> String {
        self.project().await;
        let project_id = testkit::project();
        let actor = Actor::Database(&project_id);
        self.control.put_policy(actor, "its-own", document).await.unwrap();
        self.control.put_principal(actor, principal, &["its-own".to_owned()]).await.unwrap();
        self.control.create_token(actor, principal, None).await.unwrap().token
    }

    pub(crate) fn worker() -> WorkerId {
        "worker-1".parse().unwrap()
    }

    pub(crate) fn now() -> Timestamp {
        TestClock::default().now()
    }

    /// Desktops `desktop-0` and so on of the pool `pool-1`, the even ones with the tag `pool=finance`, held by a worker.
    pub(crate) async fn desktops(&self, number: u32) {
        let now = Self::now();
        self.engine.heartbeat(&Self::worker(), "here", 10_000, false, now).await.unwrap();
        let facts = (0..number).map(|number| {
            let mut facts = testkit::desktop(number);
            facts.pool_id = "pool-1".into();
            if number % 2 == 0 {
                facts.tags.insert("pool".into(), "finance".into());
            }
            facts
        });
        let facts: Vec<_> = facts.collect();
        assert!(self.engine.presence(&Self::worker(), &facts, &[], now).await.unwrap().is_some());
    }

    /// Stores a task that runs a command on these desktops.
    pub(crate) async fn submit(&self, task: TaskSpec) -> Task {
        let request = SubmitTaskRequest { task: Some(task), idempotency_key: String::new() };
        self.tasks().submit_task(request).await.unwrap().into_inner().task.unwrap()
    }

    /// Leases what there is of a task, which fits into one batch.
    pub(crate) async fn lease(&self, task_id: &str) -> Leased {
        while self.engine.cut_all(Self::now()).await.unwrap() {}
        let leased = self.engine.lease(&Self::worker(), 1_000, Self::now()).await.unwrap();
        let mut leased: Vec<Leased> =
            leased.into_iter().filter(|leased| leased.batch.terms.task_id.to_string() == task_id).collect();
        assert_eq!(leased.len(), 1);
        leased.pop().unwrap()
    }

    /// The open wave of a task of one script, from cut to end, each target with its exit code.
    pub(crate) async fn run(&self, task_id: &str, exit_codes: &[i32]) {
        let leased = self.lease(task_id).await;
        assert_eq!(leased.batch.members.len(), exit_codes.len());
        let results = leased.batch.members.iter().zip(exit_codes).map(|(member, &exit_code)| TargetReport {
            task_id: leased.batch.terms.task_id,
            ordinal: member.ordinal,
            attempt: u32::from(leased.spec.facts.attempt),
            batch_id: Some(leased.batch.batch_id),
            project_id: testkit::project(),
            desktop_id: member.desktop_id.clone(),
            agent_id: member.agent_id.clone(),
            scripts: vec![ScriptResult {
                outcome: if exit_code == 0 { Outcome::Success } else { Outcome::Failed },
                exit_code: Some(exit_code),
                started_at: Some(Self::now()),
                ended_at: Some(Self::now()),
                output: format!("printed by {}\n", member.desktop_id),
                reason: String::new(),
            }],
            trace_context: None,
        });
        let results = results.collect();
        let answer = self.engine.report(&Self::worker(), results, Vec::new(), Self::now()).await.unwrap();
        assert!(answer.refused.is_empty(), "{:?}", answer.refused);
    }
}

/// `true` on `desktop-0` to `desktop-(number - 1)`.
pub(crate) fn command_on(number: u32) -> TaskSpec {
    TaskSpec {
        desktop_ids: (0..number).map(|number| format!("desktop-{number}")).collect(),
        command: Some(command("true")),
        ..TaskSpec::default()
    }
}

pub(crate) fn command(content: &str) -> Command {
    Command { command_type: ScriptType::Shell.into(), content: content.into() }
}

/// What a call was refused with: the code, the code that REST gives, and the fields that are named.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) fields: Vec<String>,
    pub(crate) message: String,
    pub(crate) details: ErrorDetails,
}

pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> Refused {
    let status = answer.unwrap_err();
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "graywave");
    let fields = details.bad_request().map(|found| found.field_violations.clone()).unwrap_or_default();
    Refused {
        code: status.code(),
        reason: info.reason.clone(),
        fields: fields.into_iter().map(|violation| violation.field).collect(),
        message: status.message().to_owned(),
        details,
    }
}
