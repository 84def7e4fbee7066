//! Targets that a person stopped before they started.

use domain::{batching::Member, outcome::Outcome, record::NOT_STARTED_REASON};

use super::{Rollout, Targets};
use crate::{Faults, row::NewRecord};

impl<F: Faults> Rollout<F> {
    /// Removes from `members` the targets that a person stopped before their first script. No
    /// member was delivered yet. Returns the records of the removed targets.
    pub(super) fn stopped_before_start(
        &self,
        members: &mut Vec<Member>,
        targets: &Targets,
    ) -> Vec<NewRecord> {
        let mut records = Vec::new();
        members.retain(|member| {
            let Some(target) = targets.get(&member.ordinal) else { return true };
            let stop = target.stop.filter(|&script| script <= target.first_script);
            if let Some(script) = stop {
                records.extend(self.stopped(member, script));
            }
            stop.is_none()
        });
        records
    }

    /// Creates the records of a target that was stopped at a script before it started.
    pub(crate) fn stopped(&self, member: &Member, stopped: u16) -> Vec<NewRecord> {
        let outcome = |script| if script == stopped { Outcome::Stopped } else { Outcome::Skipped };
        let record = |script| {
            let desktop_id = member.desktop_id.clone();
            NewRecord::without_result(
                member.ordinal,
                desktop_id,
                script,
                outcome(script),
                self.now,
                NOT_STARTED_REASON,
            )
        };
        (0..self.facts.script_count).map(record).collect()
    }
}
