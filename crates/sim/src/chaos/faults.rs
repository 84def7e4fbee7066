//! The faults, drawn from a seed: which comes when is the seed's, what it meets is not.

use std::{
    fs,
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use chrono::{DateTime, Utc};
use rand::{
    Rng as _,
    seq::{IndexedRandom as _, SliceRandom as _},
};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use serde::Serialize;
use tokio::{sync::Mutex, task::JoinSet};

use super::{
    clock,
    link::State,
    node::Node,
    runners,
    system::{System, desktop_id},
};

/// A run of at least this length includes an outage of one minute.
const LONG_RUN: Duration = Duration::from_secs(300);
/// Time in which delayed results arrive.
const BETWEEN_OUTAGES: Duration = Duration::from_secs(15);
/// Longer than a worker's scripts are waited for.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// An offset that a wrong time zone makes, a day, and a clock that begins in 1970.
const CLOCKS_SET_BY_SECONDS: [i64; 4] = [90, 3_600, 86_400, 1_700_000_000];

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
    ClockSet,
    SchedulersRolled,
    WorkersRolled,
    PostgresAway,
    AgentsUpgraded,
    RunnersKilled,
    RunnersHung,
}

impl Kind {
    /// How often each comes, of 100.
    const ODDS: [(Self, u32); 19] = [
        (Self::ApiKilled, 7),
        (Self::SchedulerKilled, 9),
        (Self::WorkerKilled, 7),
        (Self::AgentsKilled, 9),
        (Self::AgentsUpgraded, 4),
        (Self::RunnersKilled, 5),
        (Self::RunnersHung, 4),
        (Self::JournalTorn, 4),
        (Self::DiskFull, 4),
        (Self::PostgresCrashed, 4),
        (Self::SchedulerHung, 6),
        (Self::WorkerHung, 7),
        (Self::AgentsHung, 5),
        (Self::LinkCut, 7),
        (Self::LinkStalled, 7),
        (Self::ClockSet, 7),
        (Self::SchedulersRolled, 1),
        (Self::WorkersRolled, 2),
        (Self::PostgresAway, 1),
    ];

    /// Whether it can be injected on this machine.
    fn is_possible(self, system: &System) -> bool {
        match self {
            Self::DiskFull => system.small_disks > 0,
            Self::ClockSet => clock::can_be_set(),
            _ => true,
        }
    }

    /// Whether the result of a script that runs meanwhile can be lost. The loss of its agent alone
    /// loses nothing.
    const fn makes_unknown(self) -> bool {
        matches!(self, Self::RunnersKilled | Self::DiskFull)
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
        let is_long = until.duration_since(begun) >= LONG_RUN;
        let mut kinds = Kinds::new(&system, &mut rng);
        while Instant::now() < until {
            let fault = Drawn::new(kinds.next(&mut rng), &system, is_long, &mut rng);
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

/// The kinds that can be injected here: each of them once, in any order, then each as often as its
/// odds say.
struct Kinds {
    possible: Vec<(Kind, u32)>,
    not_yet: Vec<Kind>,
}

impl Kinds {
    fn new(system: &System, rng: &mut ChaCha8Rng) -> Self {
        let possible: Vec<_> = Kind::ODDS.into_iter().filter(|(kind, _)| kind.is_possible(system)).collect();
        let mut not_yet: Vec<Kind> = possible.iter().map(|(kind, _)| *kind).collect();
        not_yet.shuffle(rng);
        Self { possible, not_yet }
    }

    fn next(&mut self, rng: &mut ChaCha8Rng) -> Kind {
        self.not_yet.pop().unwrap_or_else(|| {
            self.possible.choose_weighted(rng, |(_, odds)| *odds).map_or(Kind::AgentsKilled, |it| it.0)
        })
    }
}

/// A fault before it is injected.
struct Drawn {
    kind: Kind,
    /// Places of what it is done to, in its list.
    targets: Vec<usize>,
    lasts: Duration,
    set_by_seconds: i64,
}

impl Drawn {
    fn new(kind: Kind, system: &System, is_long: bool, rng: &mut ChaCha8Rng) -> Self {
        let (number, most) = match kind {
            Kind::ApiKilled => (system.apis.len(), 1),
            Kind::SchedulerKilled | Kind::SchedulerHung => (system.schedulers.len(), 1),
            Kind::WorkerKilled | Kind::WorkerHung => (system.workers.len(), 1),
            Kind::AgentsKilled
            | Kind::AgentsHung
            | Kind::AgentsUpgraded
            | Kind::RunnersKilled
            | Kind::RunnersHung => (system.agents.len(), 6),
            Kind::JournalTorn => (system.agents.len(), 2),
            Kind::DiskFull => (system.small_disks, 1),
            Kind::ClockSet => (system.nodes().count(), 4),
            Kind::PostgresCrashed | Kind::PostgresAway | Kind::SchedulersRolled | Kind::WorkersRolled => {
                (1, 1)
            }
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
            Kind::PostgresAway if is_long => rng.random_range(30_000..75_000),
            Kind::PostgresAway => rng.random_range(8_000..12_000),
            // Between one and the next.
            Kind::SchedulersRolled | Kind::WorkersRolled => rng.random_range(200..2_000),
            _ => rng.random_range(300..5_000),
        };
        let set_by_seconds = *CLOCKS_SET_BY_SECONDS.choose(rng).unwrap_or(&0);
        Self { kind, targets, lasts: Duration::from_millis(lasts), set_by_seconds }
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
            Kind::PostgresCrashed | Kind::PostgresAway => self.crash(&system).await?,
            Kind::ClockSet => self.set_clocks(&system).await?,
            Kind::SchedulersRolled => self.roll(&system.schedulers).await?,
            Kind::WorkersRolled => self.roll(&system.workers).await?,
            Kind::SchedulerHung => self.hang(&system.schedulers).await?,
            Kind::WorkerHung => self.hang(&system.workers).await?,
            Kind::AgentsHung => self.hang(&system.agents).await?,
            Kind::AgentsUpgraded => self.upgrade(&system.agents).await?,
            Kind::RunnersKilled => self.signal_runners(&system, Signal::KILL).await?,
            Kind::RunnersHung => self.signal_runners(&system, Signal::STOP).await?,
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

    /// Stops in order and starts again, as the upgrade of a package does.
    async fn upgrade(&self, nodes: &[Mutex<Node>]) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for &place in &self.targets {
            let mut node = nodes[place].lock().await;
            stop_in_order(&mut node).await?;
            names.push(node.name.clone());
        }
        tokio::time::sleep(self.lasts).await;
        for &place in &self.targets {
            nodes[place].lock().await.run()?;
        }
        Ok(names)
    }

    /// Kills the runners of desktops, or stops them for a while.
    async fn signal_runners(&self, system: &System, signal: Signal) -> anyhow::Result<Vec<String>> {
        for &place in &self.targets {
            runners::signal_all(&system.data_dir(place), signal)?;
        }
        tokio::time::sleep(self.lasts).await;
        for &place in &self.targets {
            runners::signal_all(&system.data_dir(place), Signal::CONT)?;
        }
        Ok(self.desktops())
    }

    /// Restarts one after the other in order, as an upgrade does.
    async fn roll(&self, nodes: &[Mutex<Node>]) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for node in nodes {
            let mut node = node.lock().await;
            stop_in_order(&mut node).await?;
            node.run()?;
            names.push(node.name.clone());
            drop(node);
            tokio::time::sleep(self.lasts).await;
        }
        Ok(names)
    }

    async fn set_clocks(&self, system: &System) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for (place, node) in system.nodes().enumerate().filter(|(place, _)| self.targets.contains(place)) {
            let node = node.lock().await;
            // Half of them the other way.
            let direction = if place % 2 == 0 { 1 } else { -1 };
            node.set_clock(direction * self.set_by_seconds)?;
            names.push(node.name.clone());
        }
        tokio::time::sleep(self.lasts).await;
        for (_, node) in system.nodes().enumerate().filter(|(place, _)| self.targets.contains(place)) {
            node.lock().await.set_clock(0)?;
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
        if self.kind == Kind::PostgresAway {
            // Two long outages in a row are a longer one than results are waited for.
            tokio::time::sleep(BETWEEN_OUTAGES).await;
        }
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

async fn stop_in_order(node: &mut Node) -> anyhow::Result<()> {
    node.terminate()?;
    let begun = Instant::now();
    while !node.has_ended()? {
        if begun.elapsed() > ENDS_WITHIN {
            bail!("{} has not ended {ENDS_WITHIN:?} after it was asked to", node.name);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
