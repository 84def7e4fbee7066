//! What is to run, where and how: from flags to the request.

mod desktops;
mod measures;
mod payload;
mod rollout;

pub(crate) use desktops::DesktopFlags;
pub(crate) use measures::pair;
pub(crate) use payload::{Kind, PayloadFlags, read_script, script_type, type_of_file};
pub(crate) use rollout::{Ending, RolloutFlags};

/// The flag that sets a field of a request, where a flag has another name.
pub(crate) fn flag_of(field: &str) -> Option<&'static str> {
    let field = field.strip_prefix("task.").unwrap_or(field);
    let whole = field.split('[').next().unwrap_or(field);
    Some(match whole {
        "desktop_ids" => "--desktop or --desktops-file",
        "desktop_tag" => "--tag",
        "desktop_pool_id" => "--pool",
        "gray_count" => "--canary",
        "gray_desktop_ids" => "--canary-desktop",
        "gray_fail_threshold" => "--fail-threshold",
        "execution_timeout" => "--execution-timeout",
        "scripts" => "--script",
        "command" | "command.content" => "command behind --",
        "command.command_type" => "--type",
        "rollout.waves" => "--waves",
        "rollout.fail_threshold"
        | "rollout.fail_threshold.count"
        | "rollout.fail_threshold.percent"
        | "rollout.fail_threshold.min_results" => "--total-fail-threshold",
        "rollout.max_concurrency" => "--max-concurrency",
        "rollout.soak_seconds" => "--soak",
        "rollout.approval" | "rollout.approval.before_waves" => "--approve-before",
        "rollout.on_halt" => "--on-halt",
        "rollout.delivery_timeout_seconds" => "--delivery-timeout",
        "rollout.quorum_percent" => "--quorum",
        "rollout.expires_at" => "--expires-at or --expires-in",
        "rollout.window" | "rollout.window.from" | "rollout.window.to" | "rollout.window.time_zone" => {
            "--window"
        }
        "rollout.outcomes" => "--outcome",
        "rollout.exit_codes" => "--exit-code",
        "rollout.canary" | "rollout.canary.by" => "--canary-by",
        "rollout.canary.seed" => "--seed",
        _ => return None,
    })
}
