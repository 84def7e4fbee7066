//! Faults on real processes: a whole cluster under load, killed, stopped and cut off piece by
//! piece, and at its end the invariants checked against files that the scripts themselves write.
//!
//! [`crate::failover`] puts the same cluster, load and checks on a database that fails over.

pub(crate) mod approver;
pub(crate) mod check;
mod clock;
pub(crate) mod faults;
mod identity;
mod liar;
mod lie;
pub(crate) mod link;
pub(crate) mod load;
mod names;
pub(crate) mod node;
pub(crate) mod oracle;
mod report;
pub(crate) mod rest;
mod runners;
pub(crate) mod system;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use self::{
    approver::Approver,
    faults::Faults,
    load::Load,
    report::{Parameters, Report},
    system::System,
};
use crate::say;

/// Injects faults for a number of minutes and checks the invariants. Returns an error if one is
/// violated.
pub async fn run(minutes: f64, seed: u64, agents: u32) -> anyhow::Result<()> {
    say("starting Postgres, two APIs, two schedulers, three workers and the agents");
    let system = Arc::new(System::start(agents, rng(seed, 3)).await?);
    let begun = Instant::now();
    let until = begun + Duration::from_secs_f64(minutes * 60.0);
    let _approver = Approver::start(Arc::clone(&system));
    let load = Load::start(Arc::clone(&system), rng(seed, 1), move || Instant::now() < until);
    let faults = Faults::inject(Arc::clone(&system), rng(seed, 2), begun, until).await?;
    say("no more faults: everything is put right, and what was accepted may end");
    system.heal().await?;
    let accepted = load.finish().await?;
    let findings = check::check_all(&system, &accepted, &faults).await?;
    let parameters = Parameters { seed, minutes, agents };
    let report = Report::new(parameters, &accepted, faults, system.count_lies(), findings);
    report.publish()?;
    if report.is_good() {
        Ok(())
    } else {
        anyhow::bail!("an invariant is violated: {}", system.logs().display())
    }
}

/// Random numbers of one part of a run. Parts share no draws.
pub(crate) fn rng(seed: u64, part: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(part);
    generator
}
