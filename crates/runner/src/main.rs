//! The program `graywave-runner`.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    runner::main(env::args_os().skip(1))
}
