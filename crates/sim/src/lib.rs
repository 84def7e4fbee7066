//! Tools for tests and measurements: a seeded simulator of whole rollouts, faults on real
//! processes, and a fleet of simulated agents on the real protocol.

pub mod chaos;
pub mod failover;
pub mod fleet;
pub mod memory;
pub mod rollout;
mod row_values;
mod statements;

use std::process::ExitCode;

/// Prints the error, if there is one, without a backtrace, and returns the exit code.
#[expect(clippy::print_stderr, reason = "a command's error")]
pub fn exit(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints progress for the person at the terminal.
#[expect(clippy::print_stderr, reason = "a command's progress")]
fn say(text: &str) {
    eprintln!("== {text}");
}
