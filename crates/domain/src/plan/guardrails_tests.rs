use proptest::prelude::*;

use super::*;
use crate::policy::Approval;

fn waves(sizes: &[(u32, Option<u32>)]) -> Vec<PlannedWave> {
    let sizes = sizes.iter().map(|&(size, count)| (size, count.map(Threshold::Count)));
    PlannedWave::consecutive(sizes.collect())
}

fn approved_before(wave: u16) -> RolloutPolicy {
    let approval = Approval { before_waves: [wave].into(), distinct_approver: false };
    RolloutPolicy { approval, ..RolloutPolicy::default() }
}

/// Returns the reason of the refusal and its field; `None` if the task is allowed.
fn refusal(
    guardrails: Guardrails,
    sizes: &[(u32, Option<u32>)],
    policy: &RolloutPolicy,
) -> Option<(Reason, String)> {
    let error = guardrails.check(&waves(sizes), policy, false).err()?;
    Some((error.reason, error.field.map(|field| field.to_string()).unwrap_or_default()))
}

#[test]
fn project_without_guardrails_allows_every_task() {
    let whole = [(1_000_000, None)];
    assert_eq!(refusal(Guardrails::default(), &whole, &RolloutPolicy::default()), None);
    assert!(Guardrails::default().is_empty());
}

#[test]
fn first_wave_above_the_limit_needs_a_canary() {
    let guardrails = Guardrails { require_canary_above: Some(20), ..Guardrails::default() };
    let policy = RolloutPolicy::default();
    let expected = Some((Reason::CanaryRequired, "gray_count".to_owned()));
    assert_eq!(refusal(guardrails, &[(21, None)], &policy), expected);
    assert_eq!(refusal(guardrails, &[(19_999, None), (1, None)], &policy), expected, "no canary at all");
    assert_eq!(refusal(guardrails, &[(20, None)], &policy), None);
    assert_eq!(refusal(guardrails, &[(5, None), (19_995, None)], &policy), None);
    let message = guardrails.check(&waves(&[(21, None)]), &policy, false).unwrap_err().message;
    assert!(message.contains("require_canary_above") && message.contains("at most 20"), "{message}");
}

#[test]
fn wave_above_its_share_is_too_large_but_one_desktop_never() {
    let share = BasisPoints::from_percent(25.0).ok();
    let guardrails = Guardrails { max_wave_percent: share, ..Guardrails::default() };
    let policy = RolloutPolicy::default();
    let expected = Some((Reason::WaveTooLarge, "rollout.waves".to_owned()));
    assert_eq!(refusal(guardrails, &[(5, None), (95, None)], &policy), expected);
    assert_eq!(refusal(guardrails, &[(25, None); 4], &policy), None);
    assert_eq!(refusal(guardrails, &[(1, None)], &policy), None);
    assert_eq!(refusal(guardrails, &[(1, None), (1, None)], &policy), None);
    assert_eq!(refusal(guardrails, &[(2, None)], &policy), expected);
}

#[test]
fn threshold_that_cannot_be_reached_counts_as_none() {
    let guardrails = Guardrails { require_threshold: true, ..Guardrails::default() };
    let policy = RolloutPolicy::default();
    let expected = Some((Reason::ThresholdRequired, "rollout.fail_threshold".to_owned()));
    assert_eq!(refusal(guardrails, &[(5, Some(2)), (95, None)], &policy), expected);
    assert_eq!(refusal(guardrails, &[(5, Some(2)), (95, Some(96))], &policy), expected);
    assert_eq!(refusal(guardrails, &[(5, Some(2)), (95, Some(95))], &policy), None);
    let of_task =
        |count| RolloutPolicy { fail_threshold: Some(Threshold::Count(count)), ..RolloutPolicy::default() };
    assert_eq!(refusal(guardrails, &[(5, None), (95, None)], &of_task(100)), None);
    assert_eq!(refusal(guardrails, &[(5, None), (95, None)], &of_task(101)), expected);
    assert_eq!(refusal(guardrails, &[(1, None)], &policy), None, "one desktop halts nothing");
}

#[test]
fn desktops_before_the_first_approval_are_limited() {
    let guardrails = Guardrails { require_approval_above: Some(10), ..Guardrails::default() };
    let sizes = [(5, None), (5, None), (90, None)];
    let expected = Some((Reason::ApprovalRequired, "rollout.approval.before_waves".to_owned()));
    assert_eq!(refusal(guardrails, &sizes, &RolloutPolicy::default()), expected);
    for wave in 1..=3 {
        assert_eq!(refusal(guardrails, &sizes, &approved_before(wave)), None, "{wave}");
    }
    assert_eq!(refusal(guardrails, &[(5, None), (6, None), (9, None)], &approved_before(3)), expected);
    assert_eq!(refusal(guardrails, &[(10, None)], &RolloutPolicy::default()), None);
    let all = Guardrails { require_approval_above: Some(0), ..Guardrails::default() };
    assert_eq!(refusal(all, &[(1, None)], &RolloutPolicy::default()), expected);
    assert_eq!(refusal(all, &[(1, None)], &approved_before(1)), None);
}

#[test]
fn reason_is_required_where_the_project_says_so() {
    let guardrails = Guardrails { require_reason: true, ..Guardrails::default() };
    let expected = Some((Reason::ReasonRequired, "reason".to_owned()));
    assert_eq!(refusal(guardrails, &[(1, None)], &RolloutPolicy::default()), expected);
    assert!(guardrails.check(&waves(&[(1, None)]), &RolloutPolicy::default(), true).is_ok());
}

#[test]
fn audit_shows_the_share_as_a_percentage() {
    let share = BasisPoints::from_percent(2.5).ok();
    let json = serde_json::to_value(Guardrails { max_wave_percent: share, ..Guardrails::default() }).unwrap();
    assert_eq!(json["max_wave_percent"], 2.5);
}

proptest! {
    #[test]
    fn allowed_task_keeps_every_bound(
        sizes in proptest::collection::vec((1..200_u32, proptest::option::of(1..200_u32)), 1..8),
        canary in 1..100_u32, approval in 0..300_u32, percent in 1..=100_u32, approved in 1..9_u16,
    ) {
        let share = BasisPoints::new(percent * 100);
        let guardrails = Guardrails {
            require_canary_above: Some(canary),
            require_threshold: true,
            max_wave_percent: share,
            require_reason: false,
            require_approval_above: Some(approval),
        };
        if refusal(guardrails, &sizes, &approved_before(approved)).is_none() {
            let total: u32 = sizes.iter().map(|(size, _)| size).sum();
            let before: u32 = sizes.iter().take(usize::from(approved) - 1).map(|(size, _)| size).sum();
            prop_assert!(sizes[0].0 <= canary && before <= approval);
            prop_assert!(sizes.iter().all(|(size, _)| *size == 1 || size * 100 < percent * total + 100));
            prop_assert!(total == 1 || sizes.iter().all(|(size, count)| count.is_some_and(|it| it <= *size)));
        }
    }
}

#[test]
fn threshold_that_counts_no_failures_is_none() {
    let guardrails = Guardrails { require_threshold: true, ..Guardrails::default() };
    let ignoring = |outcome| RolloutPolicy {
        outcomes: [(outcome, Weight::Ignore)].into(),
        fail_threshold: Some(Threshold::Count(1)),
        ..RolloutPolicy::default()
    };
    let expected = Some((Reason::ThresholdRequired, "rollout.outcomes".to_owned()));
    for outcome in [Outcome::Failed, Outcome::Timeout, Outcome::Unknown] {
        assert_eq!(refusal(guardrails, &[(9, None)], &ignoring(outcome)), expected, "{outcome}");
    }
    assert_eq!(refusal(guardrails, &[(9, None)], &ignoring(Outcome::Undelivered)), None);
}

#[test]
fn share_of_a_retry_is_of_the_retried_task() {
    let share = BasisPoints::from_percent(25.0).ok();
    let guardrails = Guardrails { max_wave_percent: share, ..Guardrails::default() };
    let policy = RolloutPolicy::default();
    let retried = |size| guardrails.check_retry(&waves(&[(size, None)]), &policy, false, 100);
    assert!(retried(25).is_ok());
    assert_eq!(retried(26).unwrap_err().reason, Reason::WaveTooLarge);
}
