//! Commands of the project: `cargo xtask <command>`.

mod bench;
mod chaos;
mod cluster;
mod compat;
mod compose;
mod console;
mod database;
mod debian;
mod demo;
mod dependencies;
mod dist;
mod failover;
mod fuzz;
mod guides;
mod helm;
mod images;
mod install;
mod kubernetes;
mod layers;
mod node;
mod npm;
mod observability;
mod oidc;
mod openapi;
mod packages;
mod process;
mod proto;
mod python;
mod sim;
mod sources;
mod style;
mod test;
mod windows;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

/// Commands of the project
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything that CI runs: format, lints, layers, manifests, queries, the demo, the SDKs,
    /// all tests
    Test,
    /// Start a dev cluster of 20 desktops, run a successful rollout and one that the gray gate
    /// halts
    Demo {
        /// Keep the cluster running afterwards, until Ctrl-C
        #[arg(long)]
        keep: bool,
    },
    /// Measure the whole system in scenarios, each against a yardstick in the same run; writes
    /// target/bench/report.json
    ///
    /// `cargo xtask bench -- --help` lists the scenarios and their options.
    Bench {
        /// Scenarios and options, such as `throughput --desktops 5000`; every scenario if none is
        /// named
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Kill, stop and disconnect parts of a running cluster, and check that no result is lost and
    /// no script runs twice; writes target/chaos/report.json
    Chaos {
        /// Duration of fault injection in minutes
        #[arg(long, default_value_t = 3.0)]
        minutes: f64,
        /// Seed of the faults and their times
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Fail a Postgres under Patroni over to its synchronous standby, under load, and check that no
    /// acknowledged result is lost; writes target/failover/report.json
    Failover {
        /// Number of failovers, alternating between a killed primary, a lost machine and a planned
        /// switchover
        #[arg(long, default_value_t = 3)]
        failovers: u32,
        /// Seed of the times, of the downtime of the old primary, and of the submitted tasks
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Upgrade a cluster of old programs to today's and back, role by role, with rollouts between
    ///
    /// Without a tag of a release, only the recorded frames are checked.
    Compat {
        /// Directory of old programs, or a revision to build [default: the last tag]
        #[arg(long, value_name = "DIR|REV")]
        old: Option<String>,
        /// Directory of new programs [default: those of this working tree]
        #[arg(long, value_name = "DIR")]
        new: Option<String>,
    },
    /// Feed mutated inputs to each decoder of untrusted bytes: REST, gRPC, signatures,
    /// certificates, journal and runner files
    Fuzz {
        /// Minutes for each target
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
        /// Only targets whose names begin with this text, such as `rest`
        #[arg(long, default_value = "")]
        target: String,
        /// Only the input of this seed, as a finding names it
        #[arg(long, requires = "target")]
        seed: Option<u64>,
    },
    /// Simulate seeded rollouts in which processes die, messages are lost and people intervene, and
    /// check the invariants in each
    ///
    /// A seed determines a whole run, so `--seed` repeats a run that broke an invariant. Add its
    /// seed to crates/sim/seeds.txt with a note on the defect: the tests of crate `sim` run those
    /// seeds every time.
    Sim {
        /// Number of seeds
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
        /// First seed; choose another one to cover new runs
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Run only this seed and print every event
        #[arg(long, conflicts_with_all = ["seeds", "from"])]
        seed: Option<u64>,
    },
    /// Drive the official SDK through every call, test the OpenAPI document, and call the admin
    /// gRPC through reflection and through a generated client, each on a new dev cluster
    Python,
    /// Run the commands of README.md, docs/first-calls.md and docs/deployment.md as a new user
    /// pastes them
    Guides,
    /// Sign requests with the official SDK for Node.js, with queries in every form that HTTP
    /// libraries send
    Node,
    /// Build the container images of deploy/Dockerfile, on local stand-ins if public base images
    /// cannot be pulled
    Images {
        /// Cargo profile; `dev` builds faster
        #[arg(long, default_value = "release")]
        profile: String,
    },
    /// Check licences, bans and sources of all dependencies against deny.toml, with advisories
    /// where cargo-deny is installed
    Deny,
    /// Write a bill of materials (CycloneDX) of each image, which the images contain as well
    Sbom {
        /// Directory for the files
        #[arg(long, default_value = "target/sbom")]
        output: PathBuf,
    },
    /// Build a release under target/dist: tarballs, .deb, .rpm, bills of materials, provenance and
    /// hashes, the same bytes for the same commit
    Dist {
        /// Cargo profile; `dev` packages the programs that are built already, for tests
        #[arg(long, default_value = "dist")]
        profile: String,
        /// Directory for the files [default: target/dist]
        #[arg(long)]
        output: Option<PathBuf>,
        /// Build the container images too; needs a Docker engine
        #[arg(long)]
        images: bool,
    },
    /// Install, upgrade, remove and purge the packages in fresh Debian systems, with and without
    /// systemd, and unpack the .rpm
    Packages {
        /// Test the programs that are built already, beside this one
        #[arg(long)]
        built: bool,
    },
    /// Start the cluster of docker-compose.yml from nothing, run a successful and a halted rollout,
    /// kill containers during another one, scale, and stop the cluster; installs and starts a
    /// Docker engine if there is no engine
    ComposeTest,
    /// Render deploy/kubernetes and check schemas, policies and network flows; needs no cluster
    Kubernetes,
    /// Compare the objects of deploy/helm/graywave with those of deploy/kubernetes, and check its
    /// values; needs no cluster
    Helm {
        /// Make the templates from deploy/kubernetes
        #[arg(long)]
        write: bool,
    },
    /// Check deploy/observability: rules and their tests, panels, and that every named metric
    /// exists
    Observability {
        /// Regenerate the copy of the rules for Kubernetes
        #[arg(long)]
        write: bool,
    },
    /// Sign in to the web console with npm's identity provider, rightly and wrongly
    Oidc,
    /// Build the web console with pinned packages, compare it with crates/console/dist, and test it
    /// in Chromium: accessibility, measurements, and a cluster
    Console {
        /// Replace the committed files, and run no test in a browser
        #[arg(long)]
        write: bool,
    },
    /// Lint the OpenAPI document with Redocly and Spectral
    Openapi,
    /// Lint the protos with buf
    Proto,
    /// Check that every crate imports only what ARCHITECTURE.md allows, and that modules have no
    /// circular dependencies
    Layers,
    /// Check comments, messages, docs and commit subjects against the rules of CONTRIBUTING.md
    Style,
    /// Build the agent for Windows, run its tests and those of the runner under Wine, and roll
    /// batch files out to desktops of both systems; installs the toolchain where it is missing
    Windows,
    /// Run the tests of crate `store` on the downloaded Postgres 18
    Postgres18,
    /// Regenerate the descriptions of the checked queries in .sqlx, on a private Postgres
    SqlxPrepare {
        /// Change nothing; fail if the committed descriptions are stale
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Test => test::run(),
        Command::Demo { keep } => demo::build_and_run(keep),
        Command::Bench { arguments } => bench::run(&arguments),
        Command::Chaos { minutes, seed } => chaos::run(minutes, seed),
        Command::Compat { old, new } => compat::run(old.as_deref(), new.as_deref()),
        Command::Failover { failovers, seed } => failover::run(failovers, seed),
        Command::Fuzz { minutes, target, seed } => fuzz::run(minutes, &target, seed),
        Command::Sim { seeds, from, seed } => sim::run(seeds, from, seed),
        Command::Python => python::run(),
        Command::Guides => guides::run(),
        Command::Node => node::run(),
        Command::Images { profile } => images::run(&profile),
        Command::Deny => dependencies::deny(),
        Command::Sbom { output } => dependencies::sbom(&output),
        Command::Dist { profile, output, images } => dist::run(&profile, output, images),
        Command::Packages { built } => packages::build_and_run(built),
        Command::ComposeTest => compose::run(),
        Command::Kubernetes => kubernetes::run(),
        Command::Helm { write } => helm::run(write),
        Command::Observability { write } => observability::run(write),
        Command::Console { write } => console::run(write),
        Command::Oidc => oidc::run(),
        Command::Openapi => openapi::run(),
        Command::Proto => proto::run(),
        Command::Layers => layers::check(),
        Command::Style => style::run(),
        Command::Windows => windows::run(),
        Command::Postgres18 => test::on_downloaded_postgres(),
        Command::SqlxPrepare { check } => database::prepare(check),
    }
}

/// Top directory of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Prints progress to the terminal.
#[expect(clippy::print_stderr, reason = "a command's progress")]
fn say(text: &str) {
    eprintln!("{text}");
}
