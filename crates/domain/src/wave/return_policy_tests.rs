use proptest::prelude::*;

use super::*;

fn reboots() -> ReturnPolicy {
    ReturnPolicy { post_finish: Some(PostFinish::Reboot), ..ReturnPolicy::default() }
}

fn success(reboots_from: Option<&str>) -> ReportedEnd<'_> {
    ReportedEnd { all_succeeded: true, scripts_remain: false, reboots_from }
}

fn another_boot_than(boot_id: &str) -> ReturnCondition {
    ReturnCondition { another_boot_than: Some(boot_id.to_owned()), agent_version: None }
}

#[test]
fn target_without_reboot_and_version_ends_with_its_result() {
    let policy = ReturnPolicy::default();
    assert_eq!(policy.condition(success(None)), None);
    // No permission: an agent that claims a reboot is not waited for.
    assert_eq!(policy.condition(success(Some("a"))), None);
    let stops = ReturnPolicy { post_finish: Some(PostFinish::Stop), ..ReturnPolicy::default() };
    assert_eq!(stops.condition(success(None)), None);
}

#[test]
fn reboot_needs_another_boot() {
    assert_eq!(reboots().condition(success(Some("a"))), Some(another_boot_than("a")));
    let codes = ReturnPolicy { reboot_exit_codes: vec![3010], ..ReturnPolicy::default() };
    assert_eq!(codes.condition(success(Some("a"))), Some(another_boot_than("a")));
    assert_eq!(codes.condition(success(None)), None);
    let pause = ReportedEnd { scripts_remain: true, ..success(Some("a")) };
    assert_eq!(codes.condition(pause), Some(another_boot_than("a")));
}

#[test]
fn reboot_that_the_agent_does_not_announce_is_never_met() {
    let condition = reboots().condition(success(None)).unwrap();
    assert!(!condition.is_met(Some("b"), "1"));
}

#[test]
fn version_is_needed_after_the_last_script_only() {
    let policy = ReturnPolicy {
        agent_version: Some("2.0.0".into()),
        reboot_exit_codes: vec![3010],
        ..ReturnPolicy::default()
    };
    let pause = ReportedEnd { scripts_remain: true, ..success(Some("a")) };
    assert_eq!(policy.condition(pause), Some(another_boot_than("a")));
    let end = policy.condition(success(Some("a"))).unwrap();
    assert_eq!(end.agent_version.as_deref(), Some("2.0.0"));
    assert_eq!(end.another_boot_than.as_deref(), Some("a"));
}

#[test]
fn timeout_has_a_default() {
    assert_eq!(ReturnPolicy::default().timeout(), TimeDelta::minutes(15));
    let short = ReturnPolicy { timeout_seconds: Some(7), ..ReturnPolicy::default() };
    assert_eq!(short.timeout(), TimeDelta::seconds(7));
}

proptest! {
    #[test]
    fn failed_target_waits_for_no_return(
        post_finish in proptest::option::of(prop_oneof![Just(PostFinish::Stop), Just(PostFinish::Reboot)]),
        codes in proptest::collection::vec(any::<i32>(), 0..3),
        version in proptest::option::of("[0-9.]{1,5}"),
        boot in proptest::option::of("[a-c]{0,2}"),
        scripts_remain in any::<bool>(),
    ) {
        let policy = ReturnPolicy {
            post_finish,
            reboot_exit_codes: codes,
            agent_version: version,
            ..ReturnPolicy::default()
        };
        let reboots_from = boot.as_deref();
        let end = ReportedEnd { all_succeeded: false, scripts_remain, reboots_from };
        prop_assert_eq!(policy.condition(end), None);
    }
}
