//! Conversion of a task specification to an execution request.

use std::collections::HashMap;

use chrono::SecondsFormat;
use domain::{
    Error, FieldPath, Reason,
    desktop::parse_tags,
    ids::ScriptId,
    rollout::{ApprovalRequest, CanaryRequest, RolloutRequest, ThresholdRequest, WaveRequest, WindowRequest},
    submission::{ExecutionRequest, Group},
};
use proto::admin::{
    Cleanup, FailThreshold, IfUserActive, OnHalt, PostFinish, Rollout, ScriptRevision, ScriptType, TaskSpec,
    WaveSpec,
};

use super::value::{check_text, moment, word};

/// Revision number that means the newest revision.
const NEWEST: i32 = 0;

/// Converts a specification to an execution request.
pub(crate) fn request(given: Option<TaskSpec>) -> Result<ExecutionRequest, Error> {
    let spec = given.ok_or_else(|| Error::unreadable("a task is required"))?;
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
    Ok(ExecutionRequest {
        resource_type: None,
        resource_ids: given(spec.desktop_ids),
        script_ids: given(spec.scripts.into_iter().map(|script| script.script_id).collect()),
        command,
        command_type,
        gray_count: spec.gray_count,
        gray_resource_ids: given(spec.gray_desktop_ids),
        gray_fail_threshold: spec.gray_fail_threshold,
        execution_timeout: spec.execution_timeout,
        rollout: spec.rollout.map(rollout).transpose().map_err(|error| error.within("rollout"))?,
        group,
        revisions,
        parameters: spec.parameters.into_iter().collect(),
    })
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
            let message = "a tag and a pool exclude each other: give one of them";
            Err(Error::field(Reason::FieldsExclusive, "desktop_tag", message))
        }
    }
}

/// Returns the revision of each script that is pinned to a revision other than the newest.
fn revisions(scripts: &[ScriptRevision]) -> Result<HashMap<ScriptId, i32>, Error> {
    let mut revisions = HashMap::new();
    for (place, script) in scripts.iter().enumerate() {
        if script.revision < 0 {
            let message =
                format!("{} is out of range; revisions begin with 1, and 0 is the newest", script.revision);
            return Err(Error::out_of_range(
                FieldPath::from("scripts").index(place).name("revision"),
                message,
            ));
        }
        let script_id = match ScriptId::find(&script.script_id) {
            // The request's own rules report an invalid id.
            Err(_) if script.revision == NEWEST => continue,
            found => found
                .map_err(|error| Error { field: Some(FieldPath::from("scripts").index(place)), ..error })?,
        };
        let before = revisions.insert(script_id, script.revision);
        if before.is_some_and(|before| before != script.revision) {
            let message = format!(
                "{script_id} is listed with two revisions (0 is the newest); a task runs one revision of a script"
            );
            return Err(Error::field(Reason::FieldsExclusive, "scripts", message));
        }
    }
    revisions.retain(|_, revision| *revision != NEWEST);
    Ok(revisions)
}

/// Converts the object `rollout`. Error fields are relative to the object.
pub(crate) fn rollout(given: Rollout) -> Result<RolloutRequest, Error> {
    let expires_at = moment("expires_at", given.expires_at)?;
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
        on_halt: word::<OnHalt>("on_halt", given.on_halt)?.map(str::to_lowercase),
        delivery_timeout_seconds: given.delivery_timeout_seconds,
        quorum_percent: given.quorum_percent,
        min_success_percent: given.min_success_percent,
        expires_at: expires_at.map(|moment| moment.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        window: given.window.map(|window| WindowRequest {
            from: window.from,
            to: window.to,
            time_zone: Some(window.time_zone).filter(|zone| !zone.is_empty()),
        }),
        outcomes: Some(given.outcomes),
        exit_codes: Some(given.exit_codes),
        run_as_user: Some(given.run_as_user).filter(|name| !name.is_empty()),
        cleanup: word::<Cleanup>("cleanup", given.cleanup)?.map(str::to_lowercase),
        post_finish: word::<PostFinish>("post_finish", given.post_finish)?.map(str::to_lowercase),
        if_user_active: word::<IfUserActive>("if_user_active", given.if_user_active)?.map(str::to_lowercase),
        agent_version: Some(given.agent_version).filter(|version| !version.is_empty()),
        return_timeout_seconds: given.return_timeout_seconds,
        canary: given.canary.map(|canary| CanaryRequest {
            by: Some(canary.by).filter(|by| !by.is_empty()),
            seed: canary.seed,
            prefer_connected: canary.prefer_connected,
            desktop_ids: Some(canary.desktop_ids),
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
    use domain::error::Segment;
    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use proto::admin::{Approval, Canary, Command, Window};

    use super::*;

    #[test]
    fn a_script_may_be_named_at_one_revision_only() {
        let script =
            |revision| ScriptRevision { script_id: "0".repeat(32), revision, ..ScriptRevision::default() };
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

    /// Broken specifications, each with the field that its error names.
    fn broken() -> Vec<(TaskSpec, &'static str)> {
        let wave = |count| WaveSpec { count: Some(count), ..WaveSpec::default() };
        let count = |count| Some(FailThreshold { count: Some(count), ..FailThreshold::default() });
        let rollout = |rollout| TaskSpec { rollout: Some(rollout), ..TaskSpec::default() };
        let spec = TaskSpec::default;
        let script =
            |revision| ScriptRevision { script_id: "x".into(), revision, ..ScriptRevision::default() };
        let map = |key: &str| [(key.to_owned(), "x".to_owned())].into();
        let approval = |wave| Some(Approval { before_waves: vec![wave], distinct_approver: false });
        let window = Window { from: "x".into(), to: "05:00".into(), time_zone: String::new() };
        vec![
            (TaskSpec { scripts: vec![script(-1)], ..spec() }, "scripts[0].revision"),
            (TaskSpec { scripts: vec![script(1)], ..spec() }, "scripts[0]"),
            (TaskSpec { command: None, ..spec() }, "scripts"),
            (TaskSpec { desktop_tag: "x".into(), ..spec() }, "desktop_tag"),
            (TaskSpec { desktop_pool_id: "\0".into(), ..spec() }, "desktop_pool_id"),
            (TaskSpec { desktop_ids: vec!["a".into(), "\n".into()], ..spec() }, "desktop_ids[1]"),
            (TaskSpec { desktop_ids: vec![], ..spec() }, "desktop_ids"),
            (TaskSpec { gray_count: Some(0), gray_desktop_ids: vec!["a".into()], ..spec() }, "gray_count"),
            (TaskSpec { gray_desktop_ids: vec!["x".into()], ..spec() }, "gray_desktop_ids"),
            (TaskSpec { gray_fail_threshold: Some(1), ..spec() }, "gray_fail_threshold"),
            (TaskSpec { execution_timeout: Some(601), ..spec() }, "execution_timeout"),
            (
                rollout(Rollout { waves: vec![wave(1), wave(0)], ..Rollout::default() }),
                "rollout.waves[1].count",
            ),
            (
                rollout(Rollout { fail_threshold: count(0), ..Rollout::default() }),
                "rollout.fail_threshold.count",
            ),
            (rollout(Rollout { on_halt: 9, ..Rollout::default() }), "rollout.on_halt"),
            (rollout(Rollout { cleanup: 9, ..Rollout::default() }), "rollout.cleanup"),
            (rollout(Rollout { run_as_user: "A".into(), ..Rollout::default() }), "rollout.run_as_user"),
            (rollout(Rollout { outcomes: map("FAILED"), ..Rollout::default() }), "rollout.outcomes.FAILED"),
            (rollout(Rollout { exit_codes: map("3"), ..Rollout::default() }), "rollout.exit_codes.3"),
            (rollout(Rollout { exit_codes: map("+3"), ..Rollout::default() }), "rollout.exit_codes.+3"),
            (rollout(Rollout { soak_seconds: Some(-1), ..Rollout::default() }), "rollout.soak_seconds"),
            (rollout(Rollout { max_concurrency: Some(0), ..Rollout::default() }), "rollout.max_concurrency"),
            (
                rollout(Rollout { delivery_timeout_seconds: Some(0), ..Rollout::default() }),
                "rollout.delivery_timeout_seconds",
            ),
            (
                rollout(Rollout { quorum_percent: Some(101.0), ..Rollout::default() }),
                "rollout.quorum_percent",
            ),
            (
                rollout(Rollout { approval: approval(0), ..Rollout::default() }),
                "rollout.approval.before_waves",
            ),
            (rollout(Rollout { window: Some(window), ..Rollout::default() }), "rollout.window.from"),
            (
                rollout(Rollout {
                    canary: Some(Canary { by: vec!["x".into()], ..Canary::default() }),
                    ..Rollout::default()
                }),
                "rollout.canary.by",
            ),
        ]
    }

    /// Runs the specification through conversion and rules. Fields that a case leaves at their
    /// default become valid.
    fn check(spec: TaskSpec, field: &str) -> Error {
        let command = Command { content: "true".into(), command_type: ScriptType::Shell.into() };
        let has_work = field.starts_with("scripts");
        let has_desktops = field.starts_with("desktop_");
        let spec = TaskSpec {
            command: if has_work { None } else { Some(command) },
            desktop_ids: if has_desktops { spec.desktop_ids } else { vec!["a".into(), "b".into()] },
            ..spec
        };
        request(Some(spec)).and_then(|request| request.check().map(drop)).unwrap_err()
    }

    /// Whether a message of the admin protocol has this path; below a map or a list of values, any
    /// key.
    fn resolves(message: &str, path: &[Segment]) -> bool {
        let Some((Segment::Name(name), rest)) = path.split_first() else { return true };
        let files = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap().file;
        let files = files.iter().filter(|file| file.package() == "graywave.admin.v1");
        let messages: Vec<_> = files.flat_map(|file| &file.message_type).collect();
        let message = messages.into_iter().find(|it| it.name() == message).unwrap();
        let Some(field) = message.field.iter().find(|field| field.name() == name) else { return false };
        let rest = if let Some((Segment::Index(_), rest)) = rest.split_first() { rest } else { rest };
        rest.is_empty()
            || matches!(rest, [Segment::Key(_)])
            || field.type_name().rsplit('.').next().is_some_and(|inner| resolves(inner, rest))
    }

    #[test]
    fn field_of_every_rule_is_one_of_the_protocol() {
        for (spec, field) in broken() {
            let error = check(spec, field);
            let path = error.field.clone().unwrap();
            assert_eq!(path.to_string(), field, "{error}");
            assert!(resolves("TaskSpec", path.segments()), "{field}");
            assert!(!error.message.starts_with(field), "{error}");
        }
    }
}
