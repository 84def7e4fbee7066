//! The project's own commands: `cargo xtask <command>`.

mod bench;
mod chaos;
mod cluster;
mod compose;
mod database;
mod demo;
mod failover;
mod images;
mod install;
mod kubernetes;
mod layers;
mod node;
mod observability;
mod process;
mod proto;
mod python;
mod sim;
mod style;
mod test;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that CI runs: format, lints, layers, manifests, queries, the demo, the official SDK, all tests
    Test,
    /// Start a dev cluster of 20 desktops, run a good rollout and one that the gray gate halts
    Demo {
        /// Leave the cluster up afterwards, until Ctrl-C
        #[arg(long)]
        keep: bool,
    },
    /// Measure the whole system against the raw database in the same run; writes target/bench/report.json
    Bench {
        /// Desktops, each a simulated agent on the real protocol
        #[arg(long, default_value_t = 20_000)]
        desktops: u32,
        /// Tries of POST to first start
        #[arg(long, default_value_t = 200)]
        tries: u32,
    },
    /// Kill, stop and cut off the parts of a running cluster, and check that nothing was lost and nothing ran twice;
    /// writes target/chaos/report.json
    Chaos {
        /// How long faults are injected
        #[arg(long, default_value_t = 3.0)]
        minutes: f64,
        /// Decides which faults come when
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Let a Postgres under Patroni fail over to its synchronous standby, under load, and check that no acknowledged result was
    /// lost; writes target/failover/report.json
    Failover {
        /// How often; by turns the primary is killed, its machine is lost without a word, and roles are switched as planned
        #[arg(long, default_value_t = 3)]
        failovers: u32,
        /// Decides when, how long the old primary stays away, and what is submitted
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Tell seeded stories of whole rollouts in which processes die, messages are lost and people interfere, and look after
    /// the promises in each
    ///
    /// A seed decides everything, so a story that breaks a promise is told again with `--seed`. What breaks one belongs
    /// into crates/sim/seeds.txt with a word on what it found: the tests of crate sim tell those again for ever.
    Sim {
        /// Stories
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
        /// The first seed; take another one for stories that nobody has told yet
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Only this seed, with every event on standard output
        #[arg(long, conflicts_with_all = ["seeds", "from"])]
        seed: Option<u64>,
    },
    /// Drive the official SDK through every call, try the OpenAPI document, and the admin gRPC through reflection alone and
    /// through a generated client, on dev clusters of their own
    Python,
    /// Sign calls with the official SDK for Node.js, send their queries in every form that HTTP libraries use
    Node,
    /// Build the container images of deploy/Dockerfile; where public base images cannot be pulled, on local stand-ins of them
    Images {
        /// Cargo's profile: `dev` builds faster, for a try
        #[arg(long, default_value = "release")]
        profile: String,
    },
    /// Bring the cluster of docker-compose.yml up from nothing, run a good and a halted rollout on it, kill and restart containers
    /// in the middle of others, scale it, and take it down; installs and starts a Docker engine where there is none
    ComposeTest,
    /// Render deploy/kubernetes and check it: official schemas, our own policies, who may talk to whom; needs no cluster
    Kubernetes,
    /// Check deploy/observability: rules with their tests, that each panel can be read, that every metric they name is told
    Observability {
        /// Make the copy of the rules for Kubernetes anew
        #[arg(long)]
        write: bool,
    },
    /// Hold the protos to buf's rules
    Proto,
    /// Check that every crate imports only what ARCHITECTURE.md allows it, and that no modules depend on each other in a circle
    Layers,
    /// Check comments, messages, docs and commit subjects against the rules of CONTRIBUTING.md
    Style,
    /// Describe the checked queries anew in .sqlx, on a private Postgres
    SqlxPrepare {
        /// Change nothing; fail when the committed descriptions are not current
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Test => test::run(),
        Command::Demo { keep } => demo::build_and_run(keep),
        Command::Bench { desktops, tries } => bench::run(desktops, tries),
        Command::Chaos { minutes, seed } => chaos::run(minutes, seed),
        Command::Failover { failovers, seed } => failover::run(failovers, seed),
        Command::Sim { seeds, from, seed } => sim::run(seeds, from, seed),
        Command::Python => python::run(),
        Command::Node => node::run(),
        Command::Images { profile } => images::run(&profile),
        Command::ComposeTest => compose::run(),
        Command::Kubernetes => kubernetes::run(),
        Command::Observability { write } => observability::run(write),
        Command::Proto => proto::run(),
        Command::Layers => layers::check(),
        Command::Style => style::run(),
        Command::SqlxPrepare { check } => database::prepare(check),
    }
}

/// The workspace's top directory.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Tells the person at the terminal what happens.
#[expect(clippy::print_stderr, reason = "a command's progress")]
fn say(text: &str) {
    eprintln!("{text}");
}
