//! Conversions between Rust and Postgres: tallies as arrays, unsigned numbers, words of closed
//! sets.

use std::str::FromStr;

use domain::{
    BasisPoints, Timestamp, batching::StartedScript, merkle::Hash, outcome::Outcome, period::Period,
    tally::Tally,
};
use sqlx::{Postgres, QueryBuilder};

use crate::Error;

/// Converts a count for an int4 column. All counts are bounded far below its maximum.
pub(crate) fn int4(count: impl TryInto<i32>) -> i32 {
    count.try_into().unwrap_or(i32::MAX)
}

/// Converts a count for an int2 column.
pub(crate) fn int2(count: impl TryInto<i16>) -> i16 {
    count.try_into().unwrap_or(i16::MAX)
}

/// Converts a count from a column that a CHECK keeps non-negative.
pub(crate) fn count<T: TryFrom<i64>>(table: &'static str, value: impl Into<i64>) -> Result<T, Error> {
    let value = value.into();
    T::try_from(value).map_err(|_| Error::corrupt(table, format!("count {value}")))
}

/// Converts a SHA-256 from a column.
pub(crate) fn hash(table: &'static str, bytes: &[u8]) -> Result<Hash, Error> {
    bytes.try_into().map_err(|_| Error::corrupt(table, format!("a hash of {} bytes", bytes.len())))
}

/// Converts a percentage from a column in basis points.
pub(crate) fn basis_points(table: &'static str, value: i32) -> Result<BasisPoints, Error> {
    let corrupt = || Error::corrupt(table, format!("basis points {value}"));
    u32::try_from(value).ok().and_then(BasisPoints::new).ok_or_else(corrupt)
}

/// Converts the columns of a started script.
pub(crate) fn started(
    table: &'static str,
    columns: Option<(i16, Timestamp)>,
) -> Result<Option<StartedScript>, Error> {
    columns.map(|(script, at)| Ok(StartedScript { script: count(table, script)?, at })).transpose()
}

/// Appends the condition that the preceding expression is within a period.
pub(crate) fn push_period(query: &mut QueryBuilder<Postgres>, period: &Period) {
    query.push(" BETWEEN coalesce(").push_bind(period.from).push(", '-infinity') AND coalesce(");
    query.push_bind(period.until).push(", 'infinity')");
}

/// Parses one word of a closed set.
pub(crate) fn word<T: FromStr<Err = domain::Error>>(table: &'static str, text: &str) -> Result<T, Error> {
    text.parse().map_err(|error: domain::Error| Error::corrupt(table, error))
}

/// Parses an id or name that was validated when it was written.
pub(crate) fn text_id<T: TryFrom<String, Error = domain::Error>>(
    table: &'static str,
    text: String,
) -> Result<T, Error> {
    T::try_from(text).map_err(|error| Error::corrupt(table, error))
}

/// Converts a tally to the array in a wave's row.
pub(crate) fn tally_to_array(tally: &Tally) -> Vec<i32> {
    Outcome::ALL.into_iter().map(|outcome| int4(tally.get(outcome))).collect()
}

/// Converts the array in a wave's row to a tally.
pub(crate) fn tally_from_array(counts: &[i32]) -> Result<Tally, Error> {
    if counts.len() != Outcome::ALL.len() {
        return Err(Error::corrupt("wave", format!("the tally has {} counts", counts.len())));
    }
    let mut tally = Tally::default();
    for (outcome, &value) in Outcome::ALL.into_iter().zip(counts) {
        tally.add_many(outcome, count("wave", value)?);
    }
    Ok(tally)
}
