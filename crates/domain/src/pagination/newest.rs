//! The projection of the newest record of each script on each desktop.

/// Number of targets whose bits one row has.
pub const TARGETS_PER_PART: i32 = 1_024;
/// Number of targets whose desktops one statement looks up, at most.
pub const TARGETS_PER_LOOKUP: i32 = 4 * TARGETS_PER_PART;
/// Number of targets of other tasks that one statement reads, at most, unless one task has more.
const TARGETS_PER_SLICE: i64 = 1_000_000;
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

/// Splits tasks, each with its number of targets, into slices that one statement reads.
pub fn slices<T>(mut tasks: &[(T, i32)]) -> Vec<&[(T, i32)]> {
    let mut slices = Vec::new();
    while !tasks.is_empty() {
        let mut targets = 0_i64;
        let fitting = tasks.iter().take_while(|(_, own)| {
            targets = targets.saturating_add(i64::from(*own));
            targets <= TARGETS_PER_SLICE
        });
        let (slice, rest) = tasks.split_at(fitting.count().max(1));
        slices.push(slice);
        tasks = rest;
    }
    slices
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

    #[test]
    fn slices_have_all_tasks_and_no_more_targets_than_allowed() {
        let tasks = [("a", 400_000), ("b", 600_000), ("c", 1), ("d", 2_000_000), ("e", 7)];
        let expected: [&[_]; 4] = [&tasks[..2], &tasks[2..3], &tasks[3..4], &tasks[4..]];
        assert_eq!(slices(&tasks), expected);
        assert!(slices::<()>(&[]).is_empty());
    }
}
