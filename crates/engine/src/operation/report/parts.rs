//! Parts of a task's report: a result that the database refuses costs no other result anything.

use domain::{ids::DesktopId, outcome::Outcome, process::ProcessReport};

use super::{Report, ReportedTarget, ScriptResult};

/// Reason of the record of a result that the database refuses.
const REFUSED_REASON: &str =
    "the database refused the values of the agent's result; the log of the scheduler holds the cause";

/// Part of a task's report that is stored in one transaction.
#[derive(Debug, Clone)]
struct Part {
    report: Report,
    /// Whether no value of the result comes from an agent.
    is_blank: bool,
}

/// Result of the split of a part that the database refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// Smaller parts take its place.
    Halved,
    /// The refused result was alone. It is stored as UNKNOWN, without a value of its agent.
    Blanked {
        /// Ordinal that the result names.
        ordinal: u32,
        /// Desktop that reports the result.
        desktop_id: DesktopId,
    },
    /// The part holds no value of an agent that the database could refuse.
    Impossible,
}

/// One task's report, in parts that are stored one after the other.
#[derive(Debug)]
pub struct ReportParts {
    /// Parts that are not stored yet, the next one last.
    waiting: Vec<Part>,
    /// The part that is being stored.
    current: Option<Part>,
}

impl ReportParts {
    /// The whole report as one part.
    pub fn new(report: Report) -> Self {
        Self { waiting: vec![Part { report, is_blank: false }], current: None }
    }

    /// Returns the next part to store; `None` when all of them are stored.
    pub fn next_part(&mut self) -> Option<Report> {
        self.current = self.waiting.pop();
        self.current.as_ref().map(|part| part.report.clone())
    }

    /// Splits the last part that [`Self::next_part`] returned, because the database refused its
    /// values. Halves it until the refused result is alone.
    pub fn split(&mut self) -> Split {
        let Some(smaller) = self.current.take().and_then(smaller) else { return Split::Impossible };
        let culprit = smaller.first().filter(|part| part.is_blank);
        let culprit = culprit.and_then(|part| part.report.results.first());
        let split = culprit.map_or(Split::Halved, |result| Split::Blanked {
            ordinal: result.ordinal,
            desktop_id: result.desktop_id.clone(),
        });
        self.waiting.extend(smaller);
        split
    }
}

/// Smaller parts that hold the same targets, the one to store first last. `None` if the part holds
/// no value of an agent that the database could refuse.
fn smaller(part: Part) -> Option<Vec<Part>> {
    let Part { report: Report { task_id, worker_id, mut results, returned }, is_blank } = part;
    let part = |results: Vec<ReportedTarget>, returned, is_blank| Part {
        report: Report { task_id, worker_id: worker_id.clone(), results, returned },
        is_blank,
    };
    if results.is_empty() || is_blank {
        return None;
    }
    // Results come first: they may halt the task, and then it takes no target back.
    if !returned.is_empty() {
        return Some(vec![part(Vec::new(), returned, false), part(results, Vec::new(), false)]);
    }
    let last = results.split_off(results.len() / 2);
    if results.is_empty() {
        let blank = last.into_iter().map(without_values).collect();
        return Some(vec![part(blank, Vec::new(), true)]);
    }
    Some(vec![part(last, Vec::new(), false), part(results, Vec::new(), false)])
}

/// Replaces the results of a target's scripts: each outcome is UNKNOWN.
fn without_values(result: ReportedTarget) -> ReportedTarget {
    let unknown = |_: ScriptResult| ScriptResult {
        outcome: Outcome::Unknown,
        exit_code: None,
        started_at: None,
        ended_at: None,
        output: String::new(),
        reason: REFUSED_REASON.to_owned(),
        process: ProcessReport::default(),
    };
    ReportedTarget { scripts: result.scripts.into_iter().map(unknown).collect(), ..result }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReturnedTarget;

    const POISON: &str = "poison";

    fn target(ordinal: u32, output: &str) -> ReportedTarget {
        let script = ScriptResult {
            outcome: Outcome::Success,
            exit_code: Some(0),
            started_at: None,
            ended_at: None,
            output: output.to_owned(),
            reason: String::new(),
            process: ProcessReport::default(),
        };
        ReportedTarget {
            ordinal,
            attempt: 1,
            batch_id: None,
            project_id: "p".parse().unwrap(),
            desktop_id: format!("d{ordinal}").parse().unwrap(),
            agent_id: String::new(),
            is_authentic: false,
            scripts: vec![script],
            reboots_from: None,
        }
    }

    fn report(poisoned: &[u32]) -> Report {
        let output = |ordinal| if poisoned.contains(&ordinal) { POISON } else { "" };
        let batch_id = "01890000-0000-7000-8000-000000000002".parse().unwrap();
        Report {
            task_id: "01890000-0000-7000-8000-000000000001".parse().unwrap(),
            worker_id: "w".parse().unwrap(),
            results: (0..9).map(|ordinal| target(ordinal, output(ordinal))).collect(),
            returned: vec![ReturnedTarget { batch_id, ordinal: 9, handed: true, given_back: false }],
        }
    }

    #[test]
    fn refused_results_alone_are_stored_as_unknown() {
        let mut parts = ReportParts::new(report(&[0, 5]));
        let (mut outcomes, mut returned, mut blanked) = (Vec::new(), 0, Vec::new());
        while let Some(part) = parts.next_part() {
            if part.results.iter().any(|result| result.scripts[0].output == POISON) {
                match parts.split() {
                    Split::Blanked { ordinal, .. } => blanked.push(ordinal),
                    split => assert_eq!(split, Split::Halved),
                }
                continue;
            }
            returned += part.returned.len();
            outcomes.extend(part.results.iter().map(|result| (result.ordinal, result.scripts[0].outcome)));
        }
        let expected = |ordinal| if [0, 5].contains(&ordinal) { Outcome::Unknown } else { Outcome::Success };
        assert_eq!(outcomes, (0..9).map(|ordinal| (ordinal, expected(ordinal))).collect::<Vec<_>>());
        assert_eq!((returned, blanked), (1, vec![0, 5]));
    }

    #[test]
    fn part_without_values_of_an_agent_is_not_split() {
        let mut parts = ReportParts::new(Report { results: Vec::new(), ..report(&[]) });
        assert!(parts.next_part().is_some());
        assert_eq!(parts.split(), Split::Impossible);
        assert!(parts.next_part().is_none());
    }
}
