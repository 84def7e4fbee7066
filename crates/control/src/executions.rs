//! Submit: a returned task id means that the task, its plan and its targets are committed.

use std::collections::HashMap;

use domain::{
    Error, FieldPath, Reason,
    authz::{Action, Resource},
    deadline::Timeouts,
    ids::{DesktopId, ProjectId, ScriptId, TaskId},
    limits,
    plan::{Candidate, Plan},
    policy::RolloutPolicy,
    rollout,
    script::{
        ScriptType,
        parameter::{self, Declaring, ParameterValues},
    },
    submission::{DESKTOPS, ExecutionRequest, Group, GroupRequest, SCRIPTS, Submission, Work},
};
use store::{
    Connection, desktop,
    desktop::DesktopFilter,
    script::{self, RevisionSelector, ScriptRow},
    task::{self, NewTask, PinnedScript, Selection},
};
use telemetry::{metric, trace};

use crate::{
    Caller, Control,
    audit::execution_details,
    change::{Begun, Change},
    guardrails::{self, Guardrails},
};

/// Maximum number of ids in an error message; further ids are only counted.
const MAX_IDS_IN_MESSAGE: usize = 10;

/// Checks that the caller may execute and may select desktops in this way. Returns the
/// corresponding action.
pub(crate) fn check_choice(request: &ExecutionRequest, caller: &Caller) -> Result<Action, Error> {
    match &request.group {
        None => caller.check_any(Action::Execute).map(|()| Action::Execute),
        Some(Group::Tag(..)) if request.resource_ids.is_some() => {
            let message = "a tag takes every desktop that has it: leave the desktops out, or name a pool";
            Err(Error::field(Reason::FieldsExclusive, DESKTOPS, message))
        }
        Some(group) => check_group(group, caller),
    }
}

/// Checks that the caller may select desktops by a group. Returns the corresponding action.
fn check_group(group: &Group, caller: &Caller) -> Result<Action, Error> {
    match group {
        Group::Pool(pool_id) => {
            caller.check(Action::ExecuteOnPool, [Resource::Pool(pool_id)])?;
            Ok(Action::ExecuteOnPool)
        }
        Group::Tag(..) => {
            caller.check_any(Action::ExecuteByDesktopTag)?;
            Ok(Action::ExecuteByDesktopTag)
        }
    }
}

/// Resolves a request's selection to the desktops that match now.
pub(crate) async fn choose(
    connection: &mut Connection,
    caller: &Caller,
    request: &mut ExecutionRequest,
) -> Result<(), Error> {
    if let Some(group) = &request.group {
        let only = request.resource_ids.take();
        request.resource_ids = Some(members(connection, caller.project_id(), group, only).await?);
    }
    Ok(())
}

fn selection(group: &Group) -> Selection {
    match group {
        Group::Pool(pool_id) => Selection::Pool(pool_id.clone()),
        Group::Tag(text, _) => Selection::Tag(text.clone()),
    }
}

/// A valid request, with its resolved scripts, desktops and plan.
pub(crate) struct Prepared {
    pub(crate) submission: Submission,
    pub(crate) scripts: Vec<PinnedScript>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) plan: Plan,
}

impl Prepared {
    /// Returns the command and its interpreter; `None` if the task runs scripts.
    pub(crate) fn command(&self) -> Option<(ScriptType, &str)> {
        match &self.submission.work {
            Work::Scripts(_) => None,
            Work::Command { command_type, content } => Some((*command_type, content)),
        }
    }
}

impl Control {
    /// Checks, plans and stores an execution, and wakes the schedulers with the commit. A pool or a
    /// tag selects the desktops that match at this moment.
    #[tracing::instrument(target = "graywave::trace", skip_all)]
    pub async fn submit(&self, caller: &Caller, mut request: ExecutionRequest) -> Result<TaskId, Error> {
        let action = check_choice(&request, caller)?;
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(answer) => return answer.parse(),
        };
        choose(&mut tx, caller, &mut request).await?;
        self.accept(tx, caller, action, request).await
    }

    /// Does the same as [`Self::submit`], with the ranges and defaults of the published calls by
    /// pool and by tag.
    #[tracing::instrument(target = "graywave::trace", skip_all)]
    pub async fn submit_to_group(
        &self,
        caller: &Caller,
        group: Group,
        mut request: GroupRequest,
    ) -> Result<TaskId, Error> {
        let action = check_group(&group, caller)?;
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(answer) => return answer.parse(),
        };
        let only = request.desktop_ids.take();
        let desktop_ids = members(&mut tx, caller.project_id(), &group, only).await?;
        let request = ExecutionRequest { group: Some(group), ..request.over(desktop_ids)? };
        self.accept(tx, caller, action, request).await
    }

    /// Validates a request against the rules, the caller's rights and the stored objects, and plans
    /// it.
    pub(crate) async fn prepare(
        &self,
        connection: &mut Connection,
        caller: &Caller,
        mut request: ExecutionRequest,
        guardrails: Guardrails,
    ) -> Result<Prepared, Error> {
        let project_id = caller.project_id();
        let revisions = std::mem::take(&mut request.revisions);
        let parameters = std::mem::take(&mut request.parameters);
        let submission = request.check()?;
        rollout::check_not_expired(submission.rollout.expires_at, self.environment.now())
            .map_err(|error| error.within("rollout"))?;
        let scripts = match &submission.work {
            Work::Scripts(ids) => pin(connection, project_id, ids, &revisions, &parameters).await?,
            Work::Command { .. } => {
                parameter::assign(&parameters, &[])?;
                vec![PinnedScript { script: None, name: String::new(), parameters: ParameterValues::new() }]
            }
        };
        let desktop_ids: Vec<_> = submission.desktop_ids.iter().collect();
        check_execute(caller, &scripts, &desktop_ids, &submission.rollout.policy)?;
        let candidates = candidates(connection, project_id, &submission.desktop_ids).await?;
        let plan = submission.plan(&candidates, self.environment.seed())?;
        if guardrails == Guardrails::Enforced {
            guardrails::check(connection, caller, &plan, &submission.rollout.policy).await?;
        }
        Ok(Prepared { submission, scripts, candidates, plan })
    }

    /// Checks that the project may start another task.
    pub(crate) async fn check_open_tasks(
        &self,
        connection: &mut Connection,
        project_id: &ProjectId,
    ) -> Result<(), Error> {
        let most = self.defaults.max_open_per_project;
        limits::check_open_tasks(task::count_open(connection, project_id, most).await?, most)
    }

    async fn accept(
        &self,
        mut tx: Change,
        caller: &Caller,
        action: Action,
        request: ExecutionRequest,
    ) -> Result<TaskId, Error> {
        let project_id = caller.project_id();
        self.check_open_tasks(&mut tx, project_id).await?;
        let selection = request.group.as_ref().map(selection);
        let prepared = self.prepare(&mut tx, caller, request, Guardrails::Enforced).await?;
        let Prepared { submission, scripts, plan, .. } = &prepared;
        let timeouts = Timeouts {
            execution: submission.execution_timeout.unwrap_or(self.defaults.execution_timeout),
            delivery: submission.rollout.delivery_timeout.unwrap_or(self.defaults.delivery_timeout),
            grace: self.defaults.result_grace,
        };
        let task_id = TaskId(self.environment.id());
        let trace_context = trace::current();
        let task = NewTask {
            task_id,
            project_id,
            scripts,
            command: prepared.command(),
            timeouts,
            plan,
            first_scripts: None,
            attempt: 1,
            retry_of: None,
            selection: selection.as_ref(),
            policy: &submission.rollout.policy,
            max_concurrency: submission.rollout.max_concurrency,
            expires_at: submission.rollout.expires_at,
            created_by: &caller.identity.principal,
            justification: &caller.justification,
            trace_context: trace_context.as_deref(),
            now: self.environment.now(),
        };
        task::insert(&mut tx, &task).await?;
        let details = execution_details(&mut tx, &task).await?;
        let resource = format!("task:{task_id}");
        self.done_with(tx, caller, action, &resource, &details, &task_id.to_string()).await?;
        metric::TASKS_ACCEPTED.increment(1, &["submission"]);
        tracing::info!(
            %task_id, %project_id, targets = plan.order.len(), waves = plan.waves.len(), "task accepted"
        );
        Ok(task_id)
    }
}

/// Checks that the caller may run these scripts on these desktops, as the user that the task's
/// policy names. Every call that runs scripts uses this check, however it selects desktops. A
/// policy that denies a desktop therefore cannot be bypassed.
pub(crate) fn check_execute(
    caller: &Caller,
    scripts: &[PinnedScript],
    desktop_ids: &[&DesktopId],
    policy: &RolloutPolicy,
) -> Result<(), Error> {
    if let Some(user) = &policy.run_as_user {
        caller.check(Action::RunAs, [Resource::User(user)])?;
    }
    for pinned in scripts {
        match pinned.script {
            Some((script_id, _)) => {
                caller.check(Action::Execute, [Resource::Script(&script_id.to_string())])?;
            }
            None => caller.check(Action::Execute, [Resource::Command])?,
        }
    }
    caller.check(Action::Execute, desktop_ids.iter().map(|id| Resource::Desktop(id.as_str())))
}

/// Lists the desktops of a group by id. For a pool with a list of desktops, only the listed ones.
async fn members(
    connection: &mut Connection,
    project_id: &ProjectId,
    group: &Group,
    only: Option<Vec<String>>,
) -> Result<Vec<String>, Error> {
    if only.as_ref().is_some_and(Vec::is_empty) {
        let message = "name at least one desktop, or leave the list out for the whole pool";
        return Err(Error::required(DESKTOPS, message));
    }
    let (filter, field, message) = match group {
        Group::Pool(pool_id) => (
            DesktopFilter { pool_ids: vec![pool_id.clone()], ..DesktopFilter::default() },
            "desktop_pool_id",
            format!("desktop pool {pool_id:?} does not exist or has no desktops"),
        ),
        Group::Tag(text, tags) => (
            DesktopFilter { tags: tags.clone(), ..DesktopFilter::default() },
            "desktop_tag",
            format!("no desktop has the tag {text:?}"),
        ),
    };
    let limit = i64::try_from(limits::MAX_TARGETS_PER_TASK).unwrap_or(i64::MAX) + 1;
    let found = desktop::find(connection, project_id, &filter, limit).await?;
    if found.is_empty() {
        return Err(Error::field(Reason::SelectionEmpty, field, message));
    }
    let all = found.into_iter().map(|desktop_id| desktop_id.into_string());
    let Some(only) = only else { return Ok(all.collect()) };
    let all: std::collections::HashSet<String> = all.collect();
    let strangers: Vec<&str> = only.iter().filter(|id| !all.contains(*id)).map(String::as_str).collect();
    if strangers.is_empty() {
        return Ok(only);
    }
    let ids: Vec<DesktopId> = strangers.iter().filter_map(|id| id.parse().ok()).collect();
    let known = desktop::candidates(connection, project_id, &ids).await?;
    let retired = known.iter().filter(|(_, is_retired)| *is_retired);
    refuse_retired(Some(DESKTOPS), &retired.map(|(known, _)| known.desktop_id.as_str()).collect::<Vec<_>>())?;
    let message = format!("desktops are not in the pool: {}", first(&strangers));
    Err(Error::invalid(DESKTOPS, message))
}

/// Refuses retired desktops, however the request selects them.
///
/// `field` is the field that names the desktops; `None` if the request does not name them.
pub(crate) fn refuse_retired(field: Option<&'static str>, retired: &[&str]) -> Result<(), Error> {
    if retired.is_empty() {
        return Ok(());
    }
    let message = format!("desktops are retired: {}. Leave them out, or unretire them first", first(retired));
    Err(Error { field: field.map(FieldPath::from), ..Error::new(Reason::DesktopRetired, message) })
}

/// Formats the first ids of a list, and the number of the remaining ones.
fn first(ids: &[&str]) -> String {
    let named = ids.iter().take(MAX_IDS_IN_MESSAGE).copied().collect::<Vec<_>>().join(", ");
    if ids.len() > MAX_IDS_IN_MESSAGE {
        format!("{named} and {} more", ids.len() - MAX_IDS_IN_MESSAGE)
    } else {
        named
    }
}

fn script_missing(message: String) -> Error {
    Error::field(Reason::ScriptNotFound, SCRIPTS, message)
}

/// Pins the current or the requested revision of each script, in the order of the request, with the
/// values of its parameters.
async fn pin(
    connection: &mut Connection,
    project_id: &ProjectId,
    script_ids: &[ScriptId],
    revisions: &HashMap<ScriptId, i32>,
    parameters: &ParameterValues,
) -> Result<Vec<PinnedScript>, Error> {
    let current = script::current(connection, project_id, script_ids).await?;
    let mut by_id: HashMap<ScriptId, _> = current.into_iter().map(|row| (row.script_id, row)).collect();
    let mut rows = Vec::with_capacity(script_ids.len());
    for &script_id in script_ids {
        let mut row = by_id
            .remove(&script_id)
            .ok_or_else(|| script_missing(format!("script {script_id} does not exist")))?;
        if let Some(&revision) = revisions.get(&script_id).filter(|revision| **revision != row.revision) {
            let found =
                script::fetch(connection, project_id, script_id, RevisionSelector::Revision(revision))
                    .await?;
            row = found.ok_or_else(|| {
                script_missing(format!("script {script_id} does not exist, or has no revision {revision}"))
            })?;
        }
        rows.push(row);
    }
    let declaring = |row: &ScriptRow| Declaring {
        script_name: row.body.name.clone(),
        script_type: row.script_type,
        parameters: row.body.parameters.clone().unwrap_or_default(),
    };
    let values = parameter::assign(parameters, &rows.iter().map(declaring).collect::<Vec<_>>())?;
    let pinned = |(row, parameters): (ScriptRow, ParameterValues)| PinnedScript {
        script: Some((row.script_id, row.revision)),
        name: row.body.name,
        parameters,
    };
    Ok(rows.into_iter().zip(values).map(pinned).collect())
}

/// Reads the attributes of each desktop that planning needs, in the order of the request. An
/// unknown or retired desktop refuses the whole task.
async fn candidates(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_ids: &[DesktopId],
) -> Result<Vec<Candidate>, Error> {
    let known = desktop::candidates(connection, project_id, desktop_ids).await?;
    let mut by_id: HashMap<DesktopId, (Candidate, bool)> =
        known.into_iter().map(|known| (known.0.desktop_id.clone(), known)).collect();
    let (mut unknown, mut retired) = (Vec::new(), Vec::new());
    let mut found = Vec::with_capacity(desktop_ids.len());
    for desktop_id in desktop_ids {
        match by_id.remove(desktop_id) {
            Some((candidate, false)) => found.push(candidate),
            Some((_, true)) => retired.push(desktop_id.as_str()),
            None => unknown.push(desktop_id.as_str()),
        }
    }
    if !unknown.is_empty() {
        let message = format!("desktops do not exist: {}", first(&unknown));
        return Err(Error::field(Reason::DesktopNotFound, DESKTOPS, message));
    }
    refuse_retired(Some(DESKTOPS), &retired)?;
    Ok(found)
}
