//! Transactions: the engine decides on rows in memory, the changes are applied, and the invariants
//! see their effects.

use std::convert::Infallible;

use domain::ids::{ProjectId, TaskId};
use engine::{Decision, Rows as _};
use futures::FutureExt as _;

use super::{coverage::Feature, effect::Effect, event::Task, observe::observe, world::World};

/// The result of an operation on rows in memory, which waits for nothing.
pub(super) fn at_once<T>(operation: impl Future<Output = Result<T, Infallible>>) -> T {
    let Some(Ok(value)) = operation.now_or_never() else {
        unreachable!("an operation on rows in memory is ready at once")
    };
    value
}

/// The state of the database for one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Database {
    /// The transaction commits and is answered.
    Up,
    /// The transaction commits, and its answer is lost.
    AnswerLost,
    /// The transaction fails before its commit.
    Down,
}

/// The tasks that one operation may change.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    Task(TaskId),
    Project(ProjectId),
}

impl World {
    /// The state of the database for a transaction that is about to run.
    pub(super) fn database(&mut self) -> Database {
        let Some(outage) = self.outage else { return Database::Up };
        if outage.unknown_until <= self.clock.now || self.rng.percent(50) {
            self.coverage.add(Feature::OutageFailed);
            return Database::Down;
        }
        self.coverage.add(Feature::AnswerLost);
        Database::AnswerLost
    }

    /// Applies a decision. Returns whether there was one.
    pub(super) fn commit(&mut self, decision: Option<Decision>, scope: &Scope) -> bool {
        let Some(Decision { changes, effects }) = decision else { return false };
        let is_within = match scope {
            Scope::Task(task_id) => *task_id == changes.task_id,
            Scope::Project(project_id) => *project_id == changes.project_id,
        };
        self.must(is_within, "an operation changes nothing of other tasks and projects", || {
            format!("an operation on {scope:?} changed task {}", changes.task_id)
        });
        self.check_handed_out(&changes);
        let task = self.number_of(changes.task_id);
        if let Some(table) = self.store.tasks.get(&changes.task_id) {
            let seen = observe(table, &changes);
            self.effects.extend(seen.into_iter().map(|effect| (task, effect)));
        }
        self.effects.extend(effects.into_iter().map(|effect| (task, Effect::Engine(effect))));
        at_once(self.store.apply(&changes));
        self.has_committed = true;
        true
    }

    /// The number of a task. Ids count upwards from 1.
    pub(super) fn number_of(&self, task_id: TaskId) -> Task {
        usize::try_from(task_id.0.as_u128()).unwrap_or_default().saturating_sub(1)
    }
}
