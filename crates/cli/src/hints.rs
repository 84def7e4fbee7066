//! The flags that set the fields of a request.

/// What to try where a field of a request breaks a rule: the flag that sets it.
pub(crate) fn hint(field: &str) -> Option<&'static str> {
    let field = field.strip_prefix("task.").unwrap_or(field);
    let whole = field.split('[').next().unwrap_or(field);
    let parent = whole.rsplit_once('.').map_or(whole, |(parent, _)| parent);
    of_field(whole).or_else(|| of_field(parent))
}

fn of_field(field: &str) -> Option<&'static str> {
    Some(match field {
        "desktop_ids" => "other desktops: graywave desktops lists them",
        "desktop_tag" => "another --tag, like pool=finance",
        "desktop_pool_id" => "another --pool",
        "gray_count" => "another --canary",
        "gray_desktop_ids" => "another --canary-desktop",
        "gray_fail_threshold" => "another --fail-threshold",
        "execution_timeout" => "another --execution-timeout",
        "scripts" => "another --script: graywave scripts lists them",
        "command" => "another command behind --, or another --type",
        "rollout.waves" => "other --waves, like 5:1,10%:2%/50,rest",
        "rollout.fail_threshold" => "another --total-fail-threshold, like 20 or 2%/50",
        "rollout.max_concurrency" => "another --max-concurrency",
        "rollout.soak_seconds" => "another --soak, like 10m",
        "rollout.approval" => "another --approve-before, like 2,3",
        "rollout.on_halt" => "--on-halt drain or kill",
        "rollout.delivery_timeout_seconds" => "another --delivery-timeout, like 8h",
        "rollout.quorum_percent" => "another --quorum, like 95",
        "rollout.expires_at" => "another --expires-at, or --expires-in 8h",
        "rollout.window" => "another --window, like 22:00-05:00@Europe/Berlin",
        "rollout.outcomes" => "another --outcome, like UNDELIVERED=ignore",
        "rollout.exit_codes" => "another --exit-code, like 3010=success",
        "rollout.canary" => "another --canary-by, of os, pool and zone, or another --seed",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_within_a_field_has_the_flag_of_the_whole() {
        assert_eq!(hint("task.rollout.waves[1].count"), of_field("rollout.waves"));
        assert_eq!(hint("task.rollout.window.from"), of_field("rollout.window"));
        assert_eq!(hint("task.command.content"), of_field("command"));
        assert_eq!(hint("page_size"), None);
    }
}
