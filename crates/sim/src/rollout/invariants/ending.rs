//! The end of a task, against the invariants.

use domain::{outcome::Outcome, task::TaskStatus, threshold::Threshold};

use super::Invariants;
use crate::{memory::TaskTable, rollout::coverage::Coverage};

impl Invariants {
    /// The task has ended: each target that was admitted has its outcome, and no other one has.
    pub(super) fn task_ended(&mut self, status: TaskStatus, table: &TaskTable, coverage: &mut Coverage) {
        self.has_ended = true;
        self.recount(table, coverage);
        let odd = self.targets.iter().position(|target| target.admitted != target.outcome.is_some());
        let odd = odd.map(|place| format!("target {place} at the end: {:?}", self.targets[place]));
        self.must(odd.is_none(), "every target that was admitted ends in exactly one outcome", || {
            odd.unwrap_or_default()
        });
        let all_in = self.targets.iter().all(|target| target.outcome.is_some());
        let succeeded = |target: &super::Target| target.outcome.is_some_and(|end| end.0 == Outcome::Success);
        let all_good = self.targets.iter().all(succeeded);
        let fits = match status {
            TaskStatus::Success => all_in && all_good && !self.is_cut_short,
            TaskStatus::Failed => all_in && !all_good && !self.is_cut_short,
            TaskStatus::Halted | TaskStatus::Stopped => self.is_cut_short,
            _ => false,
        };
        self.must(fits, "a task says how it ended", || format!("it ended as {status}"));
        if self.policy.strict {
            self.check_strict_end(table);
        }
    }

    fn check_strict_end(&mut self, table: &TaskTable) {
        let mut all = 0;
        for (row, count) in table.waves.iter().zip(self.counts.clone()) {
            all += count.failed;
            if let Some(Threshold::Count(most)) = row.state.fail_threshold {
                self.must(count.failed <= most, "strict mode: no more than the threshold can fail", || {
                    format!("{} of wave {} failed, and the threshold is {most}", count.failed, row.wave)
                });
            }
        }
        if let Some(Threshold::Count(most)) = self.policy.fail_threshold {
            self.must(all <= most, "strict mode: no more than the threshold can fail", || {
                format!("{all} failed, and the threshold is {most}")
            });
        }
    }
}
