//! All steps of CI, ordered so that faults are found early.

use std::time::Instant;

use anyhow::Context as _;

use crate::{
    chaos, compose, database, demo, dependencies, install, kubernetes, layers, node, observability, openapi,
    process, proto, python, say, style,
};

/// Minutes of the chaos step: each kind of fault occurs at least once, most of them several times.
const CHAOS_MINUTES: f64 = 2.5;
const CHAOS_SEED: u64 = 1;

/// Runs all steps; the summary of the tests comes last.
pub(crate) fn run() -> anyhow::Result<()> {
    install::postgres()?;
    install::python()?;
    install::node()?;
    step("format", || process::run(&mut process::cargo(&["fmt", "--all", "--check"])))?;
    step("layers", layers::check)?;
    step("style", style::run)?;
    step("dependencies", dependencies::deny)?;
    step("protos", proto::run)?;
    step("openapi", openapi::run)?;
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

/// Prints the name of a step and its duration.
fn step(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    say(&format!("== {name}"));
    let begun = Instant::now();
    work().with_context(|| format!("step {name:?} of cargo xtask test failed"))?;
    say(&format!("== {name}: passed, {:.1} s", begun.elapsed().as_secs_f32()));
    Ok(())
}

/// Runs the tests with nextest if installed, which prints the name and duration of each test;
/// otherwise with cargo.
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
        .inspect_err(|_| say(&format!("== end of the Postgres log:\n{}", scratch.log_tail())))
}
