//! Names of request fields as the user knows them: the flags and arguments that set them.

/// A request field, and the flag or argument that sets it.
struct Flag {
    /// Path in the request, without the `task.` of a submission.
    field: &'static str,
    /// Flag or positional argument; `None` if the command sets the field itself.
    name: Option<&'static str>,
    /// Example to try, where it helps more than the message.
    hint: Option<&'static str>,
}

const fn flag(field: &'static str, name: &'static str) -> Flag {
    Flag { field, name: Some(name), hint: None }
}

const fn hinted(field: &'static str, name: &'static str, hint: &'static str) -> Flag {
    Flag { field, name: Some(name), hint: Some(hint) }
}

/// Makes the entry of a field that the command sets without a flag.
const fn own(field: &'static str) -> Flag {
    Flag { field, name: None, hint: None }
}

/// All request fields that the commands send. The longest matching path wins.
const FLAGS: &[Flag] = &[
    // Payload and targets.
    hinted("desktop_ids", "--desktop", "graywave desktops: lists the desktops"),
    hinted("desktop_tag", "--tag", "--tag pool=finance"),
    flag("desktop_pool_id", "--pool"),
    hinted("scripts", "--script", "graywave scripts: lists the scripts"),
    hinted("parameters", "--param", "graywave scripts show SCRIPT: lists its parameters"),
    flag("command", "COMMAND"),
    flag("command.command_type", "--type"),
    flag("execution_timeout", "--execution-timeout"),
    // Waves of the rollout.
    flag("gray_count", "--canary"),
    flag("gray_desktop_ids", "--canary-desktop"),
    flag("gray_fail_threshold", "--fail-threshold"),
    flag("rollout", "--rollout"),
    hinted("rollout.waves", "--waves", "--waves 5:1,10%:2%/50,rest"),
    hinted("rollout.fail_threshold", "--total-fail-threshold", "--total-fail-threshold 20 or 2%/50"),
    flag("rollout.strict", "--strict"),
    flag("rollout.max_concurrency", "--max-concurrency"),
    hinted("rollout.soak_seconds", "--soak", "--soak 10m"),
    hinted("rollout.approval.before_waves", "--approve-before", "--approve-before 2,3"),
    flag("rollout.approval.distinct_approver", "--distinct-approver"),
    flag("rollout.on_halt", "--on-halt"),
    hinted("rollout.run_as_user", "--run-as", "--run-as www-data"),
    flag("rollout.cleanup", "--cleanup"),
    flag("rollout.post_finish", "--post-finish"),
    flag("rollout.if_user_active", "--if-user-active"),
    hinted("rollout.agent_version", "--agent-version", "--agent-version 0.2.0"),
    hinted("rollout.return_timeout_seconds", "--return-timeout", "--return-timeout 15m"),
    hinted("rollout.delivery_timeout_seconds", "--delivery-timeout", "--delivery-timeout 8h"),
    hinted("rollout.quorum_percent", "--quorum", "--quorum 95"),
    hinted("rollout.min_success_percent", "--min-success", "--min-success 50"),
    hinted("rollout.agent_version", "--to", "graywave agents upgrade --to 1.4.0"),
    hinted("rollout.return_timeout_seconds", "--return-timeout", "--return-timeout 15m"),
    hinted("rollout.expires_at", "--expires-at", "--expires-in 8h"),
    hinted("rollout.window", "--window", "--window 22:00-05:00@Europe/Berlin"),
    hinted("rollout.outcomes", "--outcome", "--outcome UNDELIVERED=ignore"),
    hinted("rollout.exit_codes", "--exit-code", "--exit-code 3010=success"),
    hinted("rollout.canary.by", "--canary-by", "--canary-by os,pool,zone"),
    flag("rollout.canary.seed", "--seed"),
    flag("rollout.canary.prefer_connected", "--any-canary"),
    flag("rollout.canary.desktop_ids", "--rollout"),
    flag("hold", "--without-evidence"),
    // Object of the call.
    flag("task_id", "TASK"),
    flag("record_id", "--record"),
    flag("desktop_id", "DESKTOP"),
    flag("script_id", "SCRIPT"),
    flag("worker_id", "WORKER"),
    flag("wave", "WAVE"),
    flag("fingerprint_id", "--group"),
    flag("revision", "--revision"),
    // Filters and pages of lists.
    flag("statuses", "--status"),
    flag("filter.status", "--status"),
    flag("filter.desktop_ids", "--desktop"),
    flag("filter.wave", "--wave"),
    flag("name", "--name"),
    flag("script_type", "--type"),
    flag("principal", "--principal"),
    flag("action", "--action"),
    flag("result", "--result"),
    flag("resource", "--resource"),
    hinted("checks.actions", "ACTION", "graywave can-i: lists every action"),
    flag("checks.resource", "RESOURCE"),
    flag("tags", "--tag"),
    flag("desktop_pool_ids", "--pool"),
    flag("os_type", "--os"),
    flag("availability_zone", "--zone"),
    flag("agent_versions", "--agent-version"),
    hinted("agent_older_than", "--older-than", "--older-than 1.4.0"),
    flag("outdated", "--outdated"),
    flag("presence", "--online"),
    flag("retired", "--with-retired"),
    flag("desktop_id_prefix", "--prefix"),
    flag("page_size", "--limit"),
    // New values in changes.
    flag("mode", "--mode"),
    flag("max_concurrency", "N"),
    flag("reason", "--reason"),
    flag("ticket", "--ticket"),
    flag("set", "KEY=VALUE"),
    flag("remove", "--remove"),
    flag("pool_id", "--pool"),
    flag("serial", "SERIAL"),
    flag("identity", "--file"),
    flag("expire_time", "--file"),
    flag("uses", "--uses"),
    flag("expires_in_hours", "--expires"),
    flag("never_expires", "--expires"),
    hinted("policies", "--policy", "graywave policies: lists the policies"),
    flag("document", "--file"),
    flag("token_id", "TOKEN_ID"),
    flag("access_key", "ACCESS_KEY"),
    flag("project_id", "PROJECT"),
    flag("create_time_from", "--since"),
    flag("mine", "--mine"),
    flag("task_id_prefix", "TASK"),
    flag("script_id_prefix", "SCRIPT"),
    flag("limits.max_in_flight", "--max-in-flight"),
    flag("limits.max_running_per_desktop", "--max-running-per-desktop"),
    flag("limits.audit_reads", "--audit-reads"),
    flag("limits.require_canary_above", "--require-canary-above"),
    flag("limits.require_threshold", "--require-threshold"),
    flag("limits.max_wave_percent", "--max-wave-percent"),
    flag("limits.require_reason", "--require-reason"),
    flag("limits.require_approval_above", "--require-approval-above"),
    flag("script", "FILE"),
    flag("script.name", "--name"),
    flag("script.script_type", "--type"),
    flag("script.description", "--description"),
    flag("script.parameters", "--parameters"),
    flag("script.script_id", "SCRIPT"),
    flag("idempotency_key", "--idempotency-key"),
    // Set by the command itself.
    own("known_tag"),
    own("types"),
    own("task_ids"),
    own("maps"),
    own("position"),
    own("page_token"),
    own("cursor"),
    own("positions"),
    own("update_mask"),
    own("with_desktop_ids"),
    own("without_guardrails"),
    own("plan_hash"),
    own("script_hash"),
    own("script.version"),
    own("script.revision"),
    own("script.sha256"),
    own("script.create_time"),
    own("script.created_by"),
    own("script.update_time"),
];

/// Fields whose next segment is a key that the user gave.
const MAPS: [&str; 5] = ["rollout.outcomes", "rollout.exit_codes", "tags", "set", "parameters"];

/// Flags that set other fields in one command than [`FLAGS`] says: pairs of a field and its flag.
pub(crate) type Overrides = [(&'static str, &'static str)];

/// Name and hint that the user reads for a refused field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Flag or argument, with the refused entry of its value: `--waves (entry 2)`.
    pub(crate) name: String,
    /// Example to try; `None` if the message is enough.
    pub(crate) hint: Option<&'static str>,
}

/// Names the field of a violation as its flag. A field without a flag keeps its path.
pub(crate) fn named(path: &str, overrides: &Overrides) -> Named {
    let path = path.strip_prefix("task.").unwrap_or(path);
    let own = overrides.iter().map(|&(field, name)| (field, Some(name), None));
    let table = FLAGS.iter().map(|flag| (flag.field, flag.name, flag.hint));
    let fitting = table.chain(own).filter_map(|(field, name, hint)| {
        let rest = path.strip_prefix(field)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some((field, rest, name, hint))
    });
    // `max_by_key` returns the last of equally long matches, which is the override.
    match fitting.max_by_key(|(field, ..)| field.len()) {
        Some((field, rest, Some(name), hint)) => {
            Named { name: format!("{name}{}", entry(field, rest)), hint }
        }
        _ => Named { name: path.to_owned(), hint: None },
    }
}

/// Formats the refused entry of a value: the position in a list, from 1, or the key of a map.
fn entry(field: &str, rest: &str) -> String {
    let place = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')?.0.parse::<usize>().ok());
    match (place, rest.strip_prefix('.').filter(|_| MAPS.contains(&field))) {
        (Some(place), _) => format!(" (entry {})", place + 1),
        (None, Some(key)) => format!(" ({key})"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory as _, Parser};
    use prost::Message as _;
    use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

    use super::*;
    use crate::Command;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn name(path: &str) -> String {
        named(path, &[]).name
    }

    #[test]
    fn field_is_named_as_its_flag() {
        for (path, expected) in [
            ("task.desktop_ids", "--desktop"),
            ("task.desktop_ids[6]", "--desktop (entry 7)"),
            ("task.rollout.waves[1].count", "--waves (entry 2)"),
            ("rollout.waves[1].fail_threshold.min_results", "--waves (entry 2)"),
            ("task.rollout.window.from", "--window"),
            ("task.rollout.exit_codes.3010", "--exit-code (3010)"),
            ("task.command.content", "COMMAND"),
            ("task.command.command_type", "--type"),
            ("gray_count", "--canary"),
            ("gray_counter", "gray_counter"),
            ("page_token", "page_token"),
        ] {
            assert_eq!(name(path), expected, "{path}");
        }
        let overrides = [("rollout.waves", "--canary"), ("desktop_id", "--desktop")];
        assert_eq!(named("task.rollout.waves[0].percent", &overrides).name, "--canary (entry 1)");
        assert_eq!(named("desktop_id", &overrides).name, "--desktop");
        assert_eq!(named("desktop_ids", &overrides).name, "--desktop");
    }

    /// Collects the paths of all fields below a message that hold a value.
    fn leaves(messages: &[DescriptorProto], message: &DescriptorProto, parent: &str) -> Vec<String> {
        let fields = message.field.iter().flat_map(|field| {
            let path = format!("{parent}{}", field.name());
            let inner = field.type_name().rsplit('.').next().unwrap_or_default();
            match messages.iter().find(|it| field.r#type() == Type::Message && it.name() == inner) {
                Some(inner) => leaves(messages, inner, &format!("{path}.")),
                None => vec![path],
            }
        });
        fields.collect()
    }

    #[test]
    fn every_field_of_a_request_has_a_flag() {
        let files = FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap().file;
        let files = files.into_iter().filter(|file| file.package() == "graywave.admin.v1");
        let messages: Vec<_> = files.flat_map(|file| file.message_type).collect();
        let sent = |it: &&DescriptorProto| it.name().ends_with("Request");
        let mut missing = Vec::new();
        for request in messages.iter().filter(sent) {
            for path in leaves(&messages, request, "") {
                let path = path.strip_prefix("task.").unwrap_or(&path);
                let fits = |field: &str| {
                    path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                // `rollout` stands for the whole object, for rules that span several of its fields.
                if !FLAGS.iter().any(|flag| flag.field != "rollout" && fits(flag.field)) {
                    missing.push(format!("{}: {path}", request.name()));
                }
            }
        }
        assert!(missing.is_empty(), "{missing:#?}");
    }

    /// Collects the flags and positional names of a command and its subcommands.
    fn arguments(command: &clap::Command, found: &mut BTreeSet<String>) {
        for argument in command.get_arguments() {
            match argument.get_long() {
                Some(long) => drop(found.insert(format!("--{long}"))),
                None => {
                    let names = argument.get_value_names().into_iter().flatten();
                    found.extend(names.flat_map(|name| name.split('|')).map(ToOwned::to_owned));
                }
            }
        }
        command.get_subcommands().for_each(|inner| arguments(inner, found));
    }

    #[test]
    fn every_flag_of_the_table_exists() {
        let mut found = BTreeSet::new();
        arguments(&Line::command(), &mut found);
        for flag in FLAGS {
            assert!(flag.name.is_none_or(|name| found.contains(name)), "{:?}", flag.name);
            let hinted = flag.hint.and_then(|hint| hint.split(' ').next()).filter(|it| it.starts_with("--"));
            assert!(hinted.is_none_or(|name| found.contains(name)), "{:?}", flag.hint);
        }
    }
}
