//! Lets the desktop go down after acknowledged results.
//!
//! Nothing of ours runs then: the queue is closed, and running orders end first. A person who uses
//! the desktop is respected as the order says. Each wait ends at the deadline of the action, after
//! which the control plane has given up, and the desktop stays up.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    decision::GOES_DOWN,
    queue::Queue,
    reboot::{Step, next_step},
    state::Shared,
};
use crate::{
    blocking::blocking,
    journal::{Event, GoDown, IfUserActive, JournalState},
    power::Power,
    way_down::Way,
};

/// Interval at which users, running orders and the deadline are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Interval at which users are asked.
const ASK_INTERVAL: Duration = Duration::from_secs(120);
/// Time after which the command is given again: the desktop did not go down, or a person has
/// cancelled it.
const AGAIN_INTERVAL: Duration = Duration::from_secs(120);

/// Executor of due actions.
#[derive(Debug)]
pub(crate) struct GoingDown {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
    pub(super) power: Power,
    pub(super) boot_id: Option<String>,
}

/// What was done for the present action.
#[derive(Debug, Default)]
struct Progress {
    asked_at: Option<Instant>,
    commanded_at: Option<Instant>,
}

impl GoingDown {
    /// Lets the desktop go down whenever an action is due, until the agent stops.
    pub(crate) async fn run(self) {
        let stop = self.shared.stop.clone();
        let _stopped = stop.run_until_cancelled(Box::pin(self.keep())).await;
    }

    async fn keep(self) {
        let Some(boot_id) = self.boot_id.clone() else { return std::future::pending().await };
        let mut progress = Progress::default();
        loop {
            match self.next_step(&boot_id).await {
                Step::Rest => {
                    progress = Progress::default();
                    self.queue.open();
                    self.shared.action_due.notified().await;
                }
                Step::GoDown(action) => {
                    self.go_down(&action, &mut progress).await;
                    let _changed = timeout(LOOK_INTERVAL, self.shared.action_due.notified()).await;
                }
            }
        }
    }

    /// Chooses the next step, and drops actions that will never be done.
    async fn next_step(&self, boot_id: &str) -> Step {
        let journal = Arc::clone(&self.shared.journal);
        let due = blocking(move || journal.book(JournalState::due_actions)).await;
        let now = self.shared.now_ms();
        for (key, action) in &due {
            if action.boot_id != boot_id || action.until <= now {
                let is_done = action.boot_id != boot_id;
                tracing::info!(?key, way = ?action.way, is_done, "the desktop no longer has to go down for an order");
                self.shared.record(Event::ActionDropped { key: key.clone() }).await;
            }
        }
        next_step(due.iter().map(|(_, action)| action), boot_id, now)
    }

    /// Goes one step further. Called again until the action is dropped or the machine is down.
    async fn go_down(&self, action: &GoDown, progress: &mut Progress) {
        if self.is_used(action, progress).await {
            self.queue.open();
            return;
        }
        for waiting in self.queue.close() {
            waiting.active.give_back(GOES_DOWN, true);
        }
        if self.shared.active().len() > self.queue.len() {
            return;
        }
        let is_recent = |at: Instant| at.elapsed() < AGAIN_INTERVAL;
        if progress.commanded_at.is_some_and(is_recent) {
            return;
        }
        progress.commanded_at = Some(Instant::now());
        tracing::warn!(way = ?action.way, "the desktop goes down");
        if let Err(error) = self.power.go_down(action.way).await {
            tracing::error!(%error, "letting the desktop go down failed; it is tried again");
            self.queue.open();
        }
    }

    /// Whether a person uses the desktop and has to leave first. Where this cannot be told, nobody
    /// does.
    async fn is_used(&self, action: &GoDown, progress: &mut Progress) -> bool {
        if action.if_user_active == IfUserActive::Force {
            return false;
        }
        let users = self.power.active_users().await.unwrap_or_default();
        if users.is_empty() {
            return false;
        }
        let is_recent = |at: Instant| at.elapsed() < ASK_INTERVAL;
        if action.if_user_active == IfUserActive::Ask && !progress.asked_at.is_some_and(is_recent) {
            progress.asked_at = Some(Instant::now());
            let what = if action.way == Way::Reboot { "restart" } else { "be switched off" };
            let message = format!("This desktop has to {what}. Save your work and sign out.");
            if let Err(error) = self.power.ask(&message).await {
                tracing::warn!(%error, "showing a message to the users failed");
            }
        }
        tracing::info!(?users, "the desktop waits for its users before it goes down");
        true
    }
}

/// Time after the deadline of a pause in which the control plane may still send the order again.
const PAUSE_KEPT: Duration = Duration::from_secs(24 * 3_600);

impl Shared {
    /// Ends orders that wait for a reboot longer than the control plane does: their remaining
    /// scripts never start.
    pub(super) async fn end_forgotten_pauses(&self) {
        let journal = Arc::clone(&self.journal);
        let kept_ms = i64::try_from(PAUSE_KEPT.as_millis()).unwrap_or(i64::MAX);
        let now = self.now_ms();
        for (order, action) in blocking(move || journal.book(JournalState::paused)).await {
            if action.until.saturating_add(kept_ms) < now && !self.active().contains_key(&order.key) {
                self.end_pause(order, now).await;
            }
        }
    }
}
