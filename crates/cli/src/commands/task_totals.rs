//! Targets of a task by their state. The numbers add up to all of its targets.

use proto::admin::{Task, TaskStatus, Wave};

/// States of a target, in the order in which they are shown.
const STATES: [&str; 12] = [
    "SUCCESS",
    "FAILED",
    "TIMEOUT",
    "UNDELIVERED",
    "REJECTED",
    "UNKNOWN",
    "NOT_RETURNED",
    "STOPPED",
    "SKIPPED",
    "running",
    "offline",
    "pending",
];

/// Reports whether no target of the task starts any more.
const fn is_over(status: TaskStatus) -> bool {
    matches!(
        status,
        TaskStatus::Success
            | TaskStatus::Failed
            | TaskStatus::Halting
            | TaskStatus::Halted
            | TaskStatus::Stopping
            | TaskStatus::Stopped
    )
}

/// Counts the targets of a wave that were never admitted, or were withdrawn.
fn not_admitted(wave: &Wave) -> u32 {
    let it = wave.targets.unwrap_or_default();
    let ended = it.success + it.failed + it.timeout + it.undelivered + it.rejected + it.unknown;
    let ended = ended + it.not_returned + it.stopped;
    wave.size.saturating_sub(ended + wave.in_flight + wave.waiting)
}

/// Counts the targets of a wave that are skipped: those that were not admitted, once no target of
/// the task starts any more.
pub(super) fn skipped(wave: &Wave, status: TaskStatus) -> u32 {
    if is_over(status) { not_admitted(wave) } else { wave.targets.unwrap_or_default().skipped }
}

/// Returns the states that targets of the task have, with their numbers.
pub(super) fn totals(task: &Task) -> Vec<(&'static str, u32)> {
    let mut numbers = [0; STATES.len()];
    for wave in &task.waves {
        let it = wave.targets.unwrap_or_default();
        let skipped = skipped(wave, task.status());
        let pending = not_admitted(wave).saturating_sub(skipped);
        let of_wave = [
            it.success,
            it.failed,
            it.timeout,
            it.undelivered,
            it.rejected,
            it.unknown,
            it.not_returned,
            it.stopped,
            skipped,
            wave.in_flight,
            wave.waiting,
            pending,
        ];
        numbers.iter_mut().zip(of_wave).for_each(|(number, more)| *number += more);
    }
    STATES.into_iter().zip(numbers).filter(|(_, number)| *number > 0).collect()
}

/// Formats the states of a task: `2 SUCCESS, 3 FAILED, 35 SKIPPED`.
pub(super) fn text(task: &Task) -> String {
    let shown = totals(task).into_iter().map(|(state, number)| format!("{number} {state}"));
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::admin::Outcomes;

    use super::*;

    fn task(status: TaskStatus, waves: Vec<Wave>) -> Task {
        Task { status: status.into(), waves, ..Task::default() }
    }

    #[test]
    fn halted_task_counts_targets_of_later_waves_as_skipped() {
        let targets = Some(Outcomes { success: 2, failed: 2, rejected: 1, ..Outcomes::default() });
        let waves =
            || vec![Wave { size: 5, targets, ..Wave::default() }, Wave { size: 35, ..Wave::default() }];
        let halted = task(TaskStatus::Halted, waves());
        assert_eq!(text(&halted), "2 SUCCESS, 2 FAILED, 1 REJECTED, 35 SKIPPED");
        let running = task(TaskStatus::Running, waves());
        assert_eq!(text(&running), "2 SUCCESS, 2 FAILED, 1 REJECTED, 35 pending");
    }

    #[test]
    fn halting_task_still_runs_what_it_started() {
        let targets = Some(Outcomes { failed: 2, ..Outcomes::default() });
        let wave = Wave { size: 10, targets, in_flight: 3, waiting: 1, ..Wave::default() };
        let halting = task(TaskStatus::Halting, vec![wave]);
        assert_eq!(text(&halting), "2 FAILED, 4 SKIPPED, 3 running, 1 offline");
    }

    proptest! {
        #[test]
        fn numbers_add_up_to_the_targets(
            parts in proptest::collection::vec((0_u32..50, 0_u32..50, 0_u32..50, 0_u32..50), 1..4),
            status in 0..=8_i32,
        ) {
            let waves = parts.iter().map(|&(success, stopped, in_flight, rest)| Wave {
                size: success + stopped + in_flight + rest,
                targets: Some(Outcomes { success, stopped, skipped: rest / 2, ..Outcomes::default() }),
                in_flight,
                ..Wave::default()
            });
            let task = Task { status, waves: waves.collect(), ..Task::default() };
            let size: u32 = task.waves.iter().map(|wave| wave.size).sum();
            prop_assert_eq!(totals(&task).iter().map(|(_, number)| number).sum::<u32>(), size);
        }
    }
}
