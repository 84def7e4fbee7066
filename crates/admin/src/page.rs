//! Pagination: page size, page token, and the limit in bytes.

use std::str::FromStr;

pub(crate) use domain::cursor::{Largest, Name, RecordCursor};
use domain::{Error, cursor};
use prost::Message;

/// Maximum encoded bytes of a page. Most gRPC clients reject messages above 4 MiB by default, so a
/// page may have fewer entries than its page size.
const MAX_PAGE_BYTES: usize = 3 << 20;

/// Reads the page size and the last entry of the previous page. 0 means the default size; a size
/// above the maximum is lowered to the maximum, as usual in gRPC APIs.
///
/// The entry is `None` for an empty token. Negative sizes and invalid tokens are errors.
pub(crate) fn read<T: FromStr>(page_size: i32, page_token: &str) -> Result<(i64, Option<T>), Error> {
    let size = (page_size != 0).then(|| i64::from(page_size).min(cursor::MAX_PAGE_SIZE));
    Ok((cursor::size(size)?, cursor::token(Some(page_token))?))
}

/// Builds a page from `found` and returns the token of the next page. The token is empty on the
/// last page.
///
/// `last` returns the position of an entry; the next page starts after it.
pub(crate) fn of<T: Message>(
    found: impl IntoIterator<Item = T>,
    size: i64,
    last: impl Fn(&T) -> String,
) -> (Vec<T>, String) {
    let mut bytes = 0;
    let mut entries: Vec<T> = Vec::new();
    for entry in found {
        bytes += entry.encoded_len();
        if bytes > MAX_PAGE_BYTES
            && let Some(last_entry) = entries.last()
        {
            let token = cursor::after(last(last_entry));
            return (entries, token);
        }
        entries.push(entry);
    }
    let token = cursor::next(&entries, size, last).unwrap_or_default();
    (entries, token)
}

#[cfg(test)]
mod tests {
    use proto::admin::Policy;

    use super::*;

    fn policies(number: usize, bytes: usize) -> Vec<Policy> {
        let policy = |n: usize| Policy { name: n.to_string(), document: "x".repeat(bytes), ready: false };
        (0..number).map(policy).collect()
    }

    fn page(number: usize, bytes: usize, size: i64) -> (usize, Option<String>) {
        let (entries, token) = of(policies(number, bytes), size, |policy| policy.name.clone());
        (entries.len(), cursor::token::<Name>(Some(&token)).unwrap().map(|name| name.0))
    }

    #[test]
    fn a_page_ends_where_it_is_full_by_number_or_by_bytes() {
        assert_eq!(page(3, 10, 5), (3, None));
        assert_eq!(page(5, 10, 5), (5, Some("4".into())));
        assert_eq!(page(5, 1 << 20, 100), (2, Some("1".into())));
        assert_eq!(page(2, 4 << 20, 100), (1, Some("0".into())), "a page has at least one entry");
    }

    #[test]
    fn who_asks_for_too_many_gets_as_many_as_there_may_be() {
        let size = |given| read::<Name>(given, "").map(|(size, _)| size).ok();
        assert_eq!([0, 1, 1_000, 1_001, i32::MAX].map(size), [100, 1, 1_000, 1_000, 1_000].map(Some));
        assert_eq!(size(-1), None);
    }
}
