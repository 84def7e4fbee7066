//! Poisoned results: values that no honest agent sends.

use domain::limits;
use engine::Changes;
use proto::types::ScriptResult as SentResult;

use super::rng::Rng;

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

    /// The ordinal that the result names, for a target of a task with this number of targets.
    pub(super) fn named(self, ordinal: u32, targets: usize) -> u32 {
        let targets = u32::try_from(targets).unwrap_or(u32::MAX);
        match self {
            Self::OtherTarget if targets > 1 => (ordinal + 1) % targets,
            Self::UnknownOrdinal | Self::OtherTarget => targets,
            _ => ordinal,
        }
    }

    /// Changes the results of a target, of which there is one for each script.
    pub(super) fn change(self, scripts: &mut Vec<SentResult>) {
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

/// Whether the simulated database refuses the values of a transaction.
pub(super) fn is_refused(changes: &Changes) -> bool {
    let mut records = changes.records.iter().chain(&changes.late_results);
    records.any(|record| record.output == REFUSED_OUTPUT)
}
