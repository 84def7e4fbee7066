//! What time does: silent workers lose their desktops, lost leases go back, deadlines pass, stragglers come online.
//!
//! Each tick takes no input, reads the world anew and does a bounded amount of work; what one scheduler does,
//! another finds done.

use chrono::TimeDelta;
use domain::{
    Timestamp,
    cut::{self, Member, Placed},
    deadline,
    event::EventKind,
    ids::{BatchId, TaskId},
    outcome::Outcome,
    suspect,
};
use store::{
    Connection, Error,
    batch::{self, BatchTerms, Lost, Reclaimed},
    event::{self, NewEvent},
    hold,
    record::NewRecord,
    settle::{settle_waiting, store_outcomes},
    stop::expire_task,
    straggler::{self, Taken},
    target,
    task::{self, TaskFacts},
    wave::{self, Live},
    worker,
};

use telemetry::metric;

use super::{
    Engine,
    cut::{Room, end_replaced, hand_to_workers},
    report::{count_records, requeue},
    waiting,
};

/// Rows of each kind that one tick looks at.
const PER_TICK: i64 = 1_000;

impl Engine {
    /// One tick of everything that depends on the clock.
    ///
    /// Workers, leases and results that should have been heard of by `heard` are given up. It is `now`, but for a while
    /// after the database was away: nobody could be heard meanwhile, and their silence proves nothing.
    pub async fn reap(&self, now: Timestamp, heard: Timestamp) -> Result<(), Error> {
        self.reap_workers(now, heard).await?;
        self.reap_expired(now).await?;
        self.reap_frozen().await?;
        self.reap_orphans(now, heard).await?;
        self.cut_stragglers(now).await?;
        self.put_stragglers_off(now).await?;
        self.reap_overdue(now, heard).await
    }

    /// Who only waits for a place is not too late.
    async fn put_stragglers_off(&self, now: Timestamp) -> Result<(), Error> {
        let waiting = straggler::nearly_overdue(&mut *self.store.acquire().await?, now, PER_TICK).await?;
        for (task_id, ordinals) in waiting {
            let mut tx = self.store.begin().await?;
            wave::lock(&mut tx, task_id, &ordinals).await?;
            straggler::put_off(&mut tx, task_id, &ordinals, now).await?;
            self.store.commit(tx).await?;
        }
        Ok(())
    }

    /// Tasks whose time is over admit nothing more.
    async fn reap_expired(&self, now: Timestamp) -> Result<(), Error> {
        let expired = hold::expired(&mut *self.store.acquire().await?, now, PER_TICK).await?;
        for task_id in expired {
            let mut tx = self.store.begin().await?;
            expire_task(&mut tx, task_id, now).await?;
            self.store.commit(tx).await?;
        }
        Ok(())
    }

    /// What a freeze has left unheld, because whoever froze the project died over it.
    async fn reap_frozen(&self) -> Result<(), Error> {
        let unheld = hold::unheld(&mut *self.store.acquire().await?, PER_TICK).await?;
        for task_id in unheld {
            let mut tx = self.store.begin().await?;
            hold::hold_frozen(&mut tx, task_id).await?;
            self.store.commit(tx).await?;
        }
        Ok(())
    }

    async fn reap_workers(&self, now: Timestamp, heard: Timestamp) -> Result<(), Error> {
        let silent_since = heard - TimeDelta::milliseconds(i64::from(self.config.worker_timeout_ms));
        let silent = worker::silent_since(&mut *self.store.acquire().await?, silent_since).await?;
        for worker_id in silent {
            self.forget_worker(&worker_id, Some(silent_since), now).await?;
        }
        Ok(())
    }

    /// Batches without a living holder are cut again by presence, with a higher epoch at the next lease.
    async fn reap_orphans(&self, now: Timestamp, heard: Timestamp) -> Result<(), Error> {
        let orphans = batch::orphaned(&mut *self.store.acquire().await?, heard, PER_TICK).await?;
        for lost in orphans {
            self.reclaim(&lost, now, heard).await?;
        }
        Ok(())
    }

    async fn reclaim(&self, lost: &Lost, now: Timestamp, heard: Timestamp) -> Result<(), Error> {
        let Lost { task_id, batch_id, ordinals } = lost;
        let (task_id, batch_id) = (*task_id, *batch_id);
        let mut tx = self.store.begin().await?;
        let mut live = wave::lock(&mut tx, task_id, ordinals).await?;
        let Some(facts) = task::facts(&mut tx, task_id).await? else { return Ok(()) };
        let Some(left) = batch::reclaim(&mut tx, task_id, batch_id, heard).await? else { return Ok(()) };
        metric::LEASES_LOST.count(1, &[]);
        tracing::info!(%task_id, %batch_id, targets = left.members.len(), "a batch without a holder is cut again");
        if suspect::is_isolated(left.terms.losses) {
            isolate(&mut tx, &facts, &mut live, left, now).await?;
        } else if facts.status.admits_no_more() && !left.terms.maybe_handed {
            requeue(&mut tx, &facts, &mut live, &left.terms, left.members, now).await?;
        } else if !facts.status.is_ended() {
            let maybe_handed = left.terms.maybe_handed;
            let placed = target::place_again(&mut tx, &facts.project_id, &left.members, maybe_handed).await?;
            let handed = hand_to_workers(&mut tx, &facts, &mut live, &left.terms, placed, now).await?;
            end_replaced(&mut tx, task_id, &facts, &mut live, &handed.replaced, now).await?;
            settle_waiting(&mut tx, task_id, &facts, &mut live, now).await?;
        }
        self.store.commit(tx).await
    }

    /// Targets past their deadline end as UNDELIVERED or UNKNOWN.
    async fn reap_overdue(&self, now: Timestamp, heard: Timestamp) -> Result<(), Error> {
        let (batches, stragglers) = {
            let mut connection = self.store.acquire().await?;
            (
                batch::overdue(&mut connection, now, heard, PER_TICK).await?,
                straggler::overdue(&mut connection, now, heard, PER_TICK).await?,
            )
        };
        for lost in batches {
            self.expire(lost.task_id, Some(lost.batch_id), &lost.ordinals, now, heard).await?;
        }
        for (task_id, ordinals) in stragglers {
            self.expire(task_id, None, &ordinals, now, heard).await?;
        }
        Ok(())
    }

    async fn expire(
        &self,
        task_id: TaskId,
        batch_id: Option<BatchId>,
        ordinals: &[u32],
        now: Timestamp,
        heard: Timestamp,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin().await?;
        let mut live = wave::lock(&mut tx, task_id, ordinals).await?;
        let Some(facts) = task::facts(&mut tx, task_id).await? else { return Ok(()) };
        let taken: Vec<Taken> = match batch_id {
            Some(batch_id) => {
                let left = batch::take_overdue(&mut tx, task_id, batch_id, now, heard).await?;
                let taken = left.into_iter().flat_map(unplaced).collect();
                // The deadline of what was ready may be that of its window.
                wait_for_next_window(&mut tx, &facts, &mut live, taken, now).await?
            }
            None => {
                straggler::put_off(&mut tx, task_id, ordinals, now).await?;
                straggler::take_overdue(&mut tx, task_id, &mut live, ordinals, now, heard).await?
            }
        };
        let records: Vec<NewRecord> = taken
            .into_iter()
            .filter_map(|Taken { terms, placed }| {
                let outcome = deadline::expired(now, &terms.deadlines, terms.maybe_handed)?;
                Some((outcome, terms.losses, placed))
            })
            .flat_map(|(outcome, losses, placed)| {
                (0..facts.script_count).map(move |script| overdue(outcome, losses, &placed, script, now))
            })
            .collect();
        if !records.is_empty() && !facts.status.is_ended() {
            tracing::info!(%task_id, records = records.len(), "targets passed their deadline");
            count_records(records.iter().map(|record| record.outcome));
            store_outcomes(&mut tx, task_id, &facts, &mut live, &records, now).await?;
        }
        settle_waiting(&mut tx, task_id, &facts, &mut live, now).await?;
        self.store.commit(tx).await
    }

    /// Stragglers whose desktop came online get their batch, as far as there are places.
    async fn cut_stragglers(&self, now: Timestamp) -> Result<(), Error> {
        let reachable = straggler::reachable(&mut *self.store.acquire().await?, now, PER_TICK).await?;
        for (task_id, ordinals) in reachable {
            let mut tx = self.store.begin().await?;
            let mut live = wave::lock(&mut tx, task_id, &ordinals).await?;
            let Some(facts) = task::facts(&mut tx, task_id).await? else { continue };
            if facts.hold(now).is_some() && !facts.status.admits_no_more() {
                continue;
            }
            live.heed(&facts);
            let mut room = Room::new(&mut tx, &facts).await?;
            waiting::hand_out(&mut tx, task_id, &facts, &mut live, &mut room, now).await?;
            self.store.commit(tx).await?;
        }
        Ok(())
    }
}

/// Targets that worker after worker died of wait for what their agents may still report.
async fn isolate(
    connection: &mut Connection,
    facts: &TaskFacts,
    live: &mut Live,
    left: Reclaimed,
    now: Timestamp,
) -> Result<(), Error> {
    let Reclaimed { terms, members } = left;
    let (task_id, losses) = (terms.task_id, terms.losses);
    for Member { ordinal, desktop_id, .. } in &members {
        tracing::error!(%task_id, ordinal, %desktop_id, losses, "every worker that held this target died: it is handed out no more");
        let detail = format!("desktop {desktop_id}: {losses} workers died that held it");
        event::insert(connection, task_id, NewEvent::of_wave(EventKind::Isolated, terms.wave, &detail), now)
            .await?;
    }
    requeue(connection, facts, live, &terms, members, now).await
}

/// The targets of a batch, wherever their desktops are.
fn unplaced(left: Reclaimed) -> impl Iterator<Item = Taken> {
    left.members.into_iter().map(move |member| Taken {
        terms: left.terms,
        placed: Placed {
            ordinal: member.ordinal,
            desktop_id: member.desktop_id,
            worker_id: None,
            time_zone: String::new(),
            agent_id: String::new(),
            handed_to: left.terms.maybe_handed.then_some(member.agent_id),
        },
    })
}

/// What was not handed out because its window closed waits for the next one; returns what is really overdue.
async fn wait_for_next_window(
    connection: &mut Connection,
    facts: &TaskFacts,
    live: &mut Live,
    taken: Vec<Taken>,
    now: Timestamp,
) -> Result<Vec<Taken>, Error> {
    let Some(window) = facts.policy.window.as_ref().filter(|_| !facts.status.admits_no_more()) else {
        return Ok(taken);
    };
    let (unhanded, mut overdue): (Vec<Taken>, Vec<Taken>) =
        taken.into_iter().partition(|taken| !taken.terms.maybe_handed);
    let Some(terms) = unhanded.first().map(|taken| taken.terms) else { return Ok(overdue) };
    let member = |Taken { placed, .. }| Member {
        ordinal: placed.ordinal,
        desktop_id: placed.desktop_id,
        agent_id: String::new(),
    };
    let members: Vec<Member> = unhanded.into_iter().map(member).collect();
    let placed = target::place_again(connection, &facts.project_id, &members, false).await?;
    let (waits, over): (Vec<Placed>, Vec<Placed>) = placed
        .into_iter()
        .partition(|target| cut::missed_window(window, &target.time_zone, &terms.deadlines));
    let fresh = deadline::of_target(now, &facts.timeouts, u32::from(facts.script_count));
    let fresh = BatchTerms { deadlines: fresh, ..terms };
    // None of them was handed out before, so no agent can have been replaced.
    let _never_replaced = hand_to_workers(connection, facts, live, &fresh, waits, now).await?;
    overdue.extend(over.into_iter().map(|placed| Taken { terms, placed }));
    Ok(overdue)
}

fn overdue(outcome: Outcome, losses: u16, placed: &Placed, script: u16, now: Timestamp) -> NewRecord {
    let reason = match outcome {
        Outcome::Undelivered => "the desktop was not reached before its delivery deadline",
        _ if suspect::is_isolated(losses) => {
            "every worker that held it died: it was handed out no more, and no result came before its deadline"
        }
        _ => "handed to the desktop's agent, and no result came before its deadline",
    };
    NewRecord::without_result(placed.ordinal, placed.desktop_id.clone(), script, outcome, now, reason)
}
