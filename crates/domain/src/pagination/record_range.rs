//! Place of an offset in the records of a task: every target has one record for each script, so an
//! offset is an ordinal and a script.

use std::ops::Range;

/// Records of a task that a filter by wave and script selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRange {
    /// Ordinals of the targets.
    pub ordinals: Range<u32>,
    /// Number of scripts on each target.
    pub scripts: u32,
}

/// The targets that contain a page, and the number of records to skip within them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRange {
    /// Ordinals of the targets.
    pub ordinals: Range<u32>,
    /// Number of records before the page, fewer than the scripts of a target.
    pub skip: i64,
}

/// Selects targets of a task: those of a wave, and those of the gray wave or outside of it.
///
/// `gray` is the number of targets in the gray wave; 0 without one.
pub fn selected_ordinals(
    targets: u32,
    wave: Option<Range<u32>>,
    gray: u32,
    is_first_order: Option<bool>,
) -> Range<u32> {
    let wave = wave.unwrap_or(0..targets);
    let order = match is_first_order {
        None => 0..targets,
        Some(true) => 0..gray,
        Some(false) => gray..targets,
    };
    let start = wave.start.max(order.start);
    start..wave.end.min(order.end).max(start)
}

impl RecordRange {
    /// Returns the number of records.
    pub fn records(&self) -> i64 {
        i64::from(self.ordinals.end.saturating_sub(self.ordinals.start)) * i64::from(self.scripts)
    }

    /// Finds the targets of a page; `None` if the page is empty.
    pub fn page(&self, offset: i64, limit: i64) -> Option<PageRange> {
        let end = offset.saturating_add(limit).min(self.records());
        if self.scripts == 0 || offset >= end {
            return None;
        }
        let scripts = i64::from(self.scripts);
        let ordinal =
            |records: i64| u32::try_from(records).unwrap_or(u32::MAX).saturating_add(self.ordinals.start);
        let ordinals = ordinal(offset / scripts)..ordinal((end - 1) / scripts + 1);
        Some(PageRange { ordinals, skip: offset % scripts })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wave_and_order_narrow_the_targets() {
        assert_eq!(selected_ordinals(100, None, 10, None), 0..100);
        assert_eq!(selected_ordinals(100, None, 10, Some(true)), 0..10);
        assert_eq!(selected_ordinals(100, Some(10..40), 10, Some(false)), 10..40);
        assert!(selected_ordinals(100, Some(10..40), 10, Some(true)).is_empty());
        assert!(selected_ordinals(100, None, 0, Some(true)).is_empty());
    }

    proptest! {
        #[test]
        fn page_is_the_same_as_a_walk_over_all_records(
            first in 0_u32..50, targets in 0_u32..50, scripts in 0_u32..4, offset in 0_i64..250, limit in 0_i64..50,
        ) {
            let range = RecordRange { ordinals: first..first + targets, scripts };
            let all: Vec<(u32, u32)> =
                range.ordinals.clone().flat_map(|ordinal| (0..scripts).map(move |script| (ordinal, script))).collect();
            prop_assert_eq!(range.records(), i64::try_from(all.len()).unwrap());
            let (skip, take) = (usize::try_from(offset).unwrap(), usize::try_from(limit).unwrap());
            let expected: Vec<_> = all.into_iter().skip(skip).take(take).collect();
            let found: Vec<(u32, u32)> = range.page(offset, limit).map_or_else(Vec::new, |page| {
                let skip = usize::try_from(page.skip).unwrap();
                page.ordinals
                    .flat_map(|ordinal| (0..scripts).map(move |script| (ordinal, script)))
                    .skip(skip).take(take).collect()
            });
            prop_assert_eq!(found, expected);
        }
    }
}
