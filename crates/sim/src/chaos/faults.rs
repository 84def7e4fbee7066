//! The faults, drawn from a seed: which comes when is the seed's, what it meets is not.

use std::{
    fs,
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use rand::{Rng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tokio::{sync::Mutex, task::JoinSet};

use super::{
    link::State,
    node::Node,
    system::{System, desktop_id},
};

/// What is done to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Kind {
    ApiKilled,
    SchedulerKilled,
    WorkerKilled,
    AgentsKilled,
    JournalTorn,
    DiskFull,
    PostgresCrashed,
    SchedulerHung,
    WorkerHung,
    AgentsHung,
    LinkCut,
    LinkStalled,
}

impl Kind {
    /// How often each comes, of 100.
    const ODDS: [(Self, u32); 12] = [
        (Self::ApiKilled, 8),
        (Self::SchedulerKilled, 10),
        (Self::WorkerKilled, 12),
        (Self::AgentsKilled, 16),
        (Self::JournalTorn, 6),
        (Self::DiskFull, 4),
        (Self::PostgresCrashed, 5),
        (Self::SchedulerHung, 7),
        (Self::WorkerHung, 8),
        (Self::AgentsHung, 8),
        (Self::LinkCut, 8),
        (Self::LinkStalled, 8),
    ];

    /// Whether an agent that meets it in mid-run cannot tell what became of its script.
    const fn makes_unknown(self) -> bool {
        matches!(self, Self::AgentsKilled | Self::JournalTorn | Self::DiskFull)
    }
}

/// A fault that was injected.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Injected {
    pub(crate) kind: Kind,
    /// What it was done to.
    pub(crate) targets: Vec<String>,
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
}

/// All of them, in order.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Injected>);

impl Faults {
    /// Injects faults until the time is over, and waits until the last of them is mended.
    pub(crate) async fn inject(
        system: Arc<System>,
        mut rng: ChaCha8Rng,
        begun: Instant,
        until: Instant,
    ) -> anyhow::Result<Self> {
        let mut under_way: JoinSet<anyhow::Result<Injected>> = JoinSet::new();
        let mut done = Vec::new();
        let mut shown = 0;
        while Instant::now() < until {
            let fault = Drawn::new(&system, &mut rng);
            under_way.spawn(fault.inject(Arc::clone(&system)));
            tokio::time::sleep(Duration::from_millis(rng.random_range(500..2_000))).await;
            while let Some(injected) = under_way.try_join_next() {
                done.push(injected??);
            }
            let elapsed = begun.elapsed().as_secs();
            if elapsed >= shown + 15 {
                shown = elapsed;
                crate::say(&format!("{elapsed} s, {} faults", done.len()));
            }
        }
        while let Some(injected) = under_way.join_next().await {
            done.push(injected??);
        }
        done.sort_by_key(|injected| injected.from);
        Ok(Self(done))
    }

    /// Whether something explains that an end was never learnt.
    pub(crate) fn explain_unknown(&self, desktop: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        self.0.iter().any(|fault| {
            fault.kind.makes_unknown()
                && fault.from <= to
                && fault.to >= from
                && fault.targets.iter().any(|target| target == desktop)
        })
    }
}

/// A fault before it is injected.
struct Drawn {
    kind: Kind,
    /// Places of what it is done to, in its list.
    targets: Vec<usize>,
    lasts: Duration,
}

impl Drawn {
    fn new(system: &System, rng: &mut ChaCha8Rng) -> Self {
        let possible = |kind: Kind| kind != Kind::DiskFull || system.small_disks > 0;
        let odds = |&(kind, odds): &(Kind, u32)| if possible(kind) { odds } else { 0 };
        let kind = Kind::ODDS.choose_weighted(rng, odds).map_or(Kind::AgentsKilled, |it| it.0);
        let (number, most) = match kind {
            Kind::ApiKilled => (system.apis.len(), 1),
            Kind::SchedulerKilled | Kind::SchedulerHung => (system.schedulers.len(), 1),
            Kind::WorkerKilled | Kind::WorkerHung => (system.workers.len(), 1),
            Kind::AgentsKilled | Kind::AgentsHung => (system.agents.len(), 6),
            Kind::JournalTorn => (system.agents.len(), 2),
            Kind::DiskFull => (system.small_disks, 1),
            Kind::PostgresCrashed => (1, 1),
            Kind::LinkCut | Kind::LinkStalled => (system.links.len(), 1),
        };
        let places: Vec<usize> = (0..number).collect();
        let many = rng.random_range(1..=most);
        let mut targets: Vec<usize> = places.choose_multiple(rng, many).copied().collect();
        targets.sort_unstable();
        // A lease lasts two seconds here: half of what hangs or is cut off loses its leases.
        let lasts = match kind {
            Kind::PostgresCrashed => rng.random_range(200..2_000),
            Kind::DiskFull => rng.random_range(2_000..6_000),
            _ => rng.random_range(300..5_000),
        };
        Self { kind, targets, lasts: Duration::from_millis(lasts) }
    }

    async fn inject(self, system: Arc<System>) -> anyhow::Result<Injected> {
        let from = Utc::now();
        let targets = match self.kind {
            Kind::ApiKilled => self.kill(&system.apis).await?,
            Kind::SchedulerKilled => self.kill(&system.schedulers).await?,
            Kind::WorkerKilled => self.kill(&system.workers).await?,
            Kind::AgentsKilled => self.kill(&system.agents).await?,
            Kind::JournalTorn => self.tear(&system).await?,
            Kind::DiskFull => self.fill(&system).await?,
            Kind::PostgresCrashed => self.crash(&system).await?,
            Kind::SchedulerHung => self.hang(&system.schedulers).await?,
            Kind::WorkerHung => self.hang(&system.workers).await?,
            Kind::AgentsHung => self.hang(&system.agents).await?,
            Kind::LinkCut => self.break_links(&system, State::Cut).await,
            Kind::LinkStalled => self.break_links(&system, State::Stalled).await,
        };
        Ok(Injected { kind: self.kind, targets, from, to: Utc::now() })
    }

    async fn kill(&self, nodes: &[Mutex<Node>]) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for &place in &self.targets {
            let mut node = nodes[place].lock().await;
            node.kill()?;
            names.push(node.name.clone());
        }
        tokio::time::sleep(self.lasts).await;
        for &place in &self.targets {
            nodes[place].lock().await.run()?;
        }
        Ok(names)
    }

    async fn hang(&self, nodes: &[Mutex<Node>]) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for &place in &self.targets {
            let node = nodes[place].lock().await;
            node.hang()?;
            names.push(node.name.clone());
        }
        tokio::time::sleep(self.lasts).await;
        for &place in &self.targets {
            nodes[place].lock().await.wake()?;
        }
        Ok(names)
    }

    /// As when the machine dies while the last line is written.
    async fn tear(&self, system: &System) -> anyhow::Result<Vec<String>> {
        for &place in &self.targets {
            system.agents[place].lock().await.kill()?;
            let journal = system.data_dir(place).join("journal.log");
            if journal.exists() {
                fs::File::options().append(true).open(journal)?.write_all(b"1a2b3c4d {\"started\":{\"ta")?;
            }
        }
        tokio::time::sleep(self.lasts).await;
        for &place in &self.targets {
            system.agents[place].lock().await.run()?;
        }
        Ok(self.desktops())
    }

    async fn fill(&self, system: &System) -> anyhow::Result<Vec<String>> {
        for &place in &self.targets {
            let mut filler = fs::File::create(system.data_dir(place).join("filler"))?;
            while filler.write_all(&[0; 4_096]).is_ok() {}
        }
        tokio::time::sleep(self.lasts).await;
        for &place in &self.targets {
            drop(fs::remove_file(system.data_dir(place).join("filler")));
        }
        Ok(self.desktops())
    }

    async fn crash(&self, system: &System) -> anyhow::Result<Vec<String>> {
        let Some(postgres) = &system.postgres else { return Ok(Vec::new()) };
        // Held all the time: two crashes at once are one.
        let mut postgres = postgres.lock().await;
        postgres.crash()?;
        tokio::time::sleep(self.lasts).await;
        postgres.restart()?;
        Ok(vec!["Postgres".to_owned()])
    }

    async fn break_links(&self, system: &System, state: State) -> Vec<String> {
        for &place in &self.targets {
            system.links[place].set(state);
        }
        tokio::time::sleep(self.lasts).await;
        for &place in &self.targets {
            system.links[place].set(State::Open);
        }
        self.targets.iter().map(|&place| system.links[place].name.clone()).collect()
    }

    fn desktops(&self) -> Vec<String> {
        self.targets.iter().map(|&place| desktop_id(place)).collect()
    }
}
