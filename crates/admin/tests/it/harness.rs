//! The service over a private database, with a fixed clock and sequential ids.

use std::ops::Deref;

use control::{Credentials, RequestLimits, Token};
use domain::{Timestamp, ids::WorkerId, outcome::Outcome};
use mtls::{Certified, Identity};
use proto::admin::{
    Command, ScriptType, SubmitTaskRequest, Task, TaskSpec, access_service_client::AccessServiceClient,
    audit_service_client::AuditServiceClient, desktop_service_client::DesktopServiceClient,
    insight_service_client::InsightServiceClient, project_service_client::ProjectServiceClient,
    record_service_client::RecordServiceClient, script_service_client::ScriptServiceClient,
    task_service_client::TaskServiceClient, worker_service_client::WorkerServiceClient,
};
use scheduler::Leased;
use testkit::{TestEnvironment, script_report};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    service::{Interceptor, Routes, interceptor::InterceptedService},
};
use tonic_types::{ErrorDetails, StatusExt as _};

pub(crate) const TOKEN: &str = "a-token-of-project-1";

/// Interceptor that adds a token, if any.
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
    environment: TestEnvironment,
    pub(crate) stop: CancellationToken,
    routes: Routes,
}

impl Deref for Harness {
    type Target = TestEnvironment;

    fn deref(&self) -> &TestEnvironment {
        &self.environment
    }
}

impl Harness {
    pub(crate) async fn new() -> Self {
        Self::with(RequestLimits::default(), None).await
    }

    /// Starts the service. Each call carries the certificate, if any.
    pub(crate) async fn with(limits: RequestLimits, certificate: Option<Identity>) -> Self {
        let tokens = vec![Token::new(testkit::project(), TOKEN).unwrap()];
        let environment = TestEnvironment::new(Credentials::new(tokens, Vec::new())).await.unwrap();
        let stop = CancellationToken::new();
        let guard = move |mut request: Request<()>| {
            if let Some(identity) = certificate.clone() {
                let serial = "0a".to_owned();
                let shown = Certified { identity, serial, not_before_unix: 0, not_after_unix: i64::MAX };
                request.extensions_mut().insert(shown);
            }
            Ok(request)
        };
        let routes = admin::gated(environment.control.clone(), &limits, stop.clone()).guarded(guard);
        Self { environment, stop, routes }
    }

    /// Returns one text from the database.
    pub(crate) async fn text(&self, statement: &'static str) -> String {
        self.scalar(statement).await.unwrap()
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

    /// Creates the test project, which principals and credentials require.
    pub(crate) async fn project(&self) {
        self.create_project().await.unwrap();
    }

    /// Creates a token of a principal with these built-in policies.
    pub(crate) async fn token(&self, principal: &str, policies: &[&str]) -> String {
        self.environment.token(principal, policies).await.unwrap()
    }

    /// Creates a token of a principal whose only policy is this document.
    pub(crate) async fn token_with(&self, principal: &str, document: &str) -> String {
        self.token(principal, &[&format!("its-own={document}")]).await
    }

    pub(crate) fn worker() -> WorkerId {
        TestEnvironment::worker()
    }

    pub(crate) fn now() -> Timestamp {
        TestEnvironment::now()
    }

    /// Connects `desktop-0` to `desktop-(number - 1)` of `pool-1` to a worker. Even ones have the
    /// tag `pool=finance`.
    pub(crate) async fn desktops(&self, number: u32) {
        let facts = (0..number).map(|number| {
            let mut facts = testkit::desktop(number);
            facts.pool_id = "pool-1".into();
            if number % 2 == 0 {
                facts.tags.insert("pool".into(), "finance".into());
            }
            facts
        });
        self.connect(facts).await.unwrap();
    }

    /// Stores a task that runs a command on these desktops.
    pub(crate) async fn submit(&self, task: TaskSpec) -> Task {
        let request = SubmitTaskRequest { task: Some(task), idempotency_key: String::new() };
        self.tasks().submit_task(request).await.unwrap().into_inner().task.unwrap()
    }

    /// Leases the pending targets of a task, which must fit into one batch.
    pub(crate) async fn lease(&self, task_id: &str) -> Leased {
        (**self).lease(task_id).await.unwrap()
    }

    /// Runs the open wave of a one-script task from admission to its end, with one exit code per
    /// target.
    pub(crate) async fn run(&self, task_id: &str, exit_codes: &[i32]) {
        let leased = self.lease(task_id).await;
        let targets = leased.batch.members.iter().zip(exit_codes).map(|(member, &exit_code)| {
            let outcome = if exit_code == 0 { Outcome::Success } else { Outcome::Failed };
            vec![script_report(outcome, Some(exit_code), &format!("printed by {}\n", member.desktop_id))]
        });
        self.report(&leased, targets.collect()).await.unwrap();
    }
}

/// Specification that runs `true` on `desktop-0` to `desktop-(number - 1)`.
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

/// Refusal of a call: gRPC code, reason, message and fields.
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
