//! What becomes of an order's scripts: the pure part.

use proto::{ScriptOutcome, agent::Order};

use crate::journal::{Record, Span};

pub(super) const STOPPED_BEFORE: &str = "stopped by request before it started";

/// Which of its scripts an order wants run; the error is the reason for its rejection, with the span that the answer
/// is to cover.
pub(super) fn span_of(order: &Order) -> Result<Span, (Span, &'static str)> {
    let count = u32::try_from(order.scripts.len()).unwrap_or(u32::MAX);
    if order.first_script > 0 && order.first_script >= count {
        // What it says of earlier scripts cannot be believed either.
        let span = Span { first: 0, count: count.max(1) };
        return Err((span, "the order is malformed: it says that all its scripts are done already"));
    }
    let span = Span { first: order.first_script, count: count.max(1) };
    if count == 0 && !order.query_only { Err((span, "the order has no scripts")) } else { Ok(span) }
}

/// What becomes of a script whose turn has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Run,
    /// It ends as this without having started.
    Ends(Record),
}

/// Decides on the script at this place by what came before it and by where the order is to stop.
pub(super) fn turn(script: u32, span: Span, last: Option<&Record>, stop_from: Option<u32>, now: i64) -> Turn {
    if script < span.first {
        Turn::Ends(Record::carried(script, now))
    } else if last.is_some_and(|last| !last.succeeded()) {
        Turn::Ends(Record::skipped(script, now))
    } else if stop_from.is_some_and(|from| from <= script) {
        Turn::Ends(Record::bare(script, ScriptOutcome::Stopped, STOPPED_BEFORE, now))
    } else {
        Turn::Run
    }
}

/// The results of an order of which nothing runs: its first script ends so, and the rest is skipped for it.
pub(super) fn nothing_runs(span: Span, outcome: ScriptOutcome, reason: &str, now: i64) -> Vec<Record> {
    ended(span, now, |script| {
        if script == span.first {
            Record::bare(script, outcome, reason, now)
        } else {
            Record::skipped(script, now)
        }
    })
}

/// The results of an order of which nothing may start any more.
pub(super) fn halted(span: Span, now: i64) -> Vec<Record> {
    let reason = "the task was halted before it started";
    ended(span, now, |script| Record::bare(script, ScriptOutcome::Skipped, reason, now))
}

fn ended(span: Span, now: i64, wanted: impl Fn(u32) -> Record) -> Vec<Record> {
    let record = |script| if script < span.first { Record::carried(script, now) } else { wanted(script) };
    (0..span.count).map(record).collect()
}
