//! `graywave`: one binary, one role for each subcommand.

mod access;
mod ca;
mod certificates;
mod commands;
mod config;
mod dev;
mod health;
mod healthcheck;
mod http;
mod output;
mod roles;
mod signals;
mod table;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = commands::Arguments::parse();
    // Two threads at least: the span exporter blocks one of them when it shuts down.
    let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(arguments)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint(&format!("graywave: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the program's last word, for the person at the terminal")]
fn eprint(text: &str) {
    eprintln!("{text}");
}
