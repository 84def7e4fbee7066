//! Failovers of the database: a Postgres with a synchronous standby, kept available by Patroni,
//! loses its primary under load, and nothing that was acknowledged is lost with it.
//!
//! The cluster, its load and the checks at the end are those of [`crate::chaos`].

mod address;
mod downtime;
mod drill;
mod durability_check;
mod etcd;
mod follower;
mod journals;
mod member;
mod pair;
mod postgres;
mod probe;
mod report;
mod rest;
mod settings;
mod unprivileged_user;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use self::{
    drill::{Drill, Failover, Kind},
    follower::Follower,
    pair::Pair,
    probe::Probe,
    report::{Parameters, Report},
};
use crate::{
    chaos::{
        approver::Approver,
        check,
        faults::Faults,
        load::Load,
        rng,
        system::{Directory, System},
    },
    say,
};

/// Time under load without a failover, before each failover and after the last one.
const QUIET_PERIOD: Duration = Duration::from_secs(8);

/// Fails the database over a number of times and checks the invariants. Returns an error if one is
/// violated.
pub async fn run(failovers: u32, seed: u64, agents: u32, asynchronous: bool) -> anyhow::Result<()> {
    let directory = Directory::new("failover")?;
    let outcome =
        run_drill(Arc::clone(&directory), Parameters { failovers, seed, agents }, !asynchronous).await;
    outcome.map_err(|error| {
        directory.keep();
        error.context(format!("the logs are in {}", directory.path().display()))
    })
}

async fn run_drill(
    directory: Arc<Directory>,
    parameters: Parameters,
    synchronous: bool,
) -> anyhow::Result<()> {
    say("starting etcd and two nodes of Postgres under Patroni");
    let pair = Pair::start(Arc::clone(&directory), synchronous).await?;
    let follower = Follower::start(pair.addresses()).await?;
    say("starting two APIs, two schedulers, three workers and the agents");
    let system = Arc::new(System::start_on(directory, follower.url(), parameters.agents).await?);
    let _approver = Approver::start(Arc::clone(&system));
    let is_running = Arc::new(AtomicBool::new(true));
    let reader_of = |flag: &Arc<AtomicBool>| {
        let flag = Arc::clone(flag);
        move || flag.load(Ordering::Relaxed)
    };
    let load = Load::start(Arc::clone(&system), rng(parameters.seed, 1), reader_of(&is_running));
    let probe = Probe::start(Arc::clone(&system), reader_of(&is_running));
    let mut drill = Drill { pair, follower, system, probe, primary: 0 };
    let failovers = fail_over_all(&mut drill, parameters).await?;
    is_running.store(false, Ordering::Relaxed);
    say("no more failovers: what was accepted may end");
    let Drill { pair: _pair, follower: _follower, system, probe, .. } = drill;
    let log = probe.finish().await?;
    let mut accepted = load.finish().await?;
    accepted.extend(log.accepted.iter().cloned());
    // No agent is killed here, so nothing explains an UNKNOWN.
    let findings = check::check_all(&system, &accepted, &Faults::default()).await?;
    let comparison = durability_check::compare(&system.database_url, &system, &accepted).await?;
    let starts = downtime::starts(&system.database_url).await?;
    let report = Report::new(parameters, &failovers, &log, &starts, &accepted, comparison, findings);
    report.publish()?;
    if report.is_good() { Ok(()) } else { anyhow::bail!("an invariant is violated, or nothing was tried") }
}

async fn fail_over_all(drill: &mut Drill, parameters: Parameters) -> anyhow::Result<Vec<Failover>> {
    let mut rng = rng(parameters.seed, 2);
    let mut failovers = Vec::new();
    for number in 1..=parameters.failovers {
        tokio::time::sleep(QUIET_PERIOD).await;
        let kind = [Kind::Crash, Kind::Loss, Kind::Switchover][(number as usize - 1) % 3];
        let primary = &drill.pair.members[drill.primary].address.name;
        say(&format!("failover {number} of {}: {kind:?} of {primary}", parameters.failovers));
        let one = drill.fail_over(kind, &mut rng).await?;
        let took = (one.span.to - one.span.from).num_seconds();
        say(&format!(
            "{} is primary, {} its standby, and the system goes on after {took} s",
            one.to, one.from
        ));
        failovers.push(one);
    }
    tokio::time::sleep(QUIET_PERIOD).await;
    Ok(failovers)
}
