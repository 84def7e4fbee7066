//! What is to run, where, and how, as the rules read it.

use std::collections::HashMap;

use chrono::SecondsFormat;
use control::{Group, TaskRequest};
use domain::{
    Error,
    desktop::parse_tags,
    ids::ScriptId,
    rollout::{ApprovalRequest, CanaryRequest, RolloutRequest, ThresholdRequest, WaveRequest, WindowRequest},
    submission::{ADMIN_FIELDS, ExecutionRequest},
};
use proto::admin::{FailThreshold, OnHalt, Rollout, ScriptRevision, ScriptType, TaskSpec, WaveSpec};

use crate::values::{check_text, moment, word};

/// As a revision.
const NEWEST: i32 = 0;

/// The request of a specification.
pub(crate) fn request(given: Option<TaskSpec>) -> Result<TaskRequest, Error> {
    let spec = given.ok_or_else(|| Error::invalid("task is required"))?;
    let group = group(spec.desktop_pool_id, spec.desktop_tag)?;
    let revisions = revisions(&spec.scripts)?;
    let (command, command_type) = match spec.command {
        Some(command) => {
            let word = word::<ScriptType>("command.command_type", command.command_type)?;
            (Some(command.content), word.map(str::to_owned))
        }
        None => (None, None),
    };
    let given = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
    let request = ExecutionRequest {
        resource_type: None,
        resource_ids: given(spec.desktop_ids),
        script_ids: given(spec.scripts.into_iter().map(|script| script.script_id).collect()),
        command,
        command_type,
        gray_count: spec.gray_count,
        gray_resource_ids: given(spec.gray_desktop_ids),
        gray_fail_threshold: spec.gray_fail_threshold,
        execution_timeout: spec.execution_timeout,
        rollout: spec.rollout.map(rollout).transpose()?,
    };
    Ok(TaskRequest { request, group, revisions, names: ADMIN_FIELDS })
}

fn group(pool_id: String, tag: String) -> Result<Option<Group>, Error> {
    check_text("desktop_pool_id", &pool_id)?;
    match (pool_id.is_empty(), tag.is_empty()) {
        (true, true) => Ok(None),
        (false, true) => Ok(Some(Group::Pool(pool_id))),
        (true, false) => {
            let tags = parse_tags("desktop_tag", &tag)?;
            Ok(Some(Group::Tag(tag, tags)))
        }
        (false, false) => {
            Err(Error::invalid("desktop_tag and desktop_pool_id exclude each other: give one of them"))
        }
    }
}

/// Scripts that run at another revision than their newest.
fn revisions(scripts: &[ScriptRevision]) -> Result<HashMap<ScriptId, i32>, Error> {
    let mut revisions = HashMap::new();
    for script in scripts {
        if script.revision < 0 {
            return Err(Error::invalid(format!(
                "scripts: revision {} is out of range: they begin with 1, and 0 is the newest",
                script.revision
            )));
        }
        let script_id = match ScriptId::find(&script.script_id) {
            // What is wrong with the id is told by the rules of a request.
            Err(_) if script.revision == NEWEST => continue,
            found => found?,
        };
        let before = revisions.insert(script_id, script.revision);
        if before.is_some_and(|before| before != script.revision) {
            return Err(Error::invalid(format!(
                "scripts: {script_id} is named at two revisions (0 is the newest): a task runs a script at one"
            )));
        }
    }
    revisions.retain(|_, revision| *revision != NEWEST);
    Ok(revisions)
}

/// The object `rollout`.
pub(crate) fn rollout(given: Rollout) -> Result<RolloutRequest, Error> {
    let expires_at = moment("rollout.expires_at", given.expires_at)?;
    Ok(RolloutRequest {
        waves: Some(given.waves.into_iter().map(wave).collect()).filter(|waves: &Vec<_>| !waves.is_empty()),
        fail_threshold: given.fail_threshold.map(threshold),
        strict: Some(given.strict),
        max_concurrency: given.max_concurrency,
        soak_seconds: given.soak_seconds,
        approval: given.approval.map(|rule| ApprovalRequest {
            before_waves: Some(rule.before_waves),
            distinct_approver: Some(rule.distinct_approver),
        }),
        on_halt: word::<OnHalt>("rollout.on_halt", given.on_halt)?.map(str::to_lowercase),
        delivery_timeout_seconds: given.delivery_timeout_seconds,
        quorum_percent: given.quorum_percent,
        expires_at: expires_at.map(|moment| moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        window: given.window.map(|window| WindowRequest {
            from: window.from,
            to: window.to,
            time_zone: Some(window.time_zone).filter(|zone| !zone.is_empty()),
        }),
        outcomes: Some(given.outcomes),
        exit_codes: Some(given.exit_codes),
        canary: given.canary.map(|canary| CanaryRequest {
            by: Some(canary.by).filter(|by| !by.is_empty()),
            seed: canary.seed,
        }),
    })
}

fn wave(given: WaveSpec) -> WaveRequest {
    WaveRequest {
        count: given.count,
        percent: given.percent,
        rest: given.rest,
        fail_threshold: given.fail_threshold.map(threshold),
    }
}

fn threshold(given: FailThreshold) -> ThresholdRequest {
    ThresholdRequest { count: given.count, percent: given.percent, min_results: given.min_results }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_may_be_named_at_one_revision_only() {
        let script = |revision| ScriptRevision { script_id: "0".repeat(32), revision, name: String::new() };
        assert_eq!(revisions(&[script(0)]).unwrap().len(), 0);
        assert_eq!(revisions(&[script(3), script(3)]).unwrap().len(), 1);
        assert!(revisions(&[script(3), script(2)]).is_err());
        assert!(revisions(&[script(3), script(0)]).is_err() && revisions(&[script(0), script(3)]).is_err());
        assert!(revisions(&[script(-1)]).is_err());
    }

    #[test]
    fn desktops_are_chosen_by_one_thing() {
        assert!(group(String::new(), String::new()).unwrap().is_none());
        assert!(matches!(group("p".into(), String::new()), Ok(Some(Group::Pool(_)))));
        assert!(matches!(group(String::new(), "pool=finance".into()), Ok(Some(Group::Tag(..)))));
        assert!(group("p".into(), "a=b".into()).is_err());
        assert!(group(String::new(), "finance".into()).is_err());
    }
}
