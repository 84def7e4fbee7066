//! Validation of execution requests. Every rule about the seven published fields and `command` is
//! here.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::TimeDelta;

use super::distinct::distinct;
use crate::{
    Error, Reason,
    ids::{DesktopId, ScriptId, TaskId},
    limits,
    plan::{self, Candidate, Gray, Plan},
    record::RecordId,
    rollout::{self, Rollout, RolloutRequest},
    script::{ScriptType, check_content, parameter::ParameterValues},
};

/// The body of an execution request. Every field is optional.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExecutionRequest {
    /// Resource type; `DESKTOP` is the only valid one.
    pub resource_type: Option<String>,
    /// Ids of all target desktops.
    pub resource_ids: Option<Vec<String>>,
    /// Ids of the scripts to run, in this order.
    pub script_ids: Option<Vec<String>>,
    /// Command to run instead of scripts.
    pub command: Option<String>,
    /// Interpreter of the command.
    pub command_type: Option<String>,
    /// Size of the gray wave.
    pub gray_count: Option<i64>,
    /// Ids of members of the gray wave.
    pub gray_resource_ids: Option<Vec<String>>,
    /// Failures of the gray wave at which no later wave starts.
    pub gray_fail_threshold: Option<i64>,
    /// Maximum run time of one script, in minutes.
    pub execution_timeout: Option<i64>,
    /// Extensions of the published fields.
    pub rollout: Option<RolloutRequest>,
    /// Group that selects the desktops; `None` for a list of ids. With a pool, `resource_ids`
    /// restricts the selection.
    pub group: Option<Group>,
    /// Scripts that run at a revision other than the newest.
    pub revisions: HashMap<ScriptId, i32>,
    /// Values of the scripts' parameters.
    pub parameters: ParameterValues,
}

/// A group that selects desktops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    /// Pool, by its id.
    Pool(String),
    /// Tag text from the request, and the parsed tags, all of which a desktop must have.
    Tag(String, BTreeMap<String, String>),
}

/// The work of a task on each target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Stored scripts, run one after the other.
    Scripts(Vec<ScriptId>),
    /// A command line.
    Command {
        /// Interpreter of the command.
        command_type: ScriptType,
        /// Text of the command.
        content: String,
    },
}

/// A valid request. The existence of its desktops and scripts is checked later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Distinct desktops, in the order of the request.
    pub desktop_ids: Vec<DesktopId>,
    /// Scripts or command.
    pub work: Work,
    /// Gray wave; `None` without one.
    pub gray: Option<Gray>,
    /// Maximum run time of one script; `None` for the configured default.
    pub execution_timeout: Option<TimeDelta>,
    /// Validated rollout object.
    pub rollout: Rollout,
}

/// Field of the target desktops.
pub const DESKTOPS: &str = "desktop_ids";
const GRAY_DESKTOPS: &str = "gray_desktop_ids";
const GRAY_COUNT: &str = "gray_count";
const GRAY_THRESHOLD: &str = "gray_fail_threshold";
/// Field of the scripts.
pub const SCRIPTS: &str = "scripts";
const COMMAND: &str = "command.content";
const COMMAND_TYPE: &str = "command.command_type";

fn in_rollout(error: Error) -> Error {
    error.within("rollout")
}

fn too_many(field: &'static str, noun: &str, given: usize, most: usize) -> Error {
    Error::out_of_range(field, format!("{given} {noun} are named: at most {most} are allowed"))
}

impl Submission {
    /// Assigns desktops to waves, and checks that the policy is feasible with these waves.
    pub fn plan(&self, candidates: &[Candidate], seed: u64) -> Result<Plan, Error> {
        let seed = self.rollout.seed.unwrap_or(seed);
        let plan = match &self.rollout.waves {
            Some(waves) => plan::plan_waves(candidates, waves, &self.rollout.canaries, seed)?,
            None => plan::plan(candidates, self.gray.as_ref(), &self.rollout.canaries, seed)?,
        };
        // A small fleet may not fill all requested waves.
        let waves = self.rollout.waves.as_ref().map_or(plan.waves.len(), Vec::len);
        rollout::check_approval_waves(&self.rollout.policy.approval, waves).map_err(in_rollout)?;
        let thresholds: Vec<_> = plan.waves.iter().map(|wave| wave.fail_threshold).collect();
        rollout::check_strict(&self.rollout.policy, &thresholds).map_err(in_rollout)?;
        let sizes: Vec<_> = plan.waves.iter().map(|wave| (wave.size, wave.fail_threshold)).collect();
        rollout::check_min_results(&self.rollout.policy, &sizes).map_err(in_rollout)?;
        Ok(plan)
    }
}

impl ExecutionRequest {
    /// Validates the request on its own. A repeated id counts once.
    pub fn check(self) -> Result<Submission, Error> {
        if let Some(kind) = self.resource_type.as_deref()
            && kind != "DESKTOP"
        {
            return Err(Error::invalid("resource_type", "must be DESKTOP"));
        }
        let work = check_work(self.script_ids, self.command, self.command_type)?;
        let desktop_ids: Vec<DesktopId> = distinct(DESKTOPS, self.resource_ids.unwrap_or_default())?;
        if desktop_ids.is_empty() {
            return Err(Error::required(DESKTOPS, "name at least one desktop"));
        }
        if desktop_ids.len() > limits::MAX_TARGETS_PER_TASK {
            return Err(too_many(DESKTOPS, "desktops", desktop_ids.len(), limits::MAX_TARGETS_PER_TASK));
        }
        let gray_ids: Vec<DesktopId> = distinct(GRAY_DESKTOPS, self.gray_resource_ids.unwrap_or_default())?;
        let gray = check_gray(self.gray_count, gray_ids, self.gray_fail_threshold)?;
        if let Some(gray) = &gray {
            check_gray_fits(gray, &desktop_ids)?;
        }
        let rollout = self.rollout.unwrap_or_default().check().map_err(in_rollout)?;
        if rollout.waves.is_some() && gray.is_some() {
            let message = "waves exclude a gray wave: leave out its count, its desktops and its threshold";
            return Err(Error::field(Reason::FieldsExclusive, "rollout.waves", message));
        }
        if rollout.waves.is_none() && !rollout.canaries.ids.is_empty() {
            let message =
                "names desktops of the first of several waves: give waves, or name them in the gray wave";
            return Err(Error::field(Reason::FieldsExclusive, "rollout.canary.desktop_ids", message));
        }
        Ok(Submission {
            desktop_ids,
            work,
            gray,
            execution_timeout: check_timeout(self.execution_timeout)?,
            rollout,
        })
    }
}

fn check_work(
    script_ids: Option<Vec<String>>,
    command: Option<String>,
    command_type: Option<String>,
) -> Result<Work, Error> {
    // An invalid id is reported as a missing script.
    let script_ids: Vec<ScriptId> = distinct(SCRIPTS, script_ids.unwrap_or_default())
        .map_err(|error| Error { reason: Reason::ScriptNotFound, ..error })?;
    match (script_ids.is_empty(), command) {
        (true, None) => Err(Error::required(SCRIPTS, "provide scripts or a command")),
        (false, Some(_)) => {
            let message = "scripts and a command exclude each other: give one of them";
            Err(Error::field(Reason::FieldsExclusive, SCRIPTS, message))
        }
        (false, None) if command_type.is_some() => {
            let message = "only a command needs a type: a script has its own";
            Err(Error::field(Reason::FieldsExclusive, COMMAND_TYPE, message))
        }
        (false, None) if script_ids.len() > limits::MAX_SCRIPTS_PER_TASK => {
            Err(too_many(SCRIPTS, "scripts", script_ids.len(), limits::MAX_SCRIPTS_PER_TASK))
        }
        (false, None) => Ok(Work::Scripts(script_ids)),
        (true, Some(content)) => {
            check_content(COMMAND, &content)?;
            let command_type = command_type.ok_or_else(|| {
                Error::required(COMMAND_TYPE, "a command needs a type: POWERSHELL, BAT or SHELL")
            })?;
            let command_type = command_type.parse().map_err(|error: Error| error.within(COMMAND_TYPE))?;
            Ok(Work::Command { command_type, content })
        }
    }
}

/// Validates the gray wave. `gray_count` takes precedence over the ids; with ids only, it is their
/// number. A count of 0 without ids and threshold means no gray wave, because related calls
/// document 0 as a valid count.
fn check_gray(
    count: Option<i64>,
    ids: Vec<DesktopId>,
    threshold: Option<i64>,
) -> Result<Option<Gray>, Error> {
    let count = match count {
        None if ids.is_empty() => None,
        None => Some(ids.len() as i64),
        Some(0) if ids.is_empty() => None,
        Some(count) if count < 1 => {
            return Err(Error::out_of_range(GRAY_COUNT, format!("{count} is out of range: at least 1")));
        }
        Some(count) => Some(count),
    };
    let Some(count) = count else {
        return match threshold {
            None => Ok(None),
            Some(_) => Err(Error::invalid(
                GRAY_THRESHOLD,
                "a threshold needs a gray wave: give its count or its desktops",
            )),
        };
    };
    let threshold = match threshold {
        // The default of 1 halts at the first failure.
        None => 1,
        Some(threshold) if (1..count).contains(&threshold) => threshold,
        Some(threshold) => {
            let message = format!(
                "{threshold} is out of range: at least 1 and less than the size of the gray wave, {count}"
            );
            return Err(Error::out_of_range(GRAY_THRESHOLD, message));
        }
    };
    let too_large = |_| Error::out_of_range(GRAY_COUNT, format!("{count} is too large"));
    Ok(Some(Gray {
        count: u32::try_from(count).map_err(too_large)?,
        ids,
        fail_threshold: u32::try_from(threshold).map_err(too_large)?,
    }))
}

/// Checks that named gray desktops belong to the fleet, and that the gray wave is no larger than
/// the fleet.
fn check_gray_fits(gray: &Gray, desktop_ids: &[DesktopId]) -> Result<(), Error> {
    if gray.count as usize > desktop_ids.len() {
        return Err(plan::gray_too_large(gray.count, desktop_ids.len()));
    }
    let fleet: HashSet<&DesktopId> =
        if gray.ids.is_empty() { HashSet::new() } else { desktop_ids.iter().collect() };
    match gray.ids.iter().find(|id| !fleet.contains(id)) {
        Some(id) => Err(Error::invalid(GRAY_DESKTOPS, format!("{id} is not among the task's desktops"))),
        None => Ok(()),
    }
}

fn check_timeout(minutes: Option<i64>) -> Result<Option<TimeDelta>, Error> {
    match minutes {
        None | Some(0) => Ok(None),
        Some(minutes) if (0..=limits::MAX_EXECUTION_TIMEOUT_MINUTES).contains(&minutes) => {
            Ok(Some(TimeDelta::minutes(minutes)))
        }
        Some(minutes) => {
            let message =
                format!("{minutes} is out of range: 0 to {} minutes", limits::MAX_EXECUTION_TIMEOUT_MINUTES);
            Err(Error::out_of_range("execution_timeout", message))
        }
    }
}

/// The body of a call that selects desktops by tag or pool. Every field is optional.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupRequest {
    /// For a pool: the subset of its desktops to use.
    pub desktop_ids: Option<Vec<String>>,
    /// Ids of the scripts to run, in this order.
    pub script_ids: Option<Vec<String>>,
    /// Command to run instead of scripts.
    pub command_content: Option<String>,
    /// Interpreter of the command.
    pub command_type: Option<String>,
    /// Size of the gray wave, 0 to 1,000.
    pub gray_count: Option<i64>,
    /// Ids of members of the gray wave, at most 1,000.
    pub gray_desktop_ids: Option<Vec<String>>,
    /// Failures of the gray wave at which no later wave starts, 1 to 1,000.
    pub gray_fail_threshold: Option<i64>,
    /// Maximum run time of one script in minutes, 1 to 600; the default is 1.
    pub execution_timeout: Option<i64>,
    /// Extensions of the published fields.
    pub rollout: Option<RolloutRequest>,
}

impl GroupRequest {
    /// Checks the published ranges, which are narrower than those of the call by ids. Converts the
    /// request to one over the group's desktops.
    pub fn over(self, desktop_ids: Vec<String>) -> Result<ExecutionRequest, Error> {
        let in_range = |field: &'static str, value: Option<i64>, low: i64, high: i64| match value {
            Some(value) if !(low..=high).contains(&value) => {
                Err(Error::out_of_range(field, format!("{value} is out of range: {low} to {high}")))
            }
            _ => Ok(()),
        };
        in_range(GRAY_COUNT, self.gray_count, 0, limits::MAX_GROUP_GRAY)?;
        in_range(GRAY_THRESHOLD, self.gray_fail_threshold, 1, limits::MAX_GROUP_GRAY)?;
        in_range("execution_timeout", self.execution_timeout, 1, limits::MAX_EXECUTION_TIMEOUT_MINUTES)?;
        let gray_ids = self.gray_desktop_ids.as_ref().map_or(0, Vec::len);
        let most = usize::try_from(limits::MAX_GROUP_GRAY).unwrap_or(usize::MAX);
        if gray_ids > most {
            return Err(too_many(GRAY_DESKTOPS, "desktops", gray_ids, most));
        }
        Ok(ExecutionRequest {
            resource_type: None,
            resource_ids: Some(desktop_ids),
            script_ids: self.script_ids,
            command: self.command_content,
            command_type: self.command_type,
            gray_count: self.gray_count,
            gray_resource_ids: self.gray_desktop_ids,
            gray_fail_threshold: self.gray_fail_threshold,
            execution_timeout: Some(self.execution_timeout.unwrap_or(limits::GROUP_TIMEOUT_MINUTES)),
            rollout: self.rollout,
            group: None,
            revisions: HashMap::new(),
            parameters: ParameterValues::new(),
        })
    }
}

/// The subject of a retry or a stop: a task or a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskOrRecord {
    /// A whole task.
    Task(TaskId),
    /// A single record.
    Record(RecordId),
}

impl TaskOrRecord {
    /// Parses the ids, of which exactly one must be present. An invalid id is reported as a missing
    /// object.
    pub fn new(task_id: Option<&str>, record_id: Option<&str>) -> Result<Self, Error> {
        match (task_id, record_id) {
            (Some(text), None) => Ok(Self::Task(TaskId::find(text)?)),
            (None, Some(text)) => Ok(Self::Record(text.parse()?)),
            (None, None) => Err(Error::required("task_id", "name a task or a record")),
            (Some(_), Some(_)) => {
                let message = "a task and a record exclude each other: name one of them";
                Err(Error::field(Reason::FieldsExclusive, "record_id", message))
            }
        }
    }

    /// Returns the task, or the task of the record.
    pub const fn task_id(&self) -> TaskId {
        match self {
            Self::Task(task_id) => *task_id,
            Self::Record(record_id) => record_id.task_id,
        }
    }
}

#[cfg(test)]
#[path = "submission_tests.rs"]
mod tests;
