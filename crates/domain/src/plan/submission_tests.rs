use uuid::Uuid;

use super::*;
use crate::ErrorKind;

fn ids(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|&name| name.to_owned()).collect())
}

/// Creates a request with ten desktops and a command.
fn request() -> ExecutionRequest {
    ExecutionRequest {
        resource_ids: ids(&["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9"]),
        command: Some("true".into()),
        command_type: Some("SHELL".into()),
        ..ExecutionRequest::default()
    }
}

fn refusal(request: ExecutionRequest) -> String {
    let error = request.check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.to_string()
}

/// `Ok((count, ids, threshold))`, or a part of the expected error message.
type GrayCase =
    (Option<i64>, &'static [&'static str], Option<i64>, Result<Option<(u32, usize, u32)>, &'static str>);

#[test]
fn the_gray_table() {
    let table: &[GrayCase] = &[
        (None, &[], None, Ok(None)),
        // gray_count only, ids only, both.
        (Some(4), &[], Some(2), Ok(Some((4, 0, 2)))),
        (Some(4), &[], Some(3), Ok(Some((4, 0, 3)))),
        (None, &["d1", "d2"], Some(1), Ok(Some((2, 2, 1)))),
        (Some(4), &["d1", "d2"], Some(2), Ok(Some((4, 2, 2)))),
        (Some(2), &["d1", "d2", "d3"], Some(1), Ok(Some((2, 3, 1)))),
        // Without a threshold the first failure halts, even with a single gray desktop.
        (Some(4), &[], None, Ok(Some((4, 0, 1)))),
        (Some(1), &[], None, Ok(Some((1, 0, 1)))),
        (None, &["d1"], None, Ok(Some((1, 1, 1)))),
        (Some(10), &[], Some(9), Ok(Some((10, 0, 9)))),
        // The threshold is at least 1 and less than the size of the gray wave.
        (Some(4), &[], Some(4), Err("less than the size of the gray wave, 4")),
        (Some(4), &[], Some(5), Err("less than the size of the gray wave, 4")),
        (Some(1), &[], Some(1), Err("less than the size of the gray wave, 1")),
        (None, &["d1", "d2"], Some(2), Err("less than the size of the gray wave, 2")),
        (Some(4), &[], Some(0), Err("at least 1")),
        (Some(4), &[], Some(-1), Err("at least 1")),
        (None, &[], Some(1), Err("needs a gray wave")),
        // Zero and negative counts.
        (Some(0), &[], None, Ok(None)),
        (Some(0), &[], Some(1), Err("needs a gray wave")),
        (Some(0), &["d1"], None, Err("at least 1")),
        (Some(-1), &[], None, Err("at least 1")),
        (Some(i64::MIN), &[], None, Err("at least 1")),
        // More than the number of desktops.
        (Some(11), &[], None, Err("larger than the number")),
        (Some(i64::MAX), &[], None, Err("too large")),
        // Not in resource_ids; repeated.
        (None, &["d1", "x"], None, Err("gray_desktop_ids: x is not among")),
        (Some(1), &["d1", "x"], None, Err("gray_desktop_ids: x is not among")),
        (None, &["d1", "d1", "d2"], Some(1), Ok(Some((2, 2, 1)))),
    ];
    for (count, names, threshold, expected) in table {
        let asked = ExecutionRequest {
            gray_count: *count,
            gray_resource_ids: ids(names),
            gray_fail_threshold: *threshold,
            ..request()
        };
        let case = format!("{count:?} {names:?} {threshold:?}");
        match (asked.check(), expected) {
            (Ok(submission), Ok(expected)) => {
                let gray = submission.gray.map(|gray| (gray.count, gray.ids.len(), gray.fail_threshold));
                assert_eq!(gray, *expected, "{case}");
            }
            (Err(error), Err(word)) => assert!(error.to_string().contains(word), "{case}: {}", error),
            (result, _) => panic!("{case}: {result:?}"),
        }
    }
}

#[test]
fn an_empty_request_says_what_is_missing() {
    assert!(refusal(ExecutionRequest::default()).contains("scripts: provide scripts or a command"));
    assert!(
        refusal(ExecutionRequest { resource_ids: None, ..request() })
            .contains("desktop_ids: name at least one")
    );
    assert!(
        refusal(ExecutionRequest { resource_ids: Some(vec![]), ..request() })
            .contains("desktop_ids: name at least one")
    );
}

#[test]
fn script_and_command_exclude_each_other() {
    let script = Uuid::from_u128(1).simple().to_string();
    let scripts = |ids: Vec<String>| ExecutionRequest {
        script_ids: Some(ids),
        command: None,
        command_type: None,
        ..request()
    };
    assert!(
        refusal(ExecutionRequest { script_ids: Some(vec![script.clone()]), ..request() }).contains("exclude")
    );
    assert!(
        refusal(ExecutionRequest { command_type: None, ..request() })
            .contains("command.command_type: a command needs")
    );
    assert!(
        refusal(ExecutionRequest { command_type: Some("SH".into()), ..request() }).contains("POWERSHELL")
    );
    assert!(
        refusal(ExecutionRequest { command_type: Some("SHELL".into()), ..scripts(vec![script.clone()]) })
            .contains("only a command needs a type")
    );
    assert!(refusal(scripts(vec![])).contains("provide scripts or a command"));
    let twice = scripts(vec![script.clone(), script]).check().unwrap();
    assert!(matches!(twice.work, Work::Scripts(ids) if ids.len() == 1), "a repeated script runs once");
    let many = (0..21).map(|number| Uuid::from_u128(number).simple().to_string()).collect();
    assert!(refusal(scripts(many)).contains("at most 20"));
}

#[test]
fn a_desktop_given_twice_counts_once() {
    let submission = ExecutionRequest { resource_ids: ids(&["b", "a", "b"]), ..request() }.check().unwrap();
    assert_eq!(submission.desktop_ids.iter().map(DesktopId::as_str).collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn execution_timeout_is_in_minutes_from_0_to_600() {
    let timeout = |minutes| ExecutionRequest { execution_timeout: Some(minutes), ..request() }.check();
    assert_eq!(timeout(0).unwrap().execution_timeout, None, "0 means the default");
    assert_eq!(timeout(600).unwrap().execution_timeout, Some(TimeDelta::hours(10)));
    assert!(timeout(601).is_err());
    assert!(timeout(-1).is_err());
}

#[test]
fn commands_are_bounded_as_scripts_are() {
    let command = |content: String| ExecutionRequest { command: Some(content), ..request() };
    assert!(command("x".repeat(100_000)).check().is_ok());
    assert!(refusal(command("x".repeat(100_001))).contains("at most 100000"));
    assert!(refusal(command(String::new())).contains("command.content: must not be empty"));
}

#[test]
fn only_desktops_are_resources() {
    assert!(ExecutionRequest { resource_type: Some("DESKTOP".into()), ..request() }.check().is_ok());
    assert!(
        refusal(ExecutionRequest { resource_type: Some("PHONE".into()), ..request() }).contains("DESKTOP")
    );
}

#[test]
fn value_at_a_limit_is_allowed_and_beyond_it_refused() {
    let desktops = |number: usize| {
        let resource_ids = Some((0..number).map(|number| format!("d{number}")).collect());
        ExecutionRequest { resource_ids, ..request() }.check()
    };
    let most = limits::MAX_TARGETS_PER_TASK;
    assert_eq!(desktops(most).unwrap().desktop_ids.len(), most);
    assert!(desktops(most + 1).unwrap_err().to_string().contains("at most 1000000"));
    let scripts = |number: u128| {
        let script_ids =
            Some((0..number).map(|number| Uuid::from_u128(number).simple().to_string()).collect());
        ExecutionRequest { script_ids, command: None, command_type: None, ..request() }.check()
    };
    assert!(scripts(20).is_ok());
    assert!(scripts(21).unwrap_err().to_string().contains("at most 20"));
    let unknown =
        ExecutionRequest { script_ids: ids(&["nobody's"]), command: None, command_type: None, ..request() };
    let refused = unknown.check().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound, "an invalid id is reported as missing");
    assert!(refused.to_string().starts_with("scripts[0]: "), "{}", refused.message);
    let gray = |number: usize| {
        let gray_desktop_ids = Some((0..number).map(|number| format!("d{number}")).collect());
        GroupRequest { gray_desktop_ids, ..GroupRequest::default() }.over(Vec::new())
    };
    assert!(gray(1_000).is_ok());
    assert!(gray(1_001).unwrap_err().to_string().contains("at most 1000"));
}

#[test]
fn the_calls_by_tag_and_pool_have_their_own_ranges() {
    let over = |request: GroupRequest| request.over(vec!["d0".to_owned()]);
    let made = over(GroupRequest { gray_count: Some(0), ..GroupRequest::default() }).unwrap();
    assert_eq!((made.resource_ids, made.execution_timeout), (ids(&["d0"]), Some(1)));
    let asked = GroupRequest {
        gray_count: Some(1_000),
        gray_fail_threshold: Some(1),
        execution_timeout: Some(600),
        ..GroupRequest::default()
    };
    assert_eq!(over(asked).unwrap().execution_timeout, Some(600));
    for (wrong, word) in [
        (GroupRequest { gray_count: Some(1_001), ..GroupRequest::default() }, "gray_count: 1001"),
        (GroupRequest { gray_count: Some(-1), ..GroupRequest::default() }, "gray_count: -1"),
        (GroupRequest { gray_fail_threshold: Some(0), ..GroupRequest::default() }, "gray_fail_threshold: 0"),
        (GroupRequest { execution_timeout: Some(0), ..GroupRequest::default() }, "execution_timeout: 0"),
        (GroupRequest { execution_timeout: Some(601), ..GroupRequest::default() }, "execution_timeout: 601"),
    ] {
        assert!(over(wrong).unwrap_err().to_string().contains(word), "{word}");
    }
}

fn candidates(number: usize) -> Vec<Candidate> {
    let candidate = |number| Candidate {
        desktop_id: format!("d{number}").parse().unwrap(),
        stratum: crate::desktop::Stratum {
            os_type: String::new(),
            pool_id: String::new(),
            availability_zone: String::new(),
        },
        is_connected: true,
    };
    (0..number).map(candidate).collect()
}

/// Plans ten desktops in waves of these sizes, where the last one takes the rest. The wave at
/// `place` has the threshold `20%/min_results`.
fn plan_with_min_results(sizes: &[i64], place: usize, min_results: i64) -> Result<Plan, Error> {
    let percentage =
        rollout::ThresholdRequest { percent: Some(20.0), min_results: Some(min_results), count: None };
    let rest = rollout::WaveRequest { rest: Some(true), ..rollout::WaveRequest::default() };
    let counts = sizes
        .iter()
        .map(|size| rollout::WaveRequest { count: Some(*size), ..rollout::WaveRequest::default() });
    let mut waves: Vec<_> = counts.chain([rest]).collect();
    waves[place].fail_threshold = Some(percentage);
    let rollout = RolloutRequest { waves: Some(waves), ..RolloutRequest::default() };
    let request = ExecutionRequest { rollout: Some(rollout), ..request() };
    request.check().unwrap().plan(&candidates(10), 1)
}

#[test]
fn min_results_above_wave_size_is_refused() {
    let error = plan_with_min_results(&[1], 0, 10).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(
        error.to_string(),
        "rollout.waves[0].fail_threshold.min_results: 10 is larger than wave 1, which has 1 desktop: use at most 1"
    );
    let error = plan_with_min_results(&[1, 3], 2, 7).unwrap_err();
    assert!(
        error.to_string().contains("waves[2]") && error.to_string().contains("wave 3, which has 6 desktops"),
        "{error}"
    );
    assert!(plan_with_min_results(&[1, 3], 2, 6).is_ok());
    assert!(plan_with_min_results(&[1], 0, 1).is_ok());
}

#[test]
fn min_results_above_task_size_is_refused() {
    let of_task = |min_results| {
        let percentage =
            rollout::ThresholdRequest { percent: Some(5.0), min_results: Some(min_results), count: None };
        let rollout = RolloutRequest { fail_threshold: Some(percentage), ..RolloutRequest::default() };
        let request = ExecutionRequest { rollout: Some(rollout), ..request() };
        request.check().unwrap().plan(&candidates(10), 1)
    };
    assert!(of_task(10).is_ok());
    let error = of_task(11).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rollout.fail_threshold.min_results: 11 is larger than the task, which has 10 desktops: use at most 10"
    );
}
