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
        let dispatched = members.map(|member| member.ordinal);
        let awaited = self.awaited.insert.iter().map(|awaited| awaited.ordinal);
        let in_flight = dispatched.chain(awaited).map(|ordinal| (ordinal, MapCode::InFlight));
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use domain::{Timestamp, batching::Member, deadline::Deadlines, ids::TaskId, map::MapRun};

    use super::*;
    use crate::{
        NewEvent,
        row::{BatchTerms, NewBatch, NewDeferred, NewRecord},
    };

    fn changes() -> Changes {
        let task_id: TaskId = "01890000-0000-7000-8000-000000000001".parse().unwrap();
        Changes::new(task_id, "p1".parse().unwrap(), 1, Timestamp::UNIX_EPOCH)
    }

    fn member(ordinal: u32) -> Member {
        Member {
            ordinal,
            desktop_id: format!("d{ordinal}").parse().unwrap(),
            agent_id: String::new(),
            started: None,
        }
    }

    fn terms() -> BatchTerms {
        let deadline = Timestamp::UNIX_EPOCH + TimeDelta::minutes(1);
        BatchTerms {
            task_id: changes().task_id,
            wave: 1,
            deadlines: Deadlines { deliver_by: deadline, finish_by: deadline },
            wait_until: deadline,
            maybe_delivered: false,
            worker_deaths: 0,
        }
    }

    fn record(ordinal: u32, script: u16, outcome: Outcome) -> NewRecord {
        let desktop_id = member(ordinal).desktop_id;
        NewRecord::without_result(ordinal, desktop_id, script, outcome, Timestamp::UNIX_EPOCH, "")
    }

    fn codes(changes: &Changes) -> Vec<(u32, u32, u8)> {
        let run = |run: &MapRun| (run.first, run.last, run.code.byte());
        changes.map_change().runs().iter().map(run).collect()
    }

    #[test]
    fn result_overrules_a_batch_of_the_same_transaction() {
        let mut changes = changes();
        changes.batches.insert.push(NewBatch {
            worker_id: "w".parse().unwrap(),
            terms: terms(),
            members: (0..4).map(member).collect(),
            query_only: false,
            suspended: false,
            stop: false,
        });
        let deferred = NewDeferred { terms: terms(), not_before: None, suspended: false, member: member(4) };
        changes.deferred.insert.push(deferred);
        changes.records = vec![
            record(1, 1, Outcome::Skipped),
            record(1, 0, Outcome::Timeout),
            record(3, 0, Outcome::Success),
            record(3, 1, Outcome::Success),
        ];
        assert_eq!(codes(&changes), [(0, 0, 2), (1, 1, 18), (2, 2, 2), (3, 3, 16), (4, 4, 1)]);
        assert!(changes.is_visible());
    }

    #[test]
    fn withdrawal_is_a_reset() {
        let mut halted = changes();
        halted.records.push(record(0, 0, Outcome::Failed));
        halted.deferred.withdraw.push(1);
        assert!(halted.map_change().is_reset() && halted.is_visible());
        let mut stopped = changes();
        stopped.task.status = Some((TaskStatus::Stopping, None));
        assert!(stopped.map_change().is_reset());
        let mut ended = changes();
        ended.task.status = Some((TaskStatus::Success, None));
        assert!(!ended.map_change().is_reset());
    }

    #[test]
    fn change_without_a_difference_is_invisible() {
        assert!(!changes().is_visible() && changes().map_change().is_empty());
        let mut late = changes();
        late.late_results.push(record(0, 0, Outcome::Success));
        assert!(!late.is_visible(), "a late result changes no code");
        let mut paused = changes();
        paused.task.pause = Some(Some("alice".to_owned()));
        paused.events.push(NewEvent::of_task(domain::event::EventKind::Paused, "alice", ""));
        assert!(paused.is_visible() && paused.map_change().is_empty());
    }
}
