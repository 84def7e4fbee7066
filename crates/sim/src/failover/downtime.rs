//! Downtime around a failover: how long calls were refused, and how long no script started.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection};

use super::probe::Call;

/// A span of time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
}

/// Time from the first refused call to the answer of the next accepted call after the last refusal;
/// zero without a refusal.
pub(crate) fn refusal_time(calls: &[Call], within: Span) -> TimeDelta {
    let mut calls = calls.iter().filter(|call| call.answered_at >= within.from && call.sent_at <= within.to);
    let Some(first) = calls.find(|call| !call.is_accepted()) else { return TimeDelta::zero() };
    let last = calls.clone().rfind(|call| !call.is_accepted()).unwrap_or(first);
    let again = calls.find(|call| call.sent_at >= last.sent_at && call.is_accepted());
    again.map_or(within.to, |call| call.answered_at) - first.sent_at
}

/// The longest time between two successive moments that overlaps the span.
pub(crate) fn longest_gap(moments: &[DateTime<Utc>], within: Span) -> TimeDelta {
    let pairs = moments.windows(2).filter(|pair| pair[1] >= within.from && pair[0] <= within.to);
    pairs.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Start times of scripts, by their agents' clocks, in order.
pub(crate) async fn starts(database_url: &str) -> anyhow::Result<Vec<DateTime<Utc>>> {
    let mut connection = PgConnection::connect(database_url).await?;
    let statement = "SELECT started_at FROM record WHERE started_at IS NOT NULL ORDER BY started_at";
    Ok(sqlx::query_scalar(statement).fetch_all(&mut connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn call(sent_at: i64, status: u16) -> Call {
        Call { sent_at: at(sent_at), answered_at: at(sent_at), status: Some(status) }
    }

    #[test]
    fn downtime_spans_first_refusal_to_answer_after_the_last() {
        let calls = [call(1, 503), call(5, 200), call(6, 503), call(7, 200), call(8, 503), call(9, 200)];
        assert_eq!(refusal_time(&calls, Span { from: at(4), to: at(20) }), TimeDelta::seconds(3));
        assert_eq!(refusal_time(&calls, Span { from: at(9), to: at(20) }), TimeDelta::zero());
    }

    #[test]
    fn a_gap_counts_where_it_reaches_into_the_span() {
        let moments = [at(0), at(9), at(10), at(14), at(30)];
        assert_eq!(longest_gap(&moments, Span { from: at(10), to: at(12) }), TimeDelta::seconds(4));
        assert_eq!(longest_gap(&moments, Span { from: at(40), to: at(42) }), TimeDelta::zero());
    }
}
