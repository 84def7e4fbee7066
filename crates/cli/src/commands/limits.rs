//! `graywave limits`: limits over all tasks of the project, and its guardrails.

use clap::Args;
use domain::limits::{MAX_PROJECT_IN_FLIGHT, MAX_RUNNING_PER_DESKTOP, MAX_TARGETS_PER_TASK};
use prost_types::FieldMask;
use proto::admin::{Limits, UpdateLimitsRequest};

use super::{CommonArgs, project_status};
use crate::{
    Error,
    client::repeated,
    number::{Guardrail, Limit, guardrail, limit, percent_or_off},
};

const GUARDRAILS: &str = "Guardrails of new tasks";
#[expect(clippy::cast_possible_wrap, reason = "a million")]
const MOST: i64 = MAX_TARGETS_PER_TASK as i64;

/// Arguments of `graywave limits`; without flags, the limits are shown.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  graywave limits
  graywave limits --max-in-flight 500 --max-running-per-desktop unlimited
  graywave limits --require-canary-above 20 --require-threshold true
  graywave limits --max-wave-percent off")]
pub struct LimitsArgs {
    /// Maximum number of desktops running at the same time, over all tasks: 1 to 100000000, or
    /// `unlimited`
    #[arg(long, value_name = "N", value_parser = limit(MAX_PROJECT_IN_FLIGHT, 500))]
    max_in_flight: Option<Limit>,
    /// Maximum number of scripts running on a desktop at the same time: 1 to 100, or `unlimited`
    #[arg(long, value_name = "N", value_parser = limit(MAX_RUNNING_PER_DESKTOP, 2))]
    max_running_per_desktop: Option<Limit>,
    /// Audit calls that read the content of scripts or the output of records: true or false
    #[arg(long, value_name = "BOOL")]
    audit_reads: Option<bool>,
    /// Maximum number of desktops in the first wave, so that larger tasks need a canary: 1 to
    /// 1000000, or `off`
    #[arg(long, value_name = "N", value_parser = guardrail(1, MOST, 20), help_heading = GUARDRAILS)]
    require_canary_above: Option<Guardrail<i64>>,
    /// Require a failure threshold for every wave: true or false
    #[arg(long, value_name = "BOOL", help_heading = GUARDRAILS)]
    require_threshold: Option<bool>,
    /// Maximum share of a task's desktops in one wave: 0.01 to 100, or `off`
    #[arg(long, value_name = "PERCENT", value_parser = percent_or_off, help_heading = GUARDRAILS)]
    max_wave_percent: Option<Guardrail<f64>>,
    /// Require a reason for every run and retry: true or false
    #[arg(long, value_name = "BOOL", help_heading = GUARDRAILS)]
    require_reason: Option<bool>,
    /// Maximum number of desktops that start before the first wave with an approval: 0 to 1000000,
    /// or `off`
    #[arg(long, value_name = "N", value_parser = guardrail(0, MOST, 100), help_heading = GUARDRAILS)]
    require_approval_above: Option<Guardrail<i64>>,
    #[command(flatten)]
    common: CommonArgs,
}

impl LimitsArgs {
    /// Returns the names of the limits that the flags change, and their new values.
    fn change(&self) -> (Vec<String>, Limits) {
        let given = [
            ("max_in_flight", self.max_in_flight.is_some()),
            ("max_running_per_desktop", self.max_running_per_desktop.is_some()),
            ("audit_reads", self.audit_reads.is_some()),
            ("require_canary_above", self.require_canary_above.is_some()),
            ("require_threshold", self.require_threshold.is_some()),
            ("max_wave_percent", self.max_wave_percent.is_some()),
            ("require_reason", self.require_reason.is_some()),
            ("require_approval_above", self.require_approval_above.is_some()),
        ];
        let paths = given.iter().filter(|(_, is_given)| *is_given).map(|(path, _)| (*path).to_owned());
        let limits = Limits {
            max_in_flight: self.max_in_flight.and_then(|it| it.0),
            max_running_per_desktop: self.max_running_per_desktop.and_then(|it| it.0),
            audit_reads: self.audit_reads,
            require_canary_above: self.require_canary_above.and_then(|it| it.0),
            require_threshold: self.require_threshold,
            max_wave_percent: self.max_wave_percent.and_then(|it| it.0),
            require_reason: self.require_reason,
            require_approval_above: self.require_approval_above.and_then(|it| it.0),
        };
        (paths.collect(), limits)
    }
}

pub(super) async fn limits(arguments: LimitsArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let (paths, limits) = arguments.change();
    if !paths.is_empty() {
        let request = UpdateLimitsRequest { limits: Some(limits), update_mask: Some(FieldMask { paths }) };
        // The update is idempotent, so a retry is safe.
        let updated = repeated(async || session.projects().update_limits(request.clone()).await).await;
        updated.map_err(|status| Error::of("cannot change the limits", &status))?;
    }
    project_status::print(&session, &mut console).await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{project_status::guardrails, *};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        limits: LimitsArgs,
    }

    fn change(line: &str) -> Result<(Vec<String>, Limits), String> {
        let line = Line::try_parse_from(std::iter::once("it").chain(line.split_whitespace()));
        line.map(|line| line.limits.change()).map_err(|error| error.to_string())
    }

    #[test]
    fn given_guardrails_are_set_or_removed() {
        let (paths, limits) = change("--require-canary-above 20 --max-wave-percent off").unwrap();
        assert_eq!(paths, ["require_canary_above", "max_wave_percent"]);
        assert_eq!((limits.require_canary_above, limits.max_wave_percent), (Some(20), None));
        let (_, limits) = change("--max-wave-percent 12.5% --require-approval-above 0").unwrap();
        let shown = guardrails(&limits);
        assert_eq!(shown, ["max_wave_percent 12.5", "require_approval_above 0"]);
        assert!(guardrails(&Limits::default()).is_empty() && change("").unwrap().0.is_empty());
    }

    #[test]
    fn guardrail_out_of_range_is_refused() {
        for line in
            ["--require-canary-above 0", "--max-wave-percent ten", "--require-approval-above unlimited"]
        {
            assert!(change(line).is_err(), "{line}");
        }
    }
}
