//! Flags that decide when the gate halts a rollout: waves, thresholds and weights.

use std::{collections::HashMap, path::PathBuf};

use clap::Args;
use domain::limits::MAX_BODY_BYTES;
use proto::admin::{FailThreshold, Rollout, Wave, WaveSpec};

use super::{
    file_arg,
    parse::{pair, share, threshold, wave},
    unique_json,
};
use crate::{Error, field_flags::Overrides, output};

/// Heading of the flags of waves.
pub(super) const WAVES: &str = "Gray waves";
/// Heading of the other flags of a rollout.
pub(super) const ROLLOUT: &str = "Rollout";
/// Default threshold of the gray wave in the API.
pub(super) const FIRST_FAILURE: FailThreshold =
    FailThreshold { count: Some(1), percent: None, min_results: None };

/// Sizes and thresholds of waves. The names of the published API are accepted as aliases.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WaveFlags {
    /// Size of the gray (canary) wave, which runs first: --canary 5 or 2% [default: no gray wave]
    #[arg(long, value_name = "N|P%", value_parser = share, help_heading = WAVES,
          visible_alias = "gray-count", aliases = ["gray_count"])]
    pub(crate) canary: Option<WaveSpec>,
    /// Failures in the first wave that halt the rollout: 2, 20%, or 20%/10 after 10 results
    /// [default with a gray wave: 1]
    #[arg(long, value_name = "N|P%", value_parser = threshold, help_heading = WAVES,
          visible_alias = "gray-fail-threshold", aliases = ["gray_fail_threshold"])]
    pub(crate) fail_threshold: Option<FailThreshold>,
    /// Wave sizes in order, instead of --canary, each with an optional threshold:
    /// 5:1,10%:2%/50,rest
    #[arg(long, value_name = "SIZE[:N|P%],...", value_delimiter = ',', value_parser = wave, help_heading = WAVES,
          conflicts_with = "canary")]
    pub(crate) waves: Vec<WaveSpec>,
    /// Failures in all waves together that halt the rollout: 20, 2% or 2%/50 [default: no limit]
    #[arg(long, value_name = "N|P%", value_parser = threshold, help_heading = WAVES)]
    pub(crate) total_fail_threshold: Option<FailThreshold>,
}

/// Weights of outcomes and exit codes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct WeightFlags {
    /// Count an outcome as a failure or ignore it: UNDELIVERED=ignore, STOPPED=count [default: all
    /// but SUCCESS, STOPPED and SKIPPED count]
    #[arg(long, value_name = "OUTCOME=EFFECT", value_parser = pair, value_delimiter = ',', help_heading = ROLLOUT)]
    pub(crate) outcome: Vec<(String, String)>,
    /// Treat an exit code as success, reboot, count (a failure), ignore or halt:
    /// 3010=reboot,42=halt [default: all but 0 are failures]
    #[arg(long, value_name = "CODE=EFFECT", value_parser = pair, value_delimiter = ',', help_heading = ROLLOUT)]
    pub(crate) exit_code: Vec<(String, String)>,
}

/// File with a rollout.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RolloutFile {
    /// JSON file with the REST API's `rollout` object (docs/api.md); - reads standard input. Flags
    /// override it
    #[arg(long, value_name = "FILE", help_heading = ROLLOUT)]
    rollout: Option<PathBuf>,
}

impl WaveFlags {
    /// Returns the flags of the wave fields if they differ from `--waves`.
    pub(crate) fn overrides(&self) -> &'static Overrides {
        const FIRST: (&str, &str) = ("rollout.waves[0].fail_threshold", "--fail-threshold");
        match self.canary {
            _ if !self.waves.is_empty() => &[],
            Some(_) => &[("rollout.waves", "--canary"), FIRST],
            None => &[FIRST],
        }
    }

    /// Reports whether the flags change a threshold of the waves that the task had.
    pub(crate) const fn change_recorded_waves(&self, rollout: &Rollout) -> bool {
        self.fail_threshold.is_some()
            && self.canary.is_none()
            && self.waves.is_empty()
            && rollout.waves.is_empty()
    }

    /// Sets waves and thresholds of a replay. `--canary` replaces waves of the rollout.
    pub(crate) fn apply_to_replay(self, rollout: &mut Rollout) {
        rollout.fail_threshold = self.total_fail_threshold.or(rollout.fail_threshold);
        match self.canary {
            Some(first) => rollout.waves = gray_and_rest(first, self.fail_threshold),
            None => {
                if !self.waves.is_empty() {
                    rollout.waves = self.waves;
                }
                if let Some(first) = rollout.waves.first_mut() {
                    first.fail_threshold = self.fail_threshold.or(first.fail_threshold);
                }
            }
        }
    }
}

impl WeightFlags {
    /// Adds the weights to a rollout. They replace weights of the same outcome or exit code. Fails
    /// if two flags name the same one.
    pub(crate) fn apply(&self, rollout: &mut Rollout) -> Result<(), Error> {
        let outcomes = self.outcome.iter().map(|(key, value)| (key.to_uppercase(), value.clone()));
        rollout.outcomes.extend(distinct("--outcome", outcomes)?);
        rollout.exit_codes.extend(distinct("--exit-code", self.exit_code.iter().cloned())?);
        Ok(())
    }
}

impl RolloutFile {
    /// Reports whether `--rollout` is given.
    pub(super) const fn is_given(&self) -> bool {
        self.rollout.is_some()
    }

    /// Reads the rollout file. Without `--rollout`, the rollout is empty.
    pub(crate) fn read(&self) -> Result<Rollout, Error> {
        let Some(path) = &self.rollout else { return Ok(Rollout::default()) };
        let wrong = |error: &dyn std::fmt::Display| {
            Error::misused(format!("invalid rollout in {}: {error}", path.display())).try_next(
                "a JSON object like {\"waves\": [{\"count\": 5}, {\"rest\": true}], \"strict\": true}",
            )
        };
        let text = file_arg::read_unmarked(path, "rollout", MAX_BODY_BYTES)?;
        let json = unique_json::parse(&text).map_err(|error| wrong(&error))?;
        output::parse(json).map_err(|error| wrong(&error))
    }
}

/// Collects the pairs of a flag. Fails if a key occurs twice.
fn distinct(
    flag: &str,
    pairs: impl Iterator<Item = (String, String)>,
) -> Result<HashMap<String, String>, Error> {
    let mut collected = HashMap::new();
    for (key, value) in pairs {
        if collected.contains_key(&key) {
            return Err(Error::misused(format!("{flag}: {key} is given twice")));
        }
        collected.insert(key, value);
    }
    Ok(collected)
}

/// Makes the gray wave, and a wave of the remaining targets. Without a threshold, the first failure
/// halts the gray wave.
pub(super) fn gray_and_rest(gray: WaveSpec, fail_threshold: Option<FailThreshold>) -> Vec<WaveSpec> {
    vec![WaveSpec { fail_threshold: fail_threshold.or(Some(FIRST_FAILURE)), ..gray }, rest()]
}

pub(super) fn rest() -> WaveSpec {
    WaveSpec { rest: Some(true), ..WaveSpec::default() }
}

/// Returns the waves that a task had, for a replay. Fails if a threshold has a form that this
/// version does not know.
pub(crate) fn recorded_waves(waves: &[Wave]) -> Result<Vec<WaveSpec>, Error> {
    let recorded = |wave: &Wave| {
        let fail_threshold = match wave.fail_threshold.as_str() {
            "" => None,
            text => Some(threshold(text).map_err(Error::refused)?),
        };
        Ok(WaveSpec { count: Some(wave.size.into()), fail_threshold, ..WaveSpec::default() })
    };
    waves.iter().map(recorded).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        waves: WaveFlags,
        #[command(flatten)]
        weights: WeightFlags,
    }

    /// Replay of a task that had two waves: 5 desktops, halting at 20% from 3 results on, and 95.
    fn replayed(line: &str) -> Rollout {
        let line = Line::parse_from(std::iter::once("it").chain(line.split_whitespace()));
        let mut rollout = Rollout::default();
        line.weights.apply(&mut rollout).unwrap();
        if line.waves.change_recorded_waves(&rollout) {
            let first = Wave { size: 5, fail_threshold: "20%/3".into(), ..Wave::default() };
            let second = Wave { size: 95, fail_threshold: "2.5%/50".into(), ..Wave::default() };
            rollout.waves = recorded_waves(&[first, second]).unwrap();
        }
        line.waves.apply_to_replay(&mut rollout);
        rollout
    }

    fn count(count: i64) -> Option<FailThreshold> {
        Some(FailThreshold { count: Some(count), ..FailThreshold::default() })
    }

    #[test]
    fn exit_code_given_twice_is_refused() {
        let weights = |flags: [&str; 2]| {
            let line = Line::parse_from(["it", "--exit-code", flags[0], "--exit-code", flags[1]]);
            line.weights.apply(&mut Rollout::default()).map_err(|error| error.to_string())
        };
        assert!(weights(["3010=success", "42=halt"]).is_ok());
        assert!(weights(["3010=success", "3010=halt"]).unwrap_err().contains("3010 is given twice"));
    }

    #[test]
    fn fail_threshold_alone_replaces_that_of_the_first_wave() {
        let waves = replayed("--fail-threshold 2").waves;
        let second = FailThreshold { percent: Some(2.5), min_results: Some(50), count: None };
        let expected = [
            WaveSpec { count: Some(5), fail_threshold: count(2), ..WaveSpec::default() },
            WaveSpec { count: Some(95), fail_threshold: Some(second), ..WaveSpec::default() },
        ];
        assert_eq!(waves, expected);
    }

    #[test]
    fn canary_or_waves_replace_the_recorded_waves() {
        let waves = replayed("--canary 7 --fail-threshold 2").waves;
        let gray = WaveSpec { count: Some(7), fail_threshold: count(2), ..WaveSpec::default() };
        assert_eq!(waves, [gray, rest()]);
        let waves = replayed("--waves 3:1,rest --fail-threshold 2").waves;
        let first = WaveSpec { count: Some(3), fail_threshold: count(2), ..WaveSpec::default() };
        assert_eq!(waves, [first, rest()]);
    }

    #[test]
    fn total_threshold_and_weights_keep_the_recorded_waves() {
        let rollout = replayed("--total-fail-threshold 9 --outcome undelivered=ignore --exit-code 3=halt");
        assert_eq!((rollout.waves, rollout.fail_threshold), (Vec::new(), count(9)));
        assert_eq!(rollout.outcomes["UNDELIVERED"], "ignore");
        assert_eq!(rollout.exit_codes["3"], "halt");
    }
}
