//! Poisoned results: values that no honest agent sends. They pass the rules of the real processes:
//! the checks of each edge (`proto`), and the parts of a refused report (`engine`).

use domain::{limits, outcome::Outcome, process::ProcessReport};
use engine::{Changes, ScriptResult};
use proto::{types::ScriptResult as SentResult, unix_ms_in_range};

use super::{
    event::{ScriptOutcome, Target, TargetResult},
    rng::Rng,
};

/// Output that every edge accepts and that the simulated database refuses.
const REFUSED_OUTPUT: &str = "refused by the database";
/// A time that Postgres refuses, in Unix milliseconds.
const BEFORE_POSTGRES_MS: i64 = -300_000_000_000_000;

/// Kind of a poisoned result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Poison {
    /// A script started before the first time that Postgres can store.
    ImpossibleTime,
    /// An outcome that does not exist.
    UnknownOutcome,
    /// Output beyond its limit. It is cut, and the result counts.
    LongOutput,
    /// Output that the database refuses.
    RefusedOutput,
    /// The result of the last script is missing.
    MissingScript,
    /// The result names an ordinal that the task does not have.
    UnknownOrdinal,
    /// The result names the target of another desktop.
    OtherTarget,
}

impl Poison {
    const ALL: [Self; 7] = [
        Self::ImpossibleTime,
        Self::UnknownOutcome,
        Self::LongOutput,
        Self::RefusedOutput,
        Self::MissingScript,
        Self::UnknownOrdinal,
        Self::OtherTarget,
    ];

    /// Draws the poison of a result, with a probability of `share` in a thousand. A worker keeps
    /// the place of a target whose agent answers under another name, until the connection ends. So
    /// results name their own target where places are scarce or workers wait for their last one.
    pub(super) fn drawn(rng: &mut Rng, share: u32, is_roomy: bool) -> Option<Self> {
        let poison = rng.per_mille(share).then(|| rng.pick(&Self::ALL)).flatten();
        poison.filter(|poison| is_roomy || poison.names_its_target())
    }

    const fn names_its_target(self) -> bool {
        !matches!(self, Self::UnknownOrdinal | Self::OtherTarget)
    }

    /// Whether the target cannot end with the outcome of its result.
    pub(super) const fn spoils_outcome(self) -> bool {
        !matches!(self, Self::LongOutput)
    }

    /// The target that the result names, of a task with this number of targets.
    pub(super) fn named(self, target: Target, targets: usize) -> Target {
        let targets = u32::try_from(targets).unwrap_or(u32::MAX);
        let ordinal = match self {
            Self::OtherTarget if targets > 1 => (target.ordinal + 1) % targets,
            Self::UnknownOrdinal | Self::OtherTarget => targets,
            _ => target.ordinal,
        };
        Target { ordinal, ..target }
    }

    fn change(self, scripts: &mut Vec<SentResult>) {
        let Some(script) = scripts.last_mut() else { return };
        match self {
            Self::ImpossibleTime => script.started_at_unix_ms = BEFORE_POSTGRES_MS,
            Self::UnknownOutcome => script.outcome = "WON".to_owned(),
            Self::LongOutput => script.output = "x".repeat(limits::MAX_OUTPUT_BYTES + 1),
            Self::RefusedOutput => script.output = REFUSED_OUTPUT.to_owned(),
            Self::MissingScript => drop(scripts.pop()),
            Self::UnknownOrdinal | Self::OtherTarget => {}
        }
    }
}

/// The results of a target's scripts, as the engine gets them: checked by the worker and by the
/// scheduler. With `keeps_outcomes`, the worker breaks its rule.
///
/// # Errors
///
/// When the scheduler refuses them.
pub(super) fn checked(
    result: &TargetResult,
    keeps_outcomes: bool,
) -> Result<Vec<ScriptResult>, domain::Error> {
    let mut scripts = sent(result);
    if let Some(poison) = result.poison {
        poison.change(&mut scripts);
    }
    if let Err(error) = proto::check_results(&mut scripts) {
        if keeps_outcomes {
            scripts = sent(result);
        } else {
            proto::make_unknown(&mut scripts, &error.to_string());
        }
    }
    proto::check_results(&mut scripts)?;
    scripts.into_iter().map(taken).collect()
}

/// The results as an honest agent sends them.
fn sent(result: &TargetResult) -> Vec<SentResult> {
    let ended_at = result.ended_at.map_or(0, |at| at.timestamp_millis());
    let of_script = |(place, (outcome, exit_code)): (u32, &ScriptOutcome)| SentResult {
        script: place,
        outcome: outcome.as_str().to_owned(),
        exit_code: *exit_code,
        started_at_unix_ms: ended_at,
        ended_at_unix_ms: ended_at,
        reason: if *outcome == Outcome::Success { "" } else { outcome.as_str() }.to_owned(),
        ..SentResult::default()
    };
    (0..).zip(&result.scripts).map(of_script).collect()
}

fn taken(script: SentResult) -> Result<ScriptResult, domain::Error> {
    Ok(ScriptResult {
        outcome: script.outcome.parse()?,
        exit_code: script.exit_code,
        started_at: unix_ms_in_range("started_at_unix_ms", script.started_at_unix_ms)?,
        ended_at: unix_ms_in_range("ended_at_unix_ms", script.ended_at_unix_ms)?,
        output: script.output,
        reason: script.reason,
        process: ProcessReport::default(),
    })
}

/// Whether the simulated database refuses the values of a transaction.
pub(super) fn is_refused(changes: &Changes) -> bool {
    let mut records = changes.records.iter().chain(&changes.late_results);
    records.any(|record| record.output == REFUSED_OUTPUT)
}
