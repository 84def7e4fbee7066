//! The projection of the newest record of each script on each desktop.

/// Number of targets whose bits one row has.
pub const TARGETS_PER_PART: i32 = 1_024;
/// Cost of finding the tasks of one desktop by index, in reads of a target in order.
const LOOKUP_COST: i64 = 8;

/// Way to find the desktops that a task shares with other tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Look up the other targets of each desktop of the task.
    ByDesktop,
    /// Read all targets of the other tasks.
    ByTask,
}

/// Number of targets up to which a task looks up its desktops without a look at
/// the other tasks.
const SMALL_TASK: i64 = 1_000;

/// Chooses the cheaper search for a task with `own` targets and others with `others` targets in
/// all. `None` if the choice depends on the others, and they are not known.
pub const fn search(own: i64, others: Option<i64>) -> Option<Search> {
    match others {
        _ if own <= SMALL_TASK => Some(Search::ByDesktop),
        Some(others) if own.saturating_mul(LOOKUP_COST) < others => Some(Search::ByDesktop),
        Some(_) => Some(Search::ByTask),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_task_looks_up_and_large_task_reads() {
        assert_eq!(search(1_000, None), Some(Search::ByDesktop));
        assert_eq!(search(1_000, Some(0)), Some(Search::ByDesktop));
        assert_eq!(search(1_001, None), None);
        assert_eq!(search(1_001, Some(1_000_000)), Some(Search::ByDesktop));
        assert_eq!(search(1_000_000, Some(1_000_000)), Some(Search::ByTask));
        assert_eq!(search(i64::MAX, Some(i64::MAX)), Some(Search::ByTask));
    }
}
