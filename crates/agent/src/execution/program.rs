//! The runner's executable.

use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

/// Program that acts as the runner, with its arguments before the run directory.
#[derive(Debug, Clone)]
pub struct RunnerProgram {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Mount namespace of scripts; `None` for that of the agent.
    pub(crate) mount_namespace: Option<PathBuf>,
}

impl RunnerProgram {
    /// `graywave-runner` beside this executable, or this executable itself, which must handle
    /// [`runner::RUNNER_ARGUMENT`] before it does anything else.
    ///
    /// # Errors
    ///
    /// If the path of this executable is unknown.
    pub fn find() -> io::Result<Self> {
        let this = env::current_exe()?;
        let beside = this.with_file_name("graywave-runner").with_extension(env::consts::EXE_EXTENSION);
        Ok(if beside.is_file() {
            Self { program: beside, arguments: Vec::new(), mount_namespace: None }
        } else {
            Self::contained(&this)
        })
    }

    /// A program that contains the runner.
    pub fn contained(program: &Path) -> Self {
        let arguments = vec![runner::RUNNER_ARGUMENT.into()];
        Self { program: program.to_owned(), arguments, mount_namespace: None }
    }

    /// The same program, whose scripts run in a mount namespace, such as `/proc/1/ns/mnt`.
    #[must_use]
    pub fn in_mount_namespace(self, mount_namespace: Option<PathBuf>) -> Self {
        Self { mount_namespace, ..self }
    }

    /// The agent's binary that is built together with the unit tests.
    #[cfg(test)]
    pub(crate) fn of_tests() -> Self {
        let test = env::current_exe().unwrap();
        let agent = test
            .ancestors()
            .nth(2)
            .unwrap()
            .join("graywave-agent")
            .with_extension(env::consts::EXE_EXTENSION);
        assert!(agent.is_file(), "build the agent first: {}", agent.display());
        Self::contained(&agent)
    }
}
