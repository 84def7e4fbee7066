//! `graywave`: one binary with one subcommand per role.

mod address;
mod admin_listener;
mod argv;
mod ca;
mod commands;
mod completion;
mod config;
mod console_settings;
mod db_commands;
mod dev;
mod error;
mod help;
mod man;
mod oidc_settings;
mod reload;
mod roles;
mod service_manager;
mod signals;
mod suggest;

use std::{io::Write as _, process::ExitCode};

use clap_complete::CompleteEnv;

fn main() -> ExitCode {
    // Local desktops of `dev` start this program as the runner of a script.
    if let Some(code) = runner::main_if_asked() {
        return code;
    }
    // Answers completion requests of a shell, then exits.
    CompleteEnv::with_factory(commands::command).var(completion::ASKED_BY).complete();
    let arguments = commands::parse();
    // At least two threads: the span exporter blocks one of them at shutdown.
    let threads = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(arguments)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(ended) => ended.into(),
        Err(error) => failed(&error),
    }
}

/// Prints the error and returns its exit code.
fn failed(error: &anyhow::Error) -> ExitCode {
    let Some(failure) = error.downcast_ref::<cli::Error>() else {
        eprint(&format!("error: {}", error::text(error)));
        return ExitCode::FAILURE;
    };
    if !failure.is_silent() {
        eprint(&format!("error: {failure}"));
    }
    failure.exit_status.into()
}

/// Prints to standard error. Write errors are ignored, because the exit code still reports the
/// failure.
pub(crate) fn eprint(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
