//! Everything that CI runs, in the order in which a fault is found soonest.

use std::time::Instant;

use anyhow::Context as _;

use crate::{
    chaos, compose, database, demo, install, kubernetes, layers, node, observability, process, proto, python,
    say, style,
};

/// Long enough for each kind of fault at least once, and most of them several times.
const CHAOS_MINUTES: f64 = 2.5;
const CHAOS_SEED: u64 = 1;

/// Runs all of it; the tests' own summary comes last.
pub(crate) fn run() -> anyhow::Result<()> {
    install::postgres()?;
    install::python()?;
    install::node()?;
    step("format", || process::run(&mut process::cargo(&["fmt", "--all", "--check"])))?;
    step("layers", layers::check)?;
    step("style", style::run)?;
    step("protos", proto::run)?;
    step("kubernetes", kubernetes::run)?;
    step("observability", || observability::run(false))?;
    let scratch = database::Scratch::start()?;
    step("queries", || database::describe(&scratch, true))?;
    step("lints", || {
        let lints = ["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        process::run(&mut process::cargo(&lints))
    })?;
    step("build", process::build)?;
    step("demo", || demo::run(false))?;
    step("python", python::run)?;
    step("node", node::run)?;
    step("compose", compose::run_if_possible)?;
    step("chaos", || chaos::run(CHAOS_MINUTES, CHAOS_SEED))?;
    step("tests", || tests(&scratch))
}

/// Says what runs and how long it took.
fn step(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    say(&format!("== {name}"));
    let begun = Instant::now();
    work().with_context(|| format!("step {name:?} of cargo xtask test failed"))?;
    say(&format!("== {name}: good, {:.1} s", begun.elapsed().as_secs_f32()));
    Ok(())
}

/// With nextest where it is there: it says which test runs and for how long. Without it, cargo's own runner.
fn tests(scratch: &database::Scratch) -> anyhow::Result<()> {
    let has_nextest = process::output(&mut process::cargo(&["nextest", "--version"])).is_ok();
    let arguments: &[&str] = if has_nextest {
        &["nextest", "run", "--workspace", "--locked"]
    } else {
        &["test", "--workspace", "--locked", "--", "--test-threads", "4"]
    };
    let mut command = process::cargo(arguments);
    command.env("GRAYWAVE_TEST_POSTGRES", scratch.url()).env("INSTA_UPDATE", "no");
    process::run(&mut command)
        .inspect_err(|_| say(&format!("== the end of the log of Postgres:\n{}", scratch.log_tail())))
}
