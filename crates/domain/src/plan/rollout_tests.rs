use super::*;

fn wave(count: Option<i64>, percent: Option<f64>, rest: Option<bool>) -> WaveRequest {
    WaveRequest { count, percent, rest, fail_threshold: None }
}

fn sizes_of(waves: &[WaveRequest], total: u32) -> Result<Vec<u32>, Error> {
    let specs = check_waves(waves.to_vec())?;
    Ok(sizes(&specs, total)?.into_iter().map(|(size, _)| size).collect())
}

#[test]
fn waves_are_filled_in_order_until_none_is_left() {
    let five = wave(Some(5), None, None);
    let tenth = wave(None, Some(10.0), None);
    let rest = wave(None, None, Some(true));
    assert_eq!(
        sizes_of(&[five, tenth, rest], 101).unwrap(),
        [5, 11, 85],
        "a percentage is of all targets, rounded up"
    );
    assert_eq!(sizes_of(&[five, tenth, rest], 6).unwrap(), [5, 1]);
    assert_eq!(sizes_of(&[five, rest], 3).unwrap(), [3]);
    assert_eq!(sizes_of(&[tenth, wave(None, Some(90.0), None)], 7).unwrap(), [1, 6]);
    let over = sizes_of(&[five, tenth], 100).unwrap_err().to_string();
    assert!(over.contains("85 of 100"), "{over}");
}

#[test]
fn what_is_wrong_is_named() {
    let request = RolloutRequest::default;
    let threshold = |count| Some(ThresholdRequest { count: Some(count), ..ThresholdRequest::default() });
    let map = |key: &str, value: &str| Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
    let rest = wave(None, None, Some(true));
    for (wrong, word) in [
        (RolloutRequest { waves: Some(vec![]), ..request() }, "1 to 100"),
        (RolloutRequest { waves: Some(vec![wave(Some(0), None, None)]), ..request() }, "waves[0].count"),
        (RolloutRequest { waves: Some(vec![rest, rest]), ..request() }, "waves[0].rest"),
        (RolloutRequest { waves: Some(vec![wave(Some(1), Some(1.0), None)]), ..request() }, "exactly one"),
        (RolloutRequest { waves: Some(vec![wave(None, None, Some(false))]), ..request() }, "exactly one"),
        (RolloutRequest { fail_threshold: threshold(0), ..request() }, "fail_threshold.count"),
        (RolloutRequest { max_concurrency: Some(0), ..request() }, "max_concurrency"),
        (RolloutRequest { on_halt: Some("burn".into()), ..request() }, "drain, kill"),
        (RolloutRequest { cleanup: Some("burn".into()), ..request() }, "keep, kill"),
        (RolloutRequest { run_as_user: Some("A B".into()), ..request() }, "run_as_user"),
        (RolloutRequest { delivery_timeout_seconds: Some(0), ..request() }, "delivery_timeout_seconds"),
        (RolloutRequest { soak_seconds: Some(-1), ..request() }, "soak_seconds"),
        (RolloutRequest { quorum_percent: Some(0.0), ..request() }, "quorum_percent"),
        (RolloutRequest { min_success_percent: Some(0.0), ..request() }, "min_success_percent"),
        (RolloutRequest { min_success_percent: Some(100.5), ..request() }, "min_success_percent"),
        (
            RolloutRequest {
                canary: Some(CanaryRequest {
                    desktop_ids: Some(vec![String::new()]),
                    ..CanaryRequest::default()
                }),
                ..request()
            },
            "canary.desktop_ids[0]",
        ),
        (RolloutRequest { expires_at: Some("tomorrow".into()), ..request() }, "2026-12-01T00:00:00Z"),
        (
            RolloutRequest { approval: Some(ApprovalRequest::default()), ..request() },
            "before_waves: name at least one",
        ),
        (
            RolloutRequest {
                approval: Some(ApprovalRequest { before_waves: Some(vec![0]), distinct_approver: None }),
                ..request()
            },
            "wave 0",
        ),
        (RolloutRequest { window: Some(WindowRequest::default()), ..request() }, "window.from"),
        (RolloutRequest { outcomes: map("LOST", "ignore"), ..request() }, "outcomes"),
        (RolloutRequest { outcomes: map("SUCCESS", "count"), ..request() }, "never counts"),
        (RolloutRequest { outcomes: map("FAILED", "halt"), ..request() }, "count or ignore"),
        (RolloutRequest { exit_codes: map("x", "ignore"), ..request() }, "is a number"),
        (RolloutRequest { exit_codes: map("0", "ignore"), ..request() }, "always a success"),
        (
            RolloutRequest { exit_codes: map("3", "fail"), ..request() },
            "success, reboot, count, ignore or halt",
        ),
        (
            RolloutRequest {
                canary: Some(CanaryRequest { by: Some(vec!["rack".into()]), ..CanaryRequest::default() }),
                ..request()
            },
            "os, pool, zone",
        ),
    ] {
        let error = wrong.clone().check().unwrap_err();
        assert!(error.to_string().contains(word), "{wrong:?}: {}", error);
    }
}

#[test]
fn strict_needs_a_count_to_keep_to() {
    let strict = RolloutPolicy { strict: true, ..RolloutPolicy::default() };
    let percent = Some(Threshold::Percent { share: BasisPoints::new(100).unwrap(), min_results: 1 });
    assert!(check_strict(&RolloutPolicy::default(), &[None]).is_ok());
    assert!(check_strict(&strict, &[Some(Threshold::Count(1)), None]).is_err());
    assert!(check_strict(&strict, &[percent]).is_err());
    assert!(check_strict(&strict, &[Some(Threshold::Count(1)), Some(Threshold::Count(9))]).is_ok());
    let with_task = RolloutPolicy { fail_threshold: Some(Threshold::Count(3)), ..strict };
    assert!(check_strict(&with_task, &[None, percent]).is_ok());
}

#[test]
fn past_expiry_or_approval_of_unknown_wave_is_refused() {
    let at = check_expiry("2026-12-01T01:00:00+01:00").unwrap();
    assert_eq!(at.to_string(), "2026-12-01 00:00:00 UTC");
    assert!(check_not_expired(Some(at), at - TimeDelta::seconds(1)).is_ok());
    assert!(check_not_expired(Some(at), at).unwrap_err().to_string().contains("not in the future"));
    assert!(check_not_expired(None, at).is_ok());
    let approval = Approval { before_waves: [2, 3].into(), distinct_approver: false };
    assert!(check_approval_waves(&approval, 3).is_ok());
    assert!(
        check_approval_waves(&approval, 2)
            .unwrap_err()
            .to_string()
            .contains("wave 3 does not exist: the rollout has 2")
    );
}

#[test]
fn value_at_a_limit_is_allowed_and_beyond_it_refused() {
    let request = RolloutRequest::default;
    let waves = |number: usize| {
        let waves = vec![wave(Some(1), None, None); number];
        RolloutRequest { waves: Some(waves), ..request() }.check().map(|it| it.waves.unwrap().len())
    };
    assert_eq!((waves(1).unwrap(), waves(100).unwrap(), waves(101).is_err()), (1, 100, true));
    let codes = |number: usize| {
        let codes = (1..=number).map(|code| (code.to_string(), "ignore".to_owned())).collect();
        RolloutRequest { exit_codes: Some(codes), ..request() }.check().map(|it| it.policy.exit_codes.len())
    };
    assert_eq!((codes(100).unwrap(), codes(101).is_err()), (100, true));
    let most = i64::try_from(limits::MAX_TARGETS_PER_TASK).unwrap();
    assert_eq!((max_concurrency(1).unwrap(), max_concurrency(most).unwrap()), (1, 1_000_000));
    assert!(max_concurrency(most + 1).is_err() && max_concurrency(0).is_err());
    let soak = |seconds: i64| {
        RolloutRequest { soak_seconds: Some(seconds), ..request() }.check().map(|it| it.policy.soak_seconds)
    };
    assert_eq!((soak(0).unwrap(), soak(2_592_000).unwrap(), soak(2_592_001).is_err()), (0, 2_592_000, true));
}

#[test]
fn words_are_read_as_what_they_weigh() {
    let map = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect())
    };
    let checked = RolloutRequest {
        outcomes: map(&[("UNKNOWN", "ignore"), ("STOPPED", "count")]),
        exit_codes: map(&[("3", "success"), ("4", "count"), ("5", "ignore"), ("6", "halt")]),
        canary: Some(CanaryRequest {
            by: Some(["os", "zone", "os"].map(str::to_owned).to_vec()),
            seed: Some(9),
            prefer_connected: Some(false),
            desktop_ids: Some(["d-2", "d-1", "d-2"].map(str::to_owned).to_vec()),
        }),
        min_success_percent: Some(50.0),
        ..RolloutRequest::default()
    }
    .check()
    .unwrap();
    let policy = &checked.policy;
    assert_eq!(
        policy.outcomes,
        [(Outcome::Unknown, Weight::Ignore), (Outcome::Stopped, Weight::Count)].into()
    );
    assert_eq!(policy.success_exit_codes, [3]);
    assert_eq!(policy.exit_codes, [(4, Weight::Count), (5, Weight::Ignore), (6, Weight::Halt)].into());
    let canaries = &checked.canaries;
    assert_eq!((canaries.prefer_connected, canaries.ids.len()), (false, 2), "named twice, taken once");
    assert_eq!(policy.min_success, BasisPoints::new(5_000));
    assert_eq!((&canaries.by, checked.seed), (&vec![StratumKey::Os, StratumKey::Zone], Some(9)));
}
