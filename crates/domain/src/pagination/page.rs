//! Pagination by offset and limit, as in the published API.

use crate::Error;

/// One page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Number of rows to skip.
    pub offset: i64,
    /// Maximum number of rows.
    pub limit: i64,
}

/// Range and default of a list's `limit`.
#[derive(Debug, Clone, Copy)]
pub struct PageRule {
    /// Smallest limit.
    pub min: i64,
    /// Largest limit.
    pub max: i64,
    /// Limit if the request has none.
    pub default: i64,
}

/// Lists of the script chapter: 1 to 100, default 10.
pub const SCRIPT_LISTS: PageRule = PageRule { min: 1, max: 100, default: 10 };
/// List of desktops: 0 to 1000, default 1000.
pub const DESKTOP_LIST: PageRule = PageRule { min: 0, max: 1_000, default: 1_000 };
/// Tasks of pools: 0 to 100, default 10.
pub const POOL_TASKS: PageRule = PageRule { min: 0, max: 100, default: 10 };
/// List of desktops in detail: 0 to 500, default 500.
pub const DESKTOP_DETAIL_LIST: PageRule = PageRule { min: 0, max: 500, default: 500 };
const MAX_OFFSET: i64 = 2_147_483_646;

impl Page {
    /// Validates a client's pagination parameters.
    pub fn new(rule: PageRule, offset: Option<i64>, limit: Option<i64>) -> Result<Self, Error> {
        let offset = offset.unwrap_or(0);
        let limit = limit.unwrap_or(rule.default);
        if !(0..=MAX_OFFSET).contains(&offset) {
            return Err(Error::out_of_range(
                "offset",
                format!("{offset} is out of range: 0 to {MAX_OFFSET}"),
            ));
        }
        if !(rule.min..=rule.max).contains(&limit) {
            let message = format!("{limit} is out of range: {} to {}", rule.min, rule.max);
            return Err(Error::out_of_range("limit", message));
        }
        Ok(Self { offset, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_ranges() {
        assert_eq!(Page::new(SCRIPT_LISTS, None, None).unwrap(), Page { offset: 0, limit: 10 });
        assert_eq!(Page::new(DESKTOP_LIST, None, None).unwrap(), Page { offset: 0, limit: 1_000 });
        for (offset, limit) in [(-1, 10), (0, 0), (0, 101), (MAX_OFFSET + 1, 10)] {
            assert!(Page::new(SCRIPT_LISTS, Some(offset), Some(limit)).is_err(), "{offset} {limit}");
        }
        assert!(Page::new(DESKTOP_LIST, None, Some(0)).is_ok());
        assert!(Page::new(SCRIPT_LISTS, Some(MAX_OFFSET), Some(100)).is_ok());
    }
}
