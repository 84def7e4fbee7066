//! Flags of a rollout: members of the gray wave, times, concurrency and approvals.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use domain::limits::MAX_WAVE_NUMBER;
use proto::admin::{Approval, Canary, Cleanup, OnHalt, Rollout, TaskSpec, Window};

use super::{
    gate_flags::{ROLLOUT, RolloutFile, WAVES, WaveFlags, WeightFlags, gray_and_rest},
    parse::{moment, share_of_wave, window},
    reboot::RebootFlags,
};
use crate::{
    Error,
    duration::{minutes, seconds},
    field_flags::Overrides,
    number::{MAX_CONCURRENCY, number},
};

/// Flags of the gray wave and the later waves. The names of the published API are accepted as
/// aliases.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RolloutFlags {
    #[command(flatten)]
    pub(crate) waves: WaveFlags,
    /// Member of the gray wave; repeat or separate by commas. A random sample fills up to --canary
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = WAVES, conflicts_with = "waves",
          visible_alias = "gray-resource-ids", aliases = ["gray_resource_ids", "gray-desktop-ids", "gray_desktop_ids"])]
    pub(crate) canary_desktop: Vec<String>,
    /// Never run more desktops at the same time than may still fail, so failures cannot exceed the
    /// threshold
    #[arg(long, help_heading = WAVES)]
    pub(crate) strict: bool,
    /// Effect of a halt on running scripts [default: drain]
    #[arg(long, value_enum, value_name = "MODE", help_heading = WAVES, aliases = ["on_halt"])]
    pub(crate) on_halt: Option<Ending>,
    /// Maximum run time of each script, in whole minutes: 5m or 2h [default: 10m, set by the
    /// server]
    #[arg(long, value_name = "DURATION", value_parser = minutes, help_heading = ROLLOUT,
          visible_alias = "timeout", aliases = ["execution_timeout"])]
    pub(crate) execution_timeout: Option<i64>,
    /// Maximum number of desktops running at the same time [default: the wave's size]
    #[arg(long, value_name = "N", value_parser = number(1, MAX_CONCURRENCY, 50), help_heading = ROLLOUT,
          aliases = ["max_concurrency"])]
    pub(crate) max_concurrency: Option<i64>,
    /// Delay between the end of a wave and the start of the next: 90s or 10m [default: none]
    #[arg(long, value_name = "DURATION", value_parser = seconds, help_heading = ROLLOUT)]
    pub(crate) soak: Option<i64>,
    /// Waves that need approval before they open, by number: --approve-before 2,3 [default: none]
    #[arg(long, value_name = "WAVE", value_delimiter = ',', value_parser = number(1, i64::from(MAX_WAVE_NUMBER), 2),
          help_heading = ROLLOUT)]
    pub(crate) approve_before: Vec<i64>,
    /// Require an approver other than the author of the task
    #[arg(long, requires = "approve_before", help_heading = ROLLOUT)]
    pub(crate) distinct_approver: bool,
    /// Maximum wait for an offline desktop: 10m or 8h [default: 10m, set by the server]
    #[arg(long, value_name = "DURATION", value_parser = seconds, help_heading = ROLLOUT)]
    pub(crate) delivery_timeout: Option<i64>,
    /// Percentage of finished targets at which a wave closes if all others are offline: 95
    /// [default: wait for all]
    #[arg(long, value_name = "PERCENT", value_parser = share_of_wave, help_heading = ROLLOUT, aliases = ["quorum-percent", "quorum_percent"])]
    pub(crate) quorum: Option<f64>,
    /// Percentage of a wave's desktops that must succeed before the next wave opens: 50 [default:
    /// one desktop]
    #[arg(long, value_name = "PERCENT", value_parser = share_of_wave, help_heading = WAVES,
          aliases = ["min-success-percent", "min_success_percent"])]
    pub(crate) min_success: Option<f64>,
    /// Time after which no script starts: 2026-12-01T00:00:00Z [default: never]
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = ROLLOUT,
          conflicts_with = "expires_in", aliases = ["expires_at"])]
    pub(crate) expires_at: Option<SystemTime>,
    /// Time from now after which no script starts: 90m or 8h [default: never]
    #[arg(long, value_name = "DURATION", value_parser = seconds, help_heading = ROLLOUT)]
    pub(crate) expires_in: Option<i64>,
    /// Hours in which scripts may start, in the desktop's time or a given zone:
    /// 22:00-05:00@Europe/Berlin [default: any time]
    #[arg(long, value_name = "FROM-TO[@ZONE]", value_parser = window, help_heading = ROLLOUT)]
    pub(crate) window: Option<Window>,
    #[command(flatten)]
    pub(crate) weights: WeightFlags,
    /// User that runs the scripts, like www-data [default: set by the agent's configuration]
    #[arg(long = "run-as", value_name = "USER", help_heading = ROLLOUT, aliases = ["run-as-user", "run_as_user"])]
    pub(crate) run_as: Option<String>,
    /// Effect of a script's end on processes that it leaves behind [default: keep]
    #[arg(long, value_enum, value_name = "MODE", help_heading = ROLLOUT)]
    pub(crate) cleanup: Option<LeftProcesses>,
    #[command(flatten)]
    pub(crate) reboot: RebootFlags,
    /// Attributes that canaries are spread over: os, pool, zone [default: all three]
    #[arg(long, value_name = "ATTRIBUTE", value_delimiter = ',', help_heading = ROLLOUT)]
    pub(crate) canary_by: Vec<String>,
    /// Draw canaries from offline desktops too [default: connected desktops of each stratum first]
    #[arg(long, help_heading = ROLLOUT)]
    pub(crate) any_canary: bool,
    /// Seed of the canary sample: the same seed over the same desktops gives the same plan
    /// [default: random]
    #[arg(long, value_name = "N", value_parser = number(0, u64::MAX, 7), help_heading = ROLLOUT)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) file: RolloutFile,
}

/// The effect of a halt or a stop on running scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ending {
    /// Running scripts finish
    Drain,
    /// Running scripts are killed
    Kill,
}

/// The effect of a script's end on processes that it leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeftProcesses {
    /// They live on, as daemons do
    Keep,
    /// They are killed
    Kill,
}

impl RolloutFlags {
    /// Returns the flags of the wave fields if they differ from the usual ones.
    pub(crate) fn overrides(&self) -> &'static Overrides {
        if self.file.is_given() { &[] } else { self.waves.overrides() }
    }

    /// Sets the rollout and the gray fields of a task from the flags. `now` is the local time, the
    /// base of `--expires-in`.
    pub(crate) fn apply(self, task: &mut TaskSpec, now: SystemTime) -> Result<(), Error> {
        task.execution_timeout = self.execution_timeout;
        let mut rollout = self.file.read()?;
        self.richer(&mut rollout, now)?;
        self.first_wave(task, &mut rollout)?;
        task.rollout = (rollout != Rollout::default()).then_some(rollout);
        Ok(())
    }

    /// Sets the first wave. Uses the API's gray fields where possible; a percentage needs explicit
    /// waves.
    fn first_wave(self, task: &mut TaskSpec, rollout: &mut Rollout) -> Result<(), Error> {
        let WaveFlags { canary, fail_threshold, waves, .. } = self.waves;
        if !waves.is_empty() {
            rollout.waves = waves;
        }
        if let Some(first) = rollout.waves.first_mut() {
            if canary.is_some() || !self.canary_desktop.is_empty() {
                return Err(Error::misused(
                    "--canary and --canary-desktop cannot be combined with waves: the rollout sets its waves",
                ));
            }
            first.fail_threshold = fail_threshold.or(first.fail_threshold);
            return Ok(());
        }
        if canary.is_none() && self.canary_desktop.is_empty() && fail_threshold.is_some() {
            return Err(Error::misused(
                "--fail-threshold applies to the gray wave, and the rollout has none",
            )
            .try_next("--canary 5: adds a gray wave")
            .try_next("--total-fail-threshold 2: applies to the whole rollout"));
        }
        let by_count = canary.is_none_or(|canary| canary.count.is_some());
        let by_number = fail_threshold.is_none_or(|threshold| threshold.count.is_some());
        if by_count && by_number {
            task.gray_count = canary.and_then(|canary| canary.count);
            task.gray_desktop_ids = self.canary_desktop;
            let threshold = fail_threshold.and_then(|threshold| threshold.count);
            // The API accepts only thresholds below the gray count. For one canary, a threshold of
            // 1 is the default.
            let named = i64::try_from(task.gray_desktop_ids.len()).unwrap_or(i64::MAX);
            let is_default = threshold == Some(1) && task.gray_count.unwrap_or(named) == 1;
            task.gray_fail_threshold = threshold.filter(|_| !is_default);
            return Ok(());
        }
        match canary {
            Some(first) if self.canary_desktop.is_empty() => {
                rollout.waves = gray_and_rest(first, fail_threshold);
                Ok(())
            }
            _ => Err(Error::misused(
                "a percentage needs --canary or --waves, and cannot be combined with --canary-desktop",
            )
            .try_next("a count for --fail-threshold and --canary, like 2")),
        }
    }

    fn richer(&self, rollout: &mut Rollout, now: SystemTime) -> Result<(), Error> {
        fn set<T: Clone>(field: &mut Option<T>, flag: &Option<T>) {
            if let Some(value) = flag {
                *field = Some(value.clone());
            }
        }
        set(&mut rollout.fail_threshold, &self.waves.total_fail_threshold);
        set(&mut rollout.max_concurrency, &self.max_concurrency);
        set(&mut rollout.soak_seconds, &self.soak);
        set(&mut rollout.delivery_timeout_seconds, &self.delivery_timeout);
        set(&mut rollout.quorum_percent, &self.quorum);
        set(&mut rollout.min_success_percent, &self.min_success);
        set(&mut rollout.window, &self.window);
        let after = self.expires_in.and_then(|seconds| u64::try_from(seconds).ok());
        let after = after.map(|seconds| now + Duration::from_secs(seconds));
        set(&mut rollout.expires_at, &self.expires_at.or(after).map(prost_types::Timestamp::from));
        rollout.strict |= self.strict;
        if let Some(on_halt) = self.on_halt {
            rollout.on_halt = match on_halt {
                Ending::Drain => OnHalt::Drain.into(),
                Ending::Kill => OnHalt::Kill.into(),
            };
        }
        if let Some(user) = &self.run_as {
            rollout.run_as_user.clone_from(user);
        }
        if let Some(cleanup) = self.cleanup {
            rollout.cleanup = match cleanup {
                LeftProcesses::Keep => Cleanup::Keep.into(),
                LeftProcesses::Kill => Cleanup::Kill.into(),
            };
        }
        self.reboot.apply(rollout);
        if !self.approve_before.is_empty() {
            // A `distinct_approver` of the file stays set.
            let of_file = rollout.approval.take().is_some_and(|approval| approval.distinct_approver);
            rollout.approval = Some(Approval {
                before_waves: self.approve_before.clone(),
                distinct_approver: self.distinct_approver || of_file,
            });
        }
        self.weights.apply(rollout)?;
        if !self.canary_by.is_empty() || self.seed.is_some() || self.any_canary {
            let canary = rollout.canary.get_or_insert_with(Canary::default);
            if self.any_canary {
                canary.prefer_connected = Some(false);
            }
            if !self.canary_by.is_empty() {
                canary.by.clone_from(&self.canary_by);
            }
            canary.seed = self.seed.or(canary.seed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;
    use proto::admin::{FailThreshold, IfUserActive, PostFinish, WaveSpec};

    use super::*;
    use crate::args::gate_flags::{FIRST_FAILURE, rest};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: RolloutFlags,
    }

    fn task(line: &str) -> Result<TaskSpec, String> {
        let line = Line::try_parse_from(std::iter::once("it").chain(line.split_whitespace()))
            .map_err(|error| error.to_string())?;
        let mut task = TaskSpec::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        line.flags.apply(&mut task, now).map_err(|failure| failure.to_string())?;
        Ok(task)
    }

    #[test]
    fn canary_flags_and_their_aliases_set_the_gray_fields() {
        let expected = TaskSpec { gray_count: Some(5), gray_fail_threshold: Some(2), ..TaskSpec::default() };
        for line in [
            "--canary 5 --fail-threshold 2",
            "--gray-count 5 --gray-fail-threshold 2",
            "--gray_count 5 --gray_fail_threshold 2",
        ] {
            assert_eq!(task(line), Ok(expected.clone()), "{line}");
        }
        assert_eq!(task("--gray_resource_ids a,b").unwrap().gray_desktop_ids, ["a", "b"]);
        assert_eq!(task("--execution_timeout 5m").unwrap().execution_timeout, Some(5));
    }

    #[test]
    fn percentages_make_waves() {
        let waves = task("--canary 5% --fail-threshold 20%/10").unwrap().rollout.unwrap().waves;
        let threshold = FailThreshold { percent: Some(20.0), min_results: Some(10), count: None };
        let first = WaveSpec { percent: Some(5.0), fail_threshold: Some(threshold), ..WaveSpec::default() };
        assert_eq!(waves, [first, rest()]);
        let unsaid = task("--canary 5%").unwrap().rollout.unwrap().waves[0].fail_threshold;
        assert_eq!(unsaid, Some(FIRST_FAILURE), "as with a number: the first failure halts");
        assert!(
            task("--canary-desktop a --fail-threshold 20%").unwrap_err().starts_with("a percentage needs")
        );
    }

    #[test]
    fn one_canary_may_be_given_the_threshold_that_it_has() {
        let one = task("--canary 1 --fail-threshold 1").unwrap();
        assert_eq!((one.gray_count, one.gray_fail_threshold), (Some(1), None));
        let two = task("--canary 1 --fail-threshold 2").unwrap();
        assert_eq!(two.gray_fail_threshold, Some(2), "the API refuses this");
    }

    #[test]
    fn a_threshold_of_a_gray_wave_needs_one() {
        let refused = task("--fail-threshold 2").unwrap_err();
        assert!(refused.contains("--canary 5") && refused.contains("--total-fail-threshold"), "{refused}");
        assert!(task("--fail-threshold 2 --canary-desktop a,b,c").is_ok());
        let one = task("--fail-threshold 1 --canary-desktop a").unwrap();
        assert_eq!(one.gray_fail_threshold, None, "as with --canary 1");
        assert!(task("--canary 5 --expires-in=-5").is_err());
        assert!(
            task("--canary rest").is_err() && task("--canary 0").is_err() && task("--canary 0%").is_err()
        );
    }

    #[test]
    fn waves_flag_excludes_gray_flags_and_takes_the_threshold() {
        let waves = task("--waves 5,10%:3,rest --fail-threshold 1").unwrap().rollout.unwrap().waves;
        let counts: Vec<_> = waves.iter().map(|wave| wave.fail_threshold.and_then(|it| it.count)).collect();
        assert_eq!(counts, [Some(1), Some(3), None]);
        assert!(task("--waves 5,rest --canary 3").is_err());
    }

    #[test]
    fn every_flag_sets_its_field() {
        let task = task(
            "--canary 5 --total-fail-threshold 20 --strict --on-halt kill --timeout 2h --max-concurrency 9 --soak 10m \
             --approve-before 2,3 --distinct-approver --delivery-timeout 1h --quorum 95 --expires-in 1m \
             --window 22:00-05:00@UTC --outcome undelivered=ignore --exit-code 3010=success,42=halt --canary-by os,pool \
             --seed 7 --any-canary --min-success 50 --run-as www-data --cleanup kill \
             --post-finish reboot --if-user-active ask --agent-version 1.2.0 --return-timeout 20m",
        )
        .unwrap();
        assert_eq!((task.gray_count, task.execution_timeout), (Some(5), Some(120)));
        let rollout = task.rollout.unwrap();
        let expected = Rollout {
            waves: Vec::new(),
            fail_threshold: Some(FailThreshold { count: Some(20), ..FailThreshold::default() }),
            strict: true,
            max_concurrency: Some(9),
            soak_seconds: Some(600),
            approval: Some(Approval { before_waves: vec![2, 3], distinct_approver: true }),
            on_halt: OnHalt::Kill.into(),
            delivery_timeout_seconds: Some(3_600),
            quorum_percent: Some(95.0),
            min_success_percent: Some(50.0),
            expires_at: Some(prost_types::Timestamp { seconds: 1_060, nanos: 0 }),
            window: Some(Window { from: "22:00".into(), to: "05:00".into(), time_zone: "UTC".into() }),
            outcomes: [("UNDELIVERED".to_owned(), "ignore".to_owned())].into(),
            exit_codes: [("3010", "success"), ("42", "halt")]
                .map(|(code, it)| (code.into(), it.into()))
                .into(),
            canary: Some(Canary {
                by: vec!["os".into(), "pool".into()],
                seed: Some(7),
                prefer_connected: Some(false),
                ..Canary::default()
            }),
            run_as_user: "www-data".into(),
            cleanup: Cleanup::Kill.into(),
            post_finish: PostFinish::Reboot.into(),
            if_user_active: IfUserActive::Ask.into(),
            agent_version: "1.2.0".into(),
            return_timeout_seconds: Some(1_200),
        };
        assert_eq!(rollout, expected);
    }

    #[test]
    fn a_file_has_the_object_of_the_api_and_flags_win_over_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        fs::write(
            file.path(),
            r#"{"waves": [{"count": 5}, {"rest": true}], "on_halt": "kill", "soak_seconds": 60}"#,
        )
        .unwrap();
        let rollout = task(&format!("--rollout {path} --soak 90s")).unwrap().rollout.unwrap();
        assert_eq!(
            (rollout.waves.len(), rollout.on_halt(), rollout.soak_seconds),
            (2, OnHalt::Kill, Some(90))
        );
        fs::write(file.path(), r#"{"approval": {"before_waves": [3], "distinct_approver": true}}"#).unwrap();
        let approval =
            task(&format!("--rollout {path} --approve-before 2")).unwrap().rollout.unwrap().approval;
        assert_eq!(approval, Some(Approval { before_waves: vec![2], distinct_approver: true }));
        fs::write(file.path(), r#"{"wavs": []}"#).unwrap();
        assert!(task(&format!("--rollout {path}")).unwrap_err().contains("wavs"));
        assert!(task("--rollout /nowhere.json").unwrap_err().contains("/nowhere.json"));
    }
}
