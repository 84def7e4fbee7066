//! All steps of CI, ordered so that faults are found early.

use std::{path::PathBuf, time::Instant};

use anyhow::Context as _;

use crate::{
    chaos, compat, compose, console, database, demo, dependencies, guides, helm, install, kubernetes, layers,
    node, observability, oidc, openapi, packages, process, proto, python, say, style, windows,
};

/// Minutes of the chaos step: each kind of fault occurs at least once, most of them several times.
const CHAOS_MINUTES: f64 = 2.5;
const CHAOS_SEED: u64 = 1;

/// Runs all steps; the summary of the tests comes last.
pub(crate) fn run() -> anyhow::Result<()> {
    install::postgres()?;
    install::python()?;
    install::node()?;
    install::installation()?;
    step("format", || process::run(&mut process::cargo(&["fmt", "--all", "--check"])))?;
    step("layers", layers::check)?;
    step("style", style::run)?;
    step("dependencies", dependencies::deny)?;
    step("protos", proto::run)?;
    step("compatibility", compat::frames)?;
    step("openapi", openapi::run)?;
    step("kubernetes", kubernetes::run)?;
    step("helm", || helm::run(false))?;
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
    step("oidc", oidc::run)?;
    step("console", || console::run(false))?;
    step("guides", guides::run)?;
    step("compose", compose::run_if_possible)?;
    step("packages", packages::run_if_possible)?;
    step("windows", windows::run_if_possible)?;
    step("chaos", || chaos::run(CHAOS_MINUTES, CHAOS_SEED))?;
    step("postgres 18", on_downloaded_postgres)?;
    step("tests", || tests(&scratch, None, None))
}

/// Prints the name of a step and its duration.
fn step(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    say(&format!("== {name}"));
    let begun = Instant::now();
    work().with_context(|| format!("step {name:?} of cargo xtask test failed"))?;
    say(&format!("== {name}: passed, {:.1} s", begun.elapsed().as_secs_f32()));
    Ok(())
}

/// Runs the tests of crate `store` on the Postgres that a machine without an installed one gets.
pub(crate) fn on_downloaded_postgres() -> anyhow::Result<()> {
    match pgcluster::download_binaries(&mut |line| say(&format!("-- {line}"))) {
        Ok(binaries) => {
            let variable = (pgcluster::BINARIES_VARIABLE, binaries.directory.clone());
            tests(&database::Scratch::start_with(binaries)?, Some("graywave-store"), Some(variable))
        }
        Err(error @ pgcluster::Error::Download { .. }) => {
            say(&format!("==\n== NOT TESTED: crate store on Postgres 18: {error}\n=="));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Runs the tests of one package or of all, and prints the end of the server's log if one fails.
fn tests(
    scratch: &database::Scratch,
    package: Option<&str>,
    variable: Option<(&str, PathBuf)>,
) -> anyhow::Result<()> {
    let has_nextest = process::output(&mut process::cargo(&["nextest", "--version"])).is_ok();
    let arguments: &[&str] = match (has_nextest, package) {
        // All test binaries are built: other features of shared dependencies would rebuild them.
        (true, Some(package)) => {
            &["nextest", "run", "--workspace", "--locked", "-E", &format!("package({package})")]
        }
        (true, None) => &["nextest", "run", "--workspace", "--locked"],
        (false, Some(package)) => &["test", "--package", package, "--locked"],
        (false, None) => &["test", "--workspace", "--locked", "--", "--test-threads", "4"],
    };
    let mut command = process::cargo(arguments);
    command.env("GRAYWAVE_TEST_POSTGRES", scratch.url()).env("INSTA_UPDATE", "no").envs(variable);
    process::run(&mut command)
        .inspect_err(|_| say(&format!("== end of the Postgres log:\n{}", scratch.log_tail())))
}
