//! `cargo xtask compose-test`: the cluster of docker-compose.yml, from nothing to a good and a halted rollout, with containers
//! that are killed meanwhile.

mod cluster;
mod story;

use crate::{
    images::{self, engine::Engine},
    process, say,
};
use cluster::Cluster;

/// What docker-compose.yml needs beside our own images.
const PUBLIC_IMAGES: [&str; 3] = ["postgres:15-bookworm", "haproxy:2.6-bookworm", "prom/prometheus:v2.42.0"];
/// Builds the images, brings the cluster up, and takes it down again whatever happened.
pub(crate) fn run() -> anyhow::Result<()> {
    on(&Engine::at_hand()?)
}

/// The same where an engine can be had; says loudly what is left out where none can.
pub(crate) fn run_if_possible() -> anyhow::Result<()> {
    match Engine::at_hand() {
        Ok(engine) => on(&engine),
        Err(error) => {
            say("==");
            say(
                "== NOT TESTED: the images and docker-compose.yml. There is no Docker engine here, and none can be had:",
            );
            say(&format!("== {error:#}"));
            say("==");
            Ok(())
        }
    }
}

fn on(engine: &Engine) -> anyhow::Result<()> {
    images::provide(engine, &PUBLIC_IMAGES)?;
    process::build()?;
    images::prebuilt::build(engine)?;
    let cluster = Cluster::new(engine)?;
    let told = story::tell(&cluster);
    if told.is_err() {
        cluster.show_logs();
    }
    let down = cluster.down();
    told.and(down)?;
    say("-- as it should be: nothing was lost and nothing ran twice, and all of it is gone again");
    Ok(())
}
