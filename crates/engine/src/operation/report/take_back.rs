//! Returned targets become deferred. Exceptions: the target has ended, or the task was cut short
//! before delivery.

use std::collections::HashSet;

use domain::{batching::Member, task::TaskStatus};

use super::ReturnedTarget;
use crate::{
    Faults,
    rollout::{Rollout, Targets},
    row::{BatchRow, BatchTerms, TargetRow},
};

/// Removes returned targets from the batches that their worker holds. `status` is the task's status
/// as the operation knows it.
pub(super) fn take_back<F: Faults>(
    rollout: &mut Rollout<F>,
    status: TaskStatus,
    batches: impl IntoIterator<Item = BatchRow>,
    targets: &mut Targets,
    returned: &[ReturnedTarget],
) {
    for batch in batches {
        let batch_id = batch.batch_id;
        let returned = returned.iter().filter(|target| target.batch_id == batch_id);
        let handed: HashSet<u32> =
            returned.clone().filter(|target| target.handed).map(|target| target.ordinal).collect();
        let given_back: HashSet<u32> =
            returned.clone().filter(|target| target.given_back).map(|target| target.ordinal).collect();
        let wanted: HashSet<u32> = returned.map(|target| target.ordinal).collect();
        let (taken, left): (Vec<Member>, Vec<Member>) =
            batch.members.into_iter().partition(|member| wanted.contains(&member.ordinal));
        if taken.is_empty() {
            continue;
        }
        rollout.take_from_batch(batch_id, left);
        let unended = |member: &Member| targets.get(&member.ordinal).is_some_and(TargetRow::is_missing);
        let taken = taken.into_iter().filter(unended).collect::<Vec<_>>();
        let (mut maybe, mut never): (Vec<Member>, Vec<Member>) =
            taken.into_iter().partition(|Member { ordinal, .. }| {
                // A target that continues after a reboot has started, also if it is given back.
                targets.get(ordinal).is_some_and(|target| target.is_resumed)
                    || (batch.terms.maybe_delivered || handed.contains(ordinal))
                        && !given_back.contains(ordinal)
            });
        for (maybe_delivered, members) in [(false, &mut never), (true, &mut maybe)] {
            let terms = BatchTerms { maybe_delivered, ..batch.terms };
            // Their desktops were connected: they have another delivery time to come back.
            let terms = if maybe_delivered { terms } else { rollout.renewed(&terms) };
            rollout.requeue_as(status, &terms, members, targets);
        }
    }
}
