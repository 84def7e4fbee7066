//! One failover: what is done, and what is looked at before anything could be reported again.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{
    address::Role,
    downtime::Span,
    durability_check::{self, Compared},
    follower::Follower,
    pair::{self, Pair},
    probe::Probe,
    rest,
};
use crate::{
    chaos::{link::State, system::System},
    say,
};

/// How the primary stops to be one.
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
pub(crate) struct Done {
    pub(crate) kind: Kind,
    pub(crate) from: String,
    pub(crate) to: String,
    /// From the kill or the request until the system goes on, with a standby.
    pub(crate) span: Span,
    pub(crate) promoted: DateTime<Utc>,
    /// When the address of the database led to the new primary.
    pub(crate) led: DateTime<Utc>,
    /// From then on commits can be acknowledged again.
    pub(crate) standby_back: DateTime<Utc>,
    /// What the new primary had when it was promoted.
    pub(crate) compared: Compared,
}

/// What failovers are done to.
pub(crate) struct Drill {
    pub(crate) pair: Pair,
    pub(crate) follower: Follower,
    pub(crate) system: Arc<System>,
    pub(crate) probe: Probe,
    /// Which node is primary.
    pub(crate) primary: usize,
}

impl Drill {
    /// Lets the database fail over and waits until the system goes on.
    ///
    /// The proxy leads to the old primary until the new one was looked at: a result that is lost
    /// there would else be healed unseen, because its agent tells it again when it is asked.
    pub(crate) async fn fail_over(&mut self, kind: Kind, rng: &mut ChaCha8Rng) -> anyhow::Result<Done> {
        let [old, new] = [self.primary, 1 - self.primary];
        let held = self.follower.hold().await;
        let from = match kind {
            Kind::Crash | Kind::Loss => self.crash(kind, rng).await?,
            Kind::Switchover => self.switch_over(new).await?,
        };
        self.pair.is_promoted(new).await?;
        let promoted = Utc::now();
        let compared = self.compare(new).await?;
        if kind == Kind::Switchover {
            self.mislead(old, rng).await?;
        }
        drop(held);
        let led = Utc::now();
        if kind != Kind::Switchover {
            // As long as its machine takes to come back.
            tokio::time::sleep(Duration::from_millis(rng.random_range(500..3_000))).await;
            self.pair.members[old].revive()?;
        }
        self.pair.standby_is_back(old).await?;
        let standby_back = Utc::now();
        self.primary = new;
        self.probe.accepted_after(standby_back).await?;
        let span = Span { from, to: Utc::now() };
        let [from, to] = [old, new].map(|place| self.pair.members[place].address.name.clone());
        Ok(Done { kind, from, to, span, promoted, led, standby_back, compared })
    }

    /// What the primary sends its standby in its last moments is still on its way, and lost with
    /// it.
    async fn crash(&mut self, kind: Kind, rng: &mut ChaCha8Rng) -> anyhow::Result<DateTime<Utc>> {
        let primary = &mut self.pair.members[self.primary];
        primary.replication.set(State::Stalled);
        tokio::time::sleep(Duration::from_millis(rng.random_range(100..800))).await;
        let killed = Utc::now();
        if kind == Kind::Loss {
            self.follower.lose();
        }
        primary.kill()?;
        Ok(killed)
    }

    async fn switch_over(&self, new: usize) -> anyhow::Result<DateTime<Utc>> {
        let asked = Utc::now();
        let nodes = self.pair.addresses();
        rest::switch_over(&nodes[self.primary], &nodes[new]).await?;
        Ok(asked)
    }

    /// The proxy is late: for a while it leads to the old primary, which takes connections and no
    /// writes, being a standby.
    async fn mislead(&self, old: usize, rng: &mut ChaCha8Rng) -> anyhow::Result<()> {
        pair::until(&self.pair.members[old].address, Role::Replica).await?;
        tokio::time::sleep(Duration::from_millis(rng.random_range(1_000..2_500))).await;
        Ok(())
    }

    async fn compare(&self, new: usize) -> anyhow::Result<Compared> {
        let url = self.pair.members[new].address.url();
        let compared = durability_check::compare(&url, &self.system, &self.probe.seen().accepted).await?;
        say(&format!(
            "promoted: of {} acknowledged results and {} accepted tasks {} are lost",
            compared.acknowledged,
            compared.accepted,
            compared.lost.len()
        ));
        Ok(compared)
    }
}
