use super::*;
use crate::return_policy::{IfUserActive, PostFinish};

#[test]
fn by_default_the_outcomes_weigh_as_the_design_says() {
    let policy = RolloutPolicy::default();
    for outcome in Outcome::ALL {
        let expected = if outcome.counts_as_failure() { Weight::Count } else { Weight::Ignore };
        assert_eq!(policy.weigh(outcome, Some(1)), expected, "{outcome}");
    }
}

#[test]
fn an_exit_code_is_looked_at_before_its_outcome() {
    let policy = RolloutPolicy {
        outcomes: [(Outcome::Failed, Weight::Ignore), (Outcome::Undelivered, Weight::Ignore)].into(),
        exit_codes: [(42, Weight::Halt), (75, Weight::Count)].into(),
        ..RolloutPolicy::default()
    };
    let lenient = RolloutPolicy { success_exit_codes: vec![3], ..RolloutPolicy::default() };
    assert_eq!(
        lenient.weigh(Outcome::Failed, Some(3)),
        Weight::Ignore,
        "a success does not count as a failure"
    );
    assert_eq!(lenient.weigh(Outcome::Failed, Some(4)), Weight::Count);
    assert_eq!(policy.weigh(Outcome::Failed, Some(42)), Weight::Halt);
    assert_eq!(policy.weigh(Outcome::Failed, Some(75)), Weight::Count);
    assert_eq!(policy.weigh(Outcome::Failed, Some(1)), Weight::Ignore);
    assert_eq!(policy.weigh(Outcome::Failed, None), Weight::Ignore);
    assert_eq!(policy.weigh(Outcome::Undelivered, None), Weight::Ignore);
    assert_eq!(
        policy.weigh(Outcome::Timeout, Some(42)),
        Weight::Count,
        "the exit code of a killed script is ignored"
    );
}

#[test]
fn exit_code_of_a_signal_is_weighed_like_any_other() {
    let codes = [(137, Weight::Halt), (143, Weight::Ignore)].into();
    let policy = RolloutPolicy { exit_codes: codes, ..RolloutPolicy::default() };
    assert_eq!(policy.weigh(Outcome::Failed, Some(128 + 9)), Weight::Halt);
    assert_eq!(policy.weigh(Outcome::Failed, Some(128 + 15)), Weight::Ignore);
    assert_eq!(policy.weigh(Outcome::Failed, Some(128 + 11)), Weight::Count);
}

#[test]
fn it_is_read_back() {
    let policy = RolloutPolicy {
        fail_threshold: Some(Threshold::Count(3)),
        strict: true,
        on_halt: OnHalt::Kill,
        outcomes: [(Outcome::Unknown, Weight::Ignore)].into(),
        exit_codes: [(-1, Weight::Halt)].into(),
        success_exit_codes: vec![3010],
        soak_seconds: 600,
        approval: Approval { before_waves: [2].into(), distinct_approver: true },
        quorum: BasisPoints::new(9_500),
        min_success: BasisPoints::new(5_000),
        window: Some(Window::new("22:00", "05:00", "desktop").unwrap()),
        run_as_user: Some("www-data".to_owned()),
        cleanup: Cleanup::Kill,
        returns: ReturnPolicy {
            post_finish: Some(PostFinish::Reboot),
            reboot_exit_codes: vec![3010],
            if_user_active: IfUserActive::Ask,
            agent_version: Some("1.2.0".to_owned()),
            timeout_seconds: Some(60),
        },
    };
    let text = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<RolloutPolicy>(&text).unwrap(), policy, "{text}");
    assert_eq!(serde_json::from_str::<RolloutPolicy>("{}").unwrap(), RolloutPolicy::default());
}

#[test]
fn policy_requires_approval_and_counts_offline_desktops() {
    for weight in Weight::ALL {
        assert_eq!(weight.as_str().parse::<Weight>().unwrap(), weight);
    }
    assert_eq!(Weight::Ignore.as_str(), "ignore");
    let policy = RolloutPolicy {
        approval: Approval { before_waves: [2].into(), distinct_approver: false },
        ..RolloutPolicy::default()
    };
    assert_eq!([1, 2, 3].map(|wave| policy.opening_of(wave).needs_approval), [false, true, false]);
    assert!(policy.counts_away());
    let ignoring = RolloutPolicy { outcomes: [(Outcome::Undelivered, Weight::Ignore)].into(), ..policy };
    assert!(!ignoring.counts_away());
    let stops = [(Outcome::Undelivered, Weight::Ignore), (Outcome::Stopped, Weight::Count)].into();
    assert!(RolloutPolicy { outcomes: stops, ..ignoring }.counts_away(), "a person may stop the target");
}
