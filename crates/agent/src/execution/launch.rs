//! Start of a runner.

use std::{io, process::Stdio, sync::PoisonError, time::Duration};

use tokio::process::Command;

use super::{
    prepare::{DESKTOP_ID, Prepared, SCRIPT_FILES},
    program::RunnerProgram,
    supervised::Supervised,
};
use crate::platform::{control_pair, detach};

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
#[cfg(test)]
#[cfg(unix)]
#[path = "launch_unix_tests.rs"]
mod unix_tests;

/// Starts the runner of a prepared script. The error is the reason why it could not start. Blocks;
/// call it in a runtime.
pub(crate) fn launch(prepared: Prepared, program: &RunnerProgram) -> Result<Supervised, String> {
    let failed = |error: io::Error| {
        let program = program.program.display();
        format!("starting the runner {program} failed: {error}")
    };
    let Prepared { run_dir, mut work_dir, spec } = prepared;
    let start = || {
        let (control, passed) = control_pair()?;
        let mut command = Command::new(&program.program);
        command
            .args(&program.arguments)
            .arg(run_dir.path())
            // The runner outlives the agent, so it must not keep the agent's files open, and needs
            // none of its variables but those by which a runner is found.
            .env_clear()
            .env(runner::MARK, &spec.id)
            .envs(program.mount_namespace.iter().map(|path| (runner::MOUNT_NAMESPACE, path)))
            .envs(spec.env.iter().filter(|(name, _)| name == DESKTOP_ID).map(|(name, value)| (name, value)))
            .stdin(passed)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        detach(&mut command);
        let _no_open_script_file = SCRIPT_FILES.write().unwrap_or_else(PoisonError::into_inner);
        let process = command.spawn()?;
        Ok((control, process))
    };
    let (control, process) = start().map_err(failed)?;
    work_dir.set_in_use(true);
    let timeout = Duration::from_millis(spec.timeout_ms);
    Ok(Supervised {
        id: spec.id,
        run_dir,
        work_dir: Some(work_dir),
        timeout,
        control: Some(control),
        process: Some(process),
    })
}
