//! The change of a task's map that follows from its row changes.

use std::collections::BTreeMap;

use domain::{
    map::{MapChange, MapCode},
    outcome::Outcome,
    task::TaskStatus,
};

use crate::{Changes, TaskChange};

impl Changes {
    /// Returns the codes of the targets that these changes move. A withdrawal is a reset: the rows
    /// that it deletes do not name their targets here, and it happens once in a rollout.
    pub fn map_change(&self) -> MapChange {
        let is_cut_short = matches!(self.task.status, Some((TaskStatus::Halting | TaskStatus::Stopping, _)));
        if is_cut_short || !self.deferred.withdraw.is_empty() {
            return MapChange::reset();
        }
        let deferred = self.deferred.insert.iter().map(|new| (new.member.ordinal, MapCode::Deferred));
        let members = self.batches.insert.iter().flat_map(|batch| &batch.members);
        let in_flight = members.map(|member| (member.ordinal, MapCode::InFlight));
        let mut outcomes: BTreeMap<u32, Vec<(u16, Outcome)>> = BTreeMap::new();
        for record in &self.records {
            outcomes.entry(record.ordinal).or_default().push((record.script, record.outcome));
        }
        let ended = outcomes.into_iter().map(|(ordinal, mut scripts)| {
            scripts.sort_unstable_by_key(|(script, _)| *script);
            let outcome = Outcome::of_target(scripts.into_iter().map(|(_, outcome)| outcome));
            (ordinal, MapCode::Ended(outcome))
        });
        // A result overrules a batch of the same transaction.
        MapChange::of_targets(deferred.chain(in_flight).chain(ended))
    }

    /// Returns whether a client that watches the task sees a difference.
    pub fn is_visible(&self) -> bool {
        let Self { waves, events, records, batches, deferred, task, .. } = self;
        *task != TaskChange::default()
            || !(waves.is_empty() && events.is_empty() && records.is_empty())
            || !(batches.insert.is_empty() && deferred.insert.is_empty() && deferred.withdraw.is_empty())
    }
}
