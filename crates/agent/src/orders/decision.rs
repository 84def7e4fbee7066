//! Decisions on an order's scripts: the pure part.

use proto::{ScriptOutcome, agent::Order};

use crate::{
    execution::StopCause,
    journal::{Record, Span},
};

pub(super) const LATE: &str = "the delivery deadline passed before it could start";
pub(super) const GOES_DOWN: &str = "the desktop is about to go down";
pub(super) const NEVER_STARTED: &str = "the agent stopped before the script started";

/// Range of an order's scripts to run. The error is the reason for the rejection, with the range
/// that its results cover.
pub(super) fn span_of(order: &Order) -> Result<Span, (Span, &'static str)> {
    let count = u32::try_from(order.scripts.len()).unwrap_or(u32::MAX);
    if order.first_script > 0 && order.first_script >= count {
        // The order's claim about earlier scripts cannot be trusted either.
        let span = Span { first: 0, count: count.max(1) };
        return Err((span, "the order is malformed: first_script leaves no script to run"));
    }
    let span = Span { first: order.first_script, count: count.max(1) };
    if count == 0 && !order.query_only { Err((span, "the order has no scripts")) } else { Ok(span) }
}

/// Decision on the next script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Run,
    /// Ends with this record, without a start.
    Ends(Record),
}

/// Decides on a script from the previous result and the stop position.
pub(super) fn turn(
    script: u32,
    span: Span,
    last: Option<&Record>,
    stop: Option<(u32, StopCause)>,
    now: i64,
) -> Turn {
    if script < span.first {
        Turn::Ends(Record::carried(script, now))
    } else if last.is_some_and(|last| !last.succeeded()) {
        Turn::Ends(Record::skipped(script, now))
    } else if let Some((_, cause)) = stop.filter(|(from, _)| *from <= script) {
        Turn::Ends(Record::bare(script, ScriptOutcome::Stopped, cause.before_start(), now))
    } else {
        Turn::Run
    }
}

/// Results of an order that runs no script: its first script gets the outcome, the remaining ones
/// are skipped.
pub(super) fn nothing_runs(span: Span, outcome: ScriptOutcome, reason: &str, now: i64) -> Vec<Record> {
    ended(span, now, |script| {
        if script == span.first {
            Record::bare(script, outcome, reason, now)
        } else {
            Record::skipped(script, now)
        }
    })
}

/// Results of an order that must not start, because its task was halted.
pub(super) fn halted(span: Span, now: i64) -> Vec<Record> {
    let reason = "the task was halted before it started";
    ended(span, now, |script| Record::bare(script, ScriptOutcome::Skipped, reason, now))
}

/// Results of the scripts that no agent can start, because their order is lost: an agent stopped
/// before their turn, and its data was damaged.
pub(super) fn abandoned(span: Span, known: &[Record], now: i64) -> Vec<Record> {
    let mut results = known.to_vec();
    for script in u32::try_from(known.len()).unwrap_or(span.count)..span.count {
        let next = match turn(script, span, results.last(), None, now) {
            Turn::Ends(record) => record,
            Turn::Run => {
                Record::bare(script, ScriptOutcome::Rejected, "the agent stopped before it started", now)
            }
        };
        results.push(next);
    }
    results.split_off(known.len())
}

/// Results of the scripts that waited for a reboot and never start.
pub(super) fn not_continued(span: Span, known: &[Record], now: i64) -> Vec<Record> {
    let reason = "never started: the task did not continue it after the reboot";
    let remaining = u32::try_from(known.len()).unwrap_or(span.count)..span.count;
    remaining.map(|script| Record::bare(script, ScriptOutcome::Skipped, reason, now)).collect()
}

fn ended(span: Span, now: i64, wanted: impl Fn(u32) -> Record) -> Vec<Record> {
    let record = |script| if script < span.first { Record::carried(script, now) } else { wanted(script) };
    (0..span.count).map(record).collect()
}
