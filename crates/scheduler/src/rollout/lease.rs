//! Leases ready batches to a pulling worker, at most as many targets as it has room for.

use std::{collections::HashMap, sync::Arc};

use chrono::TimeDelta;
use domain::{
    Timestamp,
    ids::{TaskId, WorkerId},
};
use engine::{
    LeaseRows as _,
    row::{LeaseChoice, ReadyBatch},
};
use store::{
    Connection, Error, TaskRows, Tx,
    batch::{self, BatchRow, LeaseKey},
    target, target_stop,
};
use telemetry::trace;
use tracing::Span;

use super::{ENGINE, budget::Budget};
use crate::{
    Scheduler,
    leased::{Leased, Pulled},
    spec_cache::Spec,
};

/// Leases of a transaction that is not committed yet.
#[derive(Debug)]
pub(super) struct Leases {
    /// Result for the worker.
    pub(super) pulled: Pulled,
    /// A span for each batch. It lasts until the leases are committed.
    spans: Vec<Span>,
}

/// Batches to lease within one response.
struct Within {
    choices: Vec<LeaseChoice>,
    /// Specifications of their tasks.
    specs: HashMap<TaskId, Arc<Spec>>,
    /// Whether usable batches are ready although none is chosen.
    waits_for_room: bool,
}

/// Stops of the batch's targets, by ordinal.
async fn stops_of(connection: &mut Connection, batch: &BatchRow) -> Result<HashMap<u32, u16>, Error> {
    let Some((first, last)) = batch.members.first().zip(batch.members.last()) else {
        return Ok(HashMap::new());
    };
    let (first, number) = (first.ordinal, last.ordinal - first.ordinal + 1);
    target_stop::of_range(connection, batch.terms.task_id, first, number).await
}

/// Span of the lease in the task's trace; the worker's spans are its children.
fn span_of(leased: &mut Leased, worker_id: &WorkerId) -> Span {
    let BatchRow { terms, batch_id, members, .. } = &leased.batch;
    let carried = leased.spec.facts.trace_context.as_deref();
    let span = trace::child(carried, || {
        let targets = members.len();
        tracing::info_span!(
            target: trace::TARGET, parent: None, "lease",
            task_id = %terms.task_id, wave = terms.wave, %batch_id, %worker_id, targets
        )
    });
    leased.trace_context = trace::carry(&span, carried);
    span
}

impl Scheduler {
    /// Leases ready batches of the worker for at most `room` targets, in fair shares; batches are
    /// split to fit.
    pub async fn lease(&self, worker_id: &WorkerId, room: u32, now: Timestamp) -> Result<Pulled, Error> {
        let mut tx = self.store.begin().await?;
        let Leases { pulled, spans } = self.lease_within(&mut tx, worker_id, room, now).await?;
        if !pulled.leased.is_empty() {
            self.store.commit(tx).await?;
        }
        drop(spans);
        Ok(pulled)
    }

    /// Leases as [`Scheduler::lease`] does, in the caller's transaction.
    pub(super) async fn lease_within(
        &self,
        tx: &mut Tx,
        worker_id: &WorkerId,
        room: u32,
        now: Timestamp,
    ) -> Result<Leases, Error> {
        let lease_time = self.lease_time();
        let ready = ENGINE.leasable(&mut TaskRows::new(tx), worker_id, now, lease_time).await?;
        let running: HashMap<TaskId, u16> =
            ready.iter().filter_map(|batch| Some((batch.task_id, batch.max_running?))).collect();
        let Within { choices, specs, waits_for_room } = self.within_budget(tx, ready, room, now).await?;
        if choices.is_empty() {
            let pulled = Pulled { leased: Vec::new(), waits_for_room };
            return Ok(Leases { pulled, spans: Vec::new() });
        }
        let lease_until = now + lease_time;
        let rows = TaskRows::new(tx).lease(&choices, now, lease_until).await?;
        let mut leased = with_specs(tx, rows, &specs, &running, lease_until).await?;
        let spans = leased.iter_mut().map(|leased| span_of(leased, worker_id)).collect();
        Ok(Leases { pulled: Pulled { leased, waits_for_room: false }, spans })
    }

    /// Chooses batches that fit into one response, and reads the specifications of their tasks.
    async fn within_budget(
        &self,
        tx: &mut Tx,
        mut ready: Vec<ReadyBatch>,
        room: u32,
        now: Timestamp,
    ) -> Result<Within, Error> {
        let (mut specs, mut budget) = (HashMap::new(), Budget::default());
        let mut choices = loop {
            let choices = ENGINE.choose(&ready, room, now);
            let Some(unusable) = self.read_specs(tx, &choices, &mut specs).await? else { break choices };
            // Other tasks get its share.
            ready.retain(|batch| batch.task_id != unusable);
        };
        let fits = choices.iter().take_while(|choice| {
            let batch = ready.iter().find(|batch| batch.batch_id == choice.batch_id);
            batch.zip(specs.get(&choice.task_id)).is_some_and(|(batch, spec)| {
                // Counts the whole batch even if `room` cuts it: the estimate must not be too low.
                budget.admits(spec, batch.size as usize, batch.ids_bytes as usize)
            })
        });
        choices.truncate(fits.count());
        Ok(Within { waits_for_room: choices.is_empty() && !ready.is_empty(), choices, specs })
    }

    /// Reads the specifications of the chosen tasks. Returns the first task whose specification is
    /// unreadable; `None` if all are read.
    async fn read_specs(
        &self,
        tx: &mut Tx,
        choices: &[LeaseChoice],
        specs: &mut HashMap<TaskId, Arc<Spec>>,
    ) -> Result<Option<TaskId>, Error> {
        for &LeaseChoice { task_id, .. } in choices {
            if specs.contains_key(&task_id) {
                continue;
            }
            match self.spec(tx, task_id).await {
                Ok(spec) => drop(specs.insert(task_id, spec)),
                // Its transaction is usable. Other tasks must not wait for this one.
                Err(error @ Error::Corrupt { .. }) => {
                    tracing::error!(%task_id, error = &error as &dyn std::error::Error, "task not leased");
                    return Ok(Some(task_id));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn spec(&self, tx: &mut Tx, task_id: TaskId) -> Result<Arc<Spec>, Error> {
        let spec = self.specs.get(tx, task_id).await?;
        spec.ok_or_else(|| Error::Corrupt { table: "batch", what: format!("no task {task_id}") })
    }

    /// Extends leases; returns those that no longer belong to the worker.
    pub async fn renew(
        &self,
        worker_id: &WorkerId,
        leases: &[LeaseKey],
        now: Timestamp,
    ) -> Result<Vec<LeaseKey>, Error> {
        let mut connection = self.store.for_liveness().acquire().await?;
        let held = batch::renew(&mut connection, worker_id, leases, now + self.lease_time()).await?;
        Ok(leases.iter().filter(|lease| !held.contains(lease)).copied().collect())
    }

    fn lease_time(&self) -> TimeDelta {
        TimeDelta::milliseconds(i64::from(self.config.lease_ms))
    }
}

/// Adds specification, first scripts and stops to leased rows.
async fn with_specs(
    tx: &mut Tx,
    rows: Vec<BatchRow>,
    specs: &HashMap<TaskId, Arc<Spec>>,
    running: &HashMap<TaskId, u16>,
    lease_until: Timestamp,
) -> Result<Vec<Leased>, Error> {
    let mut leased = Vec::with_capacity(rows.len());
    for batch in rows {
        let task_id: TaskId = batch.terms.task_id;
        let Some(spec) = specs.get(&task_id).map(Arc::clone) else { continue };
        let ordinals: Vec<u32> = batch.members.iter().map(|member| member.ordinal).collect();
        let first_scripts = if spec.facts.resumes {
            target::first_scripts(tx, task_id, &ordinals).await?
        } else {
            HashMap::new()
        };
        let stops = if batch.stop { stops_of(tx, &batch).await? } else { HashMap::new() };
        let max_running = running.get(&task_id).copied();
        leased.push(Leased {
            batch,
            spec,
            first_scripts,
            max_running,
            stops,
            lease_until,
            trace_context: None,
        });
    }
    Ok(leased)
}
