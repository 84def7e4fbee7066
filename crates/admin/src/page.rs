//! Which page of a list.

use std::str::FromStr;

pub(crate) use domain::cursor::{Largest, Name, Place};
use domain::{Error, cursor};

/// Entries at most, and the last entry of the page before.
pub(crate) fn read<T: FromStr>(page_size: i32, page_token: &str) -> Result<(i64, Option<T>), Error> {
    let size = (page_size != 0).then_some(i64::from(page_size));
    Ok((cursor::size(size)?, cursor::token(Some(page_token))?))
}

/// The token of the next page; empty when this one is the last.
pub(crate) fn next<T>(entries: &[T], size: i64, last: impl Fn(&T) -> String) -> String {
    cursor::next(entries, size, last).unwrap_or_default()
}
