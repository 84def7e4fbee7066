//! `cargo xtask compose-test`: starts the cluster of docker-compose.yml from nothing and runs
//! rollouts while containers are killed,
//! hang, or miss their database.

mod cluster;
mod scenario;

use crate::{
    images::{self, engine::Engine},
    process, say,
};
use cluster::Cluster;

/// Public images of docker-compose.yml.
const PUBLIC_IMAGES: [&str; 3] = ["postgres:15-bookworm", "haproxy:2.6-bookworm", "prom/prometheus:v2.42.0"];

/// Makes the images, starts the cluster, runs the test and always stops the cluster.
pub(crate) fn run() -> anyhow::Result<()> {
    run_on(&Engine::at_hand()?)
}

/// Runs the test if an engine is available, and otherwise prints the skipped parts.
pub(crate) fn run_if_possible() -> anyhow::Result<()> {
    match Engine::at_hand() {
        Ok(engine) => run_on(&engine),
        Err(error) => {
            say("==");
            say(
                "== NOT TESTED: the images and docker-compose.yml. No Docker engine runs here, and none can be installed:",
            );
            say(&format!("== {error:#}"));
            say("==");
            Ok(())
        }
    }
}

fn run_on(engine: &Engine) -> anyhow::Result<()> {
    images::provide(engine, &PUBLIC_IMAGES)?;
    process::build()?;
    images::prebuilt::build(engine)?;
    let cluster = Cluster::new(engine)?;
    let outcome = scenario::run(&cluster);
    if outcome.is_err() {
        cluster.show_logs();
    }
    let down = cluster.down();
    outcome.and(down)?;
    say("-- passed: no result was lost, no script ran twice, and the cluster is removed");
    Ok(())
}
