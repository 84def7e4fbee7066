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
    drill::{Done, Drill, Kind},
    follower::Follower,
    pair::Pair,
    probe::Probe,
    report::{Asked, Report},
};
use crate::{
    chaos::{
        check,
        faults::Faults,
        load::Load,
        rng,
        system::{Directory, System},
    },
    say,
};

/// Under load, before each failover and after the last one.
const QUIET: Duration = Duration::from_secs(8);

/// Fails the database over a number of times and checks the invariants. Returns an error if one is
/// violated.
pub async fn run(failovers: u32, seed: u64, agents: u32, asynchronous: bool) -> anyhow::Result<()> {
    let directory = Directory::new("failover")?;
    let tried = try_out(Arc::clone(&directory), Asked { failovers, seed, agents }, !asynchronous).await;
    tried.map_err(|error| {
        directory.keep();
        error.context(format!("what happened is in {}", directory.path().display()))
    })
}

async fn try_out(directory: Arc<Directory>, asked: Asked, synchronous: bool) -> anyhow::Result<()> {
    say("starting etcd and two nodes of Postgres under Patroni");
    let pair = Pair::start(Arc::clone(&directory), synchronous).await?;
    let follower = Follower::start(pair.addresses()).await?;
    say("starting two APIs, two schedulers, three workers and the agents");
    let system = Arc::new(System::start_on(directory, follower.url(), asked.agents).await?);
    let goes_on = Arc::new(AtomicBool::new(true));
    let ask = |flag: &Arc<AtomicBool>| {
        let flag = Arc::clone(flag);
        move || flag.load(Ordering::Relaxed)
    };
    let load = Load::start(Arc::clone(&system), rng(asked.seed, 1), ask(&goes_on));
    let probe = Probe::start(Arc::clone(&system), ask(&goes_on));
    let mut drill = Drill { pair, follower, system, probe, primary: 0 };
    let done = fail_over_all(&mut drill, asked).await?;
    goes_on.store(false, Ordering::Relaxed);
    say("no more failovers: what was accepted may end");
    let Drill { pair: _pair, follower: _follower, system, probe, .. } = drill;
    let seen = probe.finish().await?;
    let mut accepted = load.finish().await?;
    accepted.extend(seen.accepted.iter().cloned());
    // No agent is killed here, so nothing explains an UNKNOWN.
    let found = check::all(&system, &accepted, &Faults::default()).await?;
    let compared = durability_check::compare(&system.database_url, &system, &accepted).await?;
    let starts = downtime::starts(&system.database_url).await?;
    let report = Report::new(asked, &done, &seen, &starts, &accepted, compared, found);
    report.publish()?;
    if report.is_good() { Ok(()) } else { anyhow::bail!("an invariant is violated, or nothing was tried") }
}

async fn fail_over_all(drill: &mut Drill, asked: Asked) -> anyhow::Result<Vec<Done>> {
    let mut rng = rng(asked.seed, 2);
    let mut done = Vec::new();
    for number in 1..=asked.failovers {
        tokio::time::sleep(QUIET).await;
        let kind = [Kind::Crash, Kind::Loss, Kind::Switchover][(number as usize - 1) % 3];
        let primary = &drill.pair.members[drill.primary].address.name;
        say(&format!("failover {number} of {}: {kind:?} of {primary}", asked.failovers));
        let one = drill.fail_over(kind, &mut rng).await?;
        let took = (one.span.to - one.span.from).num_seconds();
        say(&format!(
            "{} is primary, {} its standby, and the system goes on after {took} s",
            one.to, one.from
        ));
        done.push(one);
    }
    tokio::time::sleep(QUIET).await;
    Ok(done)
}
