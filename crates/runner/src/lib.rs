//! Owns one execution on a desktop.
//!
//! The agent writes a [`Spec`] into a run directory and starts this program. The runner starts the
//! script, enforces the timeout, keeps a bounded part of the output, and writes an [`Ended`] file
//! durably. It needs neither the agent nor the network.
//!
//! Crash protocol, by the files of [`RunDir`]: the runner holds the lock for life, creates the
//! claim once and syncs it, starts the script, and syncs the result before the rename into place.
//! So a free lock without a claim proves that the script never started, and a claim without a
//! result proves that the runner was killed or the machine stopped.

mod connections;
mod ended;
mod event;
mod files;
mod live_output;
mod output;
mod platform;
mod run_dir;
mod spec;
mod supervise;
mod text;

use std::{env, ffi::OsString, path::Path, process::ExitCode};

pub use ended::{Containment, End, Ended, LeftProcess, MAX_LEFT_PROCESSES};
pub(crate) use event::Event;
pub use files::{Claim, Files};
pub use live_output::{OutputReply, OutputRequest};
pub(crate) use output::Output;
pub use platform::{boot_id, contain_processes, kill_processes, running_ids};
pub use run_dir::{RunDir, RunState};
pub use spec::{SessionUser, Spec, UnixUser, User};

/// Environment variable that marks every process of one execution; its value is the id of the run.
pub const MARK: &str = "GRAYWAVE_EXECUTION";

/// Environment variable of a runner with the mount namespace of its script, as a file such as
/// `/proc/1/ns/mnt`. A confined agent sets it, because its script sees the whole machine.
pub const MOUNT_NAMESPACE: &str = "GRAYWAVE_RUNNER_MOUNT_NAMESPACE";

/// First argument with which a program that contains the runner acts as the runner.
pub const RUNNER_ARGUMENT: &str = "__runner";

/// Message to the agent: the result is in place.
pub const ENDED: u8 = b'e';
/// Message to the runner: stop the script by request.
pub const STOP: u8 = b's';
/// Message to the runner: end the script, because the agent ends its scripts.
pub const END: u8 = b'q';

/// Acts as the runner if the first argument of this process is [`RUNNER_ARGUMENT`]; `None`
/// otherwise. Call it before anything else in a program that contains the runner.
pub fn main_if_asked() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    (arguments.next()? == RUNNER_ARGUMENT).then(|| main(arguments))
}

/// Runs the execution in the run directory that the arguments name; the exit code is 0 once its
/// result is written.
///
/// A failure is also in the file `error` of the run directory: the runner has no output of its own,
/// since it outlives the terminal that started the agent.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = platform::run_as(&arguments) {
        return code;
    }
    let [run_dir] = arguments.as_slice() else { return ExitCode::from(2) };
    let run_dir = Path::new(run_dir);
    if supervise::run(run_dir).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
