//! Summary of the failures of an ended rollout: each class with its most common reason.

use proto::{
    admin::{FailureGroup, GetRecordRequest, ListFailuresRequest, Outcome, Outcomes, Task},
    word,
};

use crate::{client::Session, format::cause, output::Console, sanitize::sanitize_line};

/// Number of largest groups that are read, in which each class is looked for.
const GROUPS: i32 = 100;

/// Prints each class of failures with its most common reason, and the commands that show more.
/// Errors are ignored, because the result is already printed.
pub(super) async fn print(session: &Session, console: &Console, task: &Task) {
    let task_id = task.task_id.clone();
    let request =
        ListFailuresRequest { task_id: task_id.clone(), page_size: GROUPS, ..ListFailuresRequest::default() };
    let Ok(answer) = session.insight().list_failures(request).await else { return };
    for group in largest(answer.into_inner().groups) {
        let reason = reason(session, &group).await;
        console.say(&class(&group, records_of(task, group.outcome()), &reason));
        let desktop_id = group.desktop_ids.first().filter(|_| !group.sample.is_empty());
        if let Some(desktop_id) = desktop_id.map(|id| sanitize_line(id)) {
            console.say(&format!("  see: graywave logs {desktop_id} --task {task_id}"));
        }
    }
    console.say(&format!("  see: graywave failures {task_id}"));
}

/// Returns the largest group of each outcome. The groups are in descending order.
fn largest(groups: Vec<FailureGroup>) -> Vec<FailureGroup> {
    let mut largest: Vec<FailureGroup> = Vec::new();
    for group in groups {
        if !largest.iter().any(|known| known.outcome == group.outcome) {
            largest.push(group);
        }
    }
    largest
}

/// Counts the records of a task with this outcome.
fn records_of(task: &Task, outcome: Outcome) -> u32 {
    let of = |it: Outcomes| match outcome {
        Outcome::Failed => it.failed,
        Outcome::Timeout => it.timeout,
        Outcome::Undelivered => it.undelivered,
        Outcome::Rejected => it.rejected,
        Outcome::Unknown => it.unknown,
        Outcome::NotReturned => it.not_returned,
        Outcome::Stopped => it.stopped,
        Outcome::Skipped => it.skipped,
        Outcome::Success => it.success,
        Outcome::Unspecified => 0,
    };
    task.waves.iter().map(|wave| of(wave.records.unwrap_or_default())).sum()
}

/// Returns the reason of a group: the line of its output that says what went wrong, or else the
/// reason of its first record.
async fn reason(session: &Session, group: &FailureGroup) -> String {
    let said = cause(group).trim();
    if !said.is_empty() {
        return sanitize_line(said);
    }
    let request = GetRecordRequest { record_id: group.sample_record_id.clone() };
    let record = session.records().get_record(request).await.map(tonic::Response::into_inner);
    let record = record.ok().and_then(|answer| answer.record).unwrap_or_default();
    sanitize_line(record.reason.trim())
}

/// Formats a class of failures by its largest group: `3 FAILED with exit code 1: broken pipe`.
fn class(group: &FailureGroup, records: u32, reason: &str) -> String {
    let exit = group.exit_code.map_or_else(String::new, |code| format!(" with exit code {code}"));
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let total = records.max(group.records);
    let part = if total > group.records { format!(", {} of them", group.records) } else { String::new() };
    format!("{total} {}{part}{exit}{reason}", word::<Outcome>(group.outcome))
}

#[cfg(test)]
mod tests {
    use proto::admin::Wave;

    use super::*;

    fn group(outcome: Outcome, records: u32) -> FailureGroup {
        FailureGroup { outcome: outcome.into(), records, ..FailureGroup::default() }
    }

    #[test]
    fn each_class_is_shown_by_its_largest_group() {
        let groups = [(Outcome::Failed, 5), (Outcome::Failed, 3), (Outcome::Rejected, 1)];
        let shown = largest(groups.map(|(outcome, records)| group(outcome, records)).into());
        assert_eq!(shown, [group(Outcome::Failed, 5), group(Outcome::Rejected, 1)]);
    }

    #[test]
    fn class_has_its_total_and_the_most_common_reason() {
        let wave = |failed| Wave {
            records: Some(Outcomes { failed, rejected: 1, ..Outcomes::default() }),
            ..Wave::default()
        };
        let task = Task { waves: vec![wave(5), wave(3)], ..Task::default() };
        let failed = FailureGroup { exit_code: Some(1), ..group(Outcome::Failed, 5) };
        let of = |group: &FailureGroup, reason| class(group, records_of(&task, group.outcome()), reason);
        assert_eq!(of(&failed, "broken pipe"), "8 FAILED, 5 of them with exit code 1: broken pipe");
        let rejected = group(Outcome::Rejected, 2);
        assert_eq!(of(&rejected, "no user www"), "2 REJECTED: no user www");
        assert_eq!(of(&rejected, ""), "2 REJECTED");
    }
}
