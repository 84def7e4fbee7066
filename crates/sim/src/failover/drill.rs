//! One failover: its trigger, and the durability check before an agent can report a result again.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{
    address::Role,
    downtime::Span,
    durability_check::{self, Comparison},
    follower::Follower,
    pair::{self, Pair},
    probe::Probe,
    rest,
};
use crate::{
    chaos::{link::State, system::System},
    say,
};

/// Cause of a failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// Patroni and Postgres are killed: their clients notice at once.
    Crash,
    /// The machine dies: both are killed, and their clients get no answer.
    Loss,
    /// An operator requests it.
    Switchover,
}

/// A failover that is over.
#[derive(Debug, Clone)]
pub(crate) struct Failover {
    pub(crate) kind: Kind,
    pub(crate) from: String,
    pub(crate) to: String,
    /// From the kill or the request until the system goes on, with a standby.
    pub(crate) span: Span,
    pub(crate) promoted: DateTime<Utc>,
    /// When the address of the database led to the new primary.
    pub(crate) redirected: DateTime<Utc>,
    /// From then on commits can be acknowledged again.
    pub(crate) standby_back: DateTime<Utc>,
    /// Durability check on the new primary, right after its promotion.
    pub(crate) comparison: Comparison,
}

/// The cluster and its load, for failovers.
pub(crate) struct Drill {
    pub(crate) pair: Pair,
    pub(crate) follower: Follower,
    pub(crate) system: Arc<System>,
    pub(crate) probe: Probe,
    /// Index of the primary in the pair.
    pub(crate) primary: usize,
}

impl Drill {
    /// Lets the database fail over and waits until the system goes on.
    ///
    /// The proxy leads to the old primary until the new one was checked. Otherwise an agent could
    /// report a lost result again, and the loss would stay unseen.
    pub(crate) async fn fail_over(&mut self, kind: Kind, rng: &mut ChaCha8Rng) -> anyhow::Result<Failover> {
        let [old, new] = [self.primary, 1 - self.primary];
        let pause = self.follower.pause().await;
        let from = match kind {
            Kind::Crash | Kind::Loss => self.crash(kind, rng).await?,
            Kind::Switchover => self.switch_over(new).await?,
        };
        self.pair.wait_for_promotion(new).await?;
        let promoted = Utc::now();
        let comparison = self.compare(new).await?;
        if kind == Kind::Switchover {
            self.keep_old_address(old, rng).await?;
        }
        drop(pause);
        let redirected = Utc::now();
        if kind != Kind::Switchover {
            // As long as its machine takes to come back.
            tokio::time::sleep(Duration::from_millis(rng.random_range(500..3_000))).await;
            self.pair.members[old].revive()?;
        }
        self.pair.wait_for_standby(old).await?;
        let standby_back = Utc::now();
        self.primary = new;
        self.probe.accepted_after(standby_back).await?;
        let span = Span { from, to: Utc::now() };
        let [from, to] = [old, new].map(|index| self.pair.members[index].address.name.clone());
        Ok(Failover { kind, from, to, span, promoted, redirected, standby_back, comparison })
    }

    /// What the primary sends its standby in its last moments is still on its way, and lost with
    /// it.
    async fn crash(&mut self, kind: Kind, rng: &mut ChaCha8Rng) -> anyhow::Result<DateTime<Utc>> {
        let primary = &mut self.pair.members[self.primary];
        primary.replication.set(State::Stalled);
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..800))).await;
        let killed_at = Utc::now();
        if kind == Kind::Loss {
            self.follower.lose();
        }
        primary.kill()?;
        Ok(killed_at)
    }

    async fn switch_over(&self, new: usize) -> anyhow::Result<DateTime<Utc>> {
        let requested_at = Utc::now();
        let nodes = self.pair.addresses();
        rest::switch_over(&nodes[self.primary], &nodes[new]).await?;
        Ok(requested_at)
    }

    /// The proxy is late: for a while it leads to the old primary, which takes connections and no
    /// writes, being a standby.
    async fn keep_old_address(&self, old: usize, rng: &mut ChaCha8Rng) -> anyhow::Result<()> {
        pair::wait_for_role(&self.pair.members[old].address, Role::Replica).await?;
        tokio::time::sleep(Duration::from_millis(rng.random_range(1_000..2_500))).await;
        Ok(())
    }

    async fn compare(&self, new: usize) -> anyhow::Result<Comparison> {
        let url = self.pair.members[new].address.url();
        let comparison = durability_check::compare(&url, &self.system, &self.probe.log().accepted).await?;
        say(&format!(
            "promoted: of {} acknowledged results and {} accepted tasks {} are lost",
            comparison.acknowledged,
            comparison.accepted,
            comparison.lost.len()
        ));
        Ok(comparison)
    }
}
