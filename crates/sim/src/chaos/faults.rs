//! The faults. The seed determines kinds and times; the state of the cluster at that time differs.

use std::{
    fs,
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use rand::{
    Rng as _,
    seq::{IndexedRandom as _, SliceRandom as _},
};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use serde::Serialize;
use tokio::{sync::Mutex, task::JoinSet};

use super::{
    clock, identity,
    link::State,
    node::Node,
    runners,
    system::{System, desktop_id},
};

/// A run of at least this length includes an outage of one minute.
const LONG_RUN: Duration = Duration::from_secs(300);
/// Time in which delayed results arrive.
const OUTAGE_GAP: Duration = Duration::from_secs(15);
/// Time after the end of the faults in which the last ones are repaired.
const OVERTIME: Duration = Duration::from_secs(10);
/// Minimum time of a hang after which the results of an agent can come too late.
const LOSES_RESULTS: TimeDelta = TimeDelta::seconds(100);
/// Maximum time of a stop; longer than a worker waits for its scripts.
const TERMINATION_TIMEOUT: Duration = Duration::from_secs(60);
/// An offset that a wrong time zone makes, a day, and a clock that begins in 1970.
const CLOCK_OFFSETS_SECONDS: [i64; 4] = [90, 3_600, 86_400, 1_700_000_000];

/// Kind of a fault.
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
    PostgresOutage,
    AgentsUpgraded,
    RunnersKilled,
    RunnersHung,
    /// The data directory of an agent is removed.
    DataLost,
    /// A copy of a data directory is used by a second agent.
    DesktopCloned,
    /// Agents hang for longer than a target waits for its desktop.
    AgentsSuspended,
}

impl Kind {
    /// Percentage of each kind.
    const ODDS: [(Self, u32); 22] = [
        (Self::ApiKilled, 5),
        (Self::SchedulerKilled, 8),
        (Self::WorkerKilled, 7),
        (Self::AgentsKilled, 8),
        (Self::AgentsUpgraded, 4),
        (Self::RunnersKilled, 5),
        (Self::RunnersHung, 4),
        (Self::JournalTorn, 4),
        (Self::DiskFull, 4),
        (Self::PostgresCrashed, 4),
        (Self::SchedulerHung, 6),
        (Self::WorkerHung, 7),
        (Self::AgentsHung, 5),
        (Self::LinkCut, 6),
        (Self::LinkStalled, 6),
        (Self::ClockSet, 6),
        (Self::SchedulersRolled, 1),
        (Self::WorkersRolled, 2),
        (Self::PostgresOutage, 1),
        (Self::DataLost, 3),
        (Self::DesktopCloned, 3),
        (Self::AgentsSuspended, 1),
    ];

    /// Returns whether this machine allows the fault.
    fn is_possible(self, system: &System) -> bool {
        match self {
            Self::DiskFull => system.small_disks > 0,
            Self::ClockSet => clock::can_be_set(),
            Self::DataLost | Self::DesktopCloned => system.agents.len() > system.small_disks,
            _ => true,
        }
    }
}

/// A fault that was injected.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    /// Names of the processes, links or desktops.
    pub(crate) targets: Vec<String>,
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
}

impl Fault {
    /// Returns whether the result of a script that runs during the fault can be lost. The loss of
    /// its agent alone loses nothing.
    fn can_lose_results(&self) -> bool {
        match self.kind {
            Kind::RunnersKilled | Kind::DiskFull | Kind::DataLost | Kind::DesktopCloned => true,
            Kind::AgentsSuspended => self.to - self.from >= LOSES_RESULTS,
            _ => false,
        }
    }
}

/// All injected faults, in the order of their start.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// Injects faults until the time is over, and waits until the last one is repaired.
    pub(crate) async fn inject(
        system: Arc<System>,
        mut rng: ChaCha8Rng,
        begun: Instant,
        until: Instant,
    ) -> anyhow::Result<Self> {
        let mut pending: JoinSet<anyhow::Result<Fault>> = JoinSet::new();
        let mut done = Vec::new();
        let mut shown = 0;
        let is_long = until.duration_since(begun) >= LONG_RUN;
        let mut kinds = Kinds::new(&system, &mut rng);
        while Instant::now() < until {
            let mut fault = FaultPlan::new(kinds.next(&mut rng), &system, is_long, &mut rng);
            fault.duration = fault.duration.min(until + OVERTIME - Instant::now());
            pending.spawn(fault.inject(Arc::clone(&system)));
            tokio::time::sleep(Duration::from_millis(rng.random_range(500..2_000))).await;
            while let Some(injected) = pending.try_join_next() {
                done.push(injected??);
            }
            let elapsed = begun.elapsed().as_secs();
            if elapsed >= shown + 15 {
                shown = elapsed;
                crate::say(&format!("{elapsed} s, {} faults", done.len()));
            }
        }
        while let Some(injected) = pending.join_next().await {
            done.push(injected??);
        }
        done.sort_by_key(|injected| injected.from);
        Ok(Self(done))
    }

    /// Returns whether a fault explains that a result stayed unknown.
    pub(crate) fn explain_unknown(&self, desktop: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        self.0.iter().any(|fault| {
            fault.can_lose_results()
                && fault.from <= to
                && fault.to >= from
                && fault.targets.iter().any(|target| target == desktop)
        })
    }
}

/// Sequence of possible kinds: first each of them once, in random order, then each by its
/// percentage.
struct Kinds {
    possible: Vec<(Kind, u32)>,
    remaining: Vec<Kind>,
}

impl Kinds {
    fn new(system: &System, rng: &mut ChaCha8Rng) -> Self {
        let possible: Vec<_> = Kind::ODDS.into_iter().filter(|(kind, _)| kind.is_possible(system)).collect();
        let mut remaining: Vec<Kind> = possible.iter().map(|(kind, _)| *kind).collect();
        remaining.shuffle(rng);
        Self { possible, remaining }
    }

    fn next(&mut self, rng: &mut ChaCha8Rng) -> Kind {
        self.remaining.pop().unwrap_or_else(|| {
            self.possible.choose_weighted(rng, |(_, odds)| *odds).map_or(Kind::AgentsKilled, |it| it.0)
        })
    }
}

/// Parameters of a fault, drawn before its injection.
struct FaultPlan {
    kind: Kind,
    /// Indices of its targets in the list of such targets.
    targets: Vec<usize>,
    duration: Duration,
    clock_offset_seconds: i64,
    /// One of two variants of the fault.
    is_variant: bool,
}

impl FaultPlan {
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
            Kind::JournalTorn | Kind::AgentsSuspended => (system.agents.len(), 2),
            // A small disk is mounted on its data directory.
            Kind::DataLost => (system.agents.len() - system.small_disks, 2),
            // Candidates, of which one is cloned.
            Kind::DesktopCloned => (system.agents.len() - system.small_disks, 12),
            Kind::DiskFull => (system.small_disks, 1),
            Kind::ClockSet => (system.nodes().count(), 4),
            Kind::PostgresCrashed | Kind::PostgresOutage | Kind::SchedulersRolled | Kind::WorkersRolled => {
                (1, 1)
            }
            Kind::LinkCut | Kind::LinkStalled => (system.links.len(), 1),
        };
        let indices: Vec<usize> = (0..number).collect();
        let many = rng.random_range(1..=most);
        let mut targets: Vec<usize> = indices.choose_multiple(rng, many).copied().collect();
        targets.sort_unstable();
        if matches!(kind, Kind::DataLost | Kind::DesktopCloned) {
            targets.iter_mut().for_each(|index| *index += system.small_disks);
        }
        // A lease lasts two seconds here, so half of the hung or disconnected workers lose theirs.
        let duration = match kind {
            Kind::PostgresCrashed => rng.random_range(200..2_000),
            Kind::DiskFull => rng.random_range(2_000..6_000),
            Kind::PostgresOutage if is_long => rng.random_range(30_000..75_000),
            Kind::PostgresOutage => rng.random_range(8_000..12_000),
            // Longer than the timeout of a worker that nobody hears.
            Kind::SchedulerHung => rng.random_range(2_000..5_000),
            // Longer than a refused agent takes to ask again.
            Kind::DesktopCloned => rng.random_range(4_000..8_000),
            // Longer than every deadline of a target.
            Kind::AgentsSuspended if is_long => rng.random_range(150_000..170_000),
            Kind::AgentsSuspended => rng.random_range(25_000..35_000),
            // Between one and the next.
            Kind::SchedulersRolled | Kind::WorkersRolled => rng.random_range(200..2_000),
            _ => rng.random_range(300..5_000),
        };
        let clock_offset_seconds = *CLOCK_OFFSETS_SECONDS.choose(rng).unwrap_or(&0);
        let is_variant = rng.random_bool(0.5);
        Self { kind, targets, duration: Duration::from_millis(duration), clock_offset_seconds, is_variant }
    }

    async fn inject(self, system: Arc<System>) -> anyhow::Result<Fault> {
        let from = Utc::now();
        let targets = match self.kind {
            Kind::ApiKilled => self.kill(&system.apis).await?,
            Kind::SchedulerKilled => self.kill(&system.schedulers).await?,
            Kind::WorkerKilled => self.kill(&system.workers).await?,
            Kind::AgentsKilled => self.kill(&system.agents).await?,
            Kind::JournalTorn => self.tear_journal(&system).await?,
            Kind::DiskFull => self.fill_disk(&system).await?,
            Kind::PostgresCrashed | Kind::PostgresOutage => self.crash(&system).await?,
            Kind::ClockSet => self.set_clocks(&system).await?,
            Kind::SchedulersRolled => self.restart_each(&system.schedulers).await?,
            Kind::WorkersRolled => self.restart_each(&system.workers).await?,
            Kind::SchedulerHung => self.hang(&system.schedulers).await?,
            Kind::WorkerHung => self.hang(&system.workers).await?,
            Kind::AgentsHung | Kind::AgentsSuspended => self.hang(&system.agents).await?,
            Kind::DataLost => {
                identity::lose_data(&system, &self.targets, self.is_variant, self.duration).await?;
                self.desktops()
            }
            Kind::DesktopCloned => self.clone_desktop(&system).await?,
            Kind::AgentsUpgraded => self.upgrade(&system.agents).await?,
            Kind::RunnersKilled => self.signal_runners(&system, Signal::KILL).await?,
            Kind::RunnersHung => self.signal_runners(&system, Signal::STOP).await?,
            Kind::LinkCut => self.break_links(&system, State::Cut).await,
            Kind::LinkStalled => self.break_links(&system, State::Stalled).await,
        };
        Ok(Fault { kind: self.kind, targets, from, to: Utc::now() })
    }

    async fn kill(&self, nodes: &[Mutex<Node>]) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for &index in &self.targets {
            let mut node = nodes[index].lock().await;
            node.kill()?;
            names.push(node.name.clone());
        }
        tokio::time::sleep(self.duration).await;
        for &index in &self.targets {
            nodes[index].lock().await.run()?;
        }
        Ok(names)
    }

    async fn hang(&self, nodes: &[Mutex<Node>]) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for &index in &self.targets {
            let node = nodes[index].lock().await;
            node.hang()?;
            names.push(node.name.clone());
        }
        tokio::time::sleep(self.duration).await;
        for &index in &self.targets {
            nodes[index].lock().await.wake()?;
        }
        Ok(names)
    }

    async fn clone_desktop(&self, system: &System) -> anyhow::Result<Vec<String>> {
        let cloned = identity::clone_one(system, &self.targets, self.is_variant, self.duration).await?;
        Ok(cloned.map(desktop_id).into_iter().collect())
    }

    /// Stops agents in order and starts them again, as the upgrade of a package does.
    async fn upgrade(&self, nodes: &[Mutex<Node>]) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for &index in &self.targets {
            let mut node = nodes[index].lock().await;
            terminate(&mut node).await?;
            names.push(node.name.clone());
        }
        tokio::time::sleep(self.duration).await;
        for &index in &self.targets {
            nodes[index].lock().await.run()?;
        }
        Ok(names)
    }

    /// Kills the runners of desktops, or stops them for a while.
    async fn signal_runners(&self, system: &System, signal: Signal) -> anyhow::Result<Vec<String>> {
        for &index in &self.targets {
            runners::signal_all(&system.data_dir(index), signal)?;
        }
        tokio::time::sleep(self.duration).await;
        for &index in &self.targets {
            runners::signal_all(&system.data_dir(index), Signal::CONT)?;
        }
        Ok(self.desktops())
    }

    /// Restarts one node after the other, like an upgrade.
    async fn restart_each(&self, nodes: &[Mutex<Node>]) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for node in nodes {
            let mut node = node.lock().await;
            terminate(&mut node).await?;
            node.run()?;
            names.push(node.name.clone());
            drop(node);
            tokio::time::sleep(self.duration).await;
        }
        Ok(names)
    }

    async fn set_clocks(&self, system: &System) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for (index, node) in system.nodes().enumerate().filter(|(index, _)| self.targets.contains(index)) {
            let node = node.lock().await;
            // Half of them the other way.
            let direction = if index % 2 == 0 { 1 } else { -1 };
            node.set_clock(direction * self.clock_offset_seconds)?;
            names.push(node.name.clone());
        }
        tokio::time::sleep(self.duration).await;
        for (_, node) in system.nodes().enumerate().filter(|(index, _)| self.targets.contains(index)) {
            node.lock().await.set_clock(0)?;
        }
        Ok(names)
    }

    /// As when the machine dies while the last line is written.
    async fn tear_journal(&self, system: &System) -> anyhow::Result<Vec<String>> {
        for &index in &self.targets {
            system.agents[index].lock().await.kill()?;
            let journal = system.data_dir(index).join("journal.log");
            // It may be lost with its directory.
            if let Ok(mut journal) = fs::File::options().append(true).open(journal) {
                // On a disk that is full at the time, even less of the line is written.
                drop(journal.write_all(b"1a2b3c4d {\"started\":{\"ta"));
            }
        }
        tokio::time::sleep(self.duration).await;
        for &index in &self.targets {
            system.agents[index].lock().await.run()?;
        }
        Ok(self.desktops())
    }

    async fn fill_disk(&self, system: &System) -> anyhow::Result<Vec<String>> {
        for &index in &self.targets {
            let mut filler = fs::File::create(system.data_dir(index).join("filler"))?;
            while filler.write_all(&[0; 4_096]).is_ok() {}
        }
        tokio::time::sleep(self.duration).await;
        for &index in &self.targets {
            drop(fs::remove_file(system.data_dir(index).join("filler")));
        }
        Ok(self.desktops())
    }

    async fn crash(&self, system: &System) -> anyhow::Result<Vec<String>> {
        let Some(postgres) = &system.postgres else { return Ok(Vec::new()) };
        // Held all the time: two crashes at once are one.
        let mut postgres = postgres.lock().await;
        postgres.crash()?;
        tokio::time::sleep(self.duration).await;
        postgres.restart()?;
        if self.kind == Kind::PostgresOutage {
            // Two long outages in a row are a longer one than results are waited for.
            tokio::time::sleep(OUTAGE_GAP).await;
        }
        Ok(vec!["Postgres".to_owned()])
    }

    async fn break_links(&self, system: &System, state: State) -> Vec<String> {
        for &index in &self.targets {
            system.links[index].set(state);
        }
        tokio::time::sleep(self.duration).await;
        for &index in &self.targets {
            system.links[index].set(State::Open);
        }
        self.targets.iter().map(|&index| system.links[index].name.clone()).collect()
    }

    fn desktops(&self) -> Vec<String> {
        self.targets.iter().map(|&index| desktop_id(index)).collect()
    }
}

/// Asks a node to stop, and waits for its end.
async fn terminate(node: &mut Node) -> anyhow::Result<()> {
    node.terminate()?;
    let begun = Instant::now();
    while !node.has_ended()? {
        if begun.elapsed() > TERMINATION_TIMEOUT {
            bail!("{} has not ended {TERMINATION_TIMEOUT:?} after SIGTERM", node.name);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
