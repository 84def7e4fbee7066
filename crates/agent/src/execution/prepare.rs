//! Preparation of a script: everything that can fail before its start is journaled.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use proto::{
    limits::{OUTPUT_HEAD_BYTES, OUTPUT_TAIL_BYTES},
    types::Script,
};
use runner::{RunDir, Spec};

use super::{interpreter, runs::Runs};
use crate::{
    platform,
    scratch::{Scratch, WorkDir},
};

/// Prevents a fork while a script's file is open for writing.
///
/// Until a child executes its program, it has a copy of every descriptor, including close-on-exec
/// ones. Executing a file that is open for writing fails: `exec "$0"` would return ETXTBSY. So a
/// writer of a script's file holds this lock for reading, and a spawner holds it for writing.
pub(super) static SCRIPT_FILES: RwLock<()> = RwLock::new(());

/// Variable of scripts and their runners with the desktop that they belong to: several agents may
/// be on one machine.
pub(crate) const DESKTOP_ID: &str = "GRAYWAVE_DESKTOP_ID";

/// What an order says about one execution.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) id: String,
    /// Variables that describe the order.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    /// User of the order, or the configured one; `None` for the agent's own.
    pub(crate) run_as_user: Option<String>,
    /// Configured PowerShell.
    pub(crate) powershell: Option<PathBuf>,
    pub(crate) kill_left_processes: bool,
}

/// Script that can be started: its interpreter exists and its files are written.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) run_dir: RunDir,
    pub(super) work_dir: WorkDir,
    pub(super) spec: Spec,
}

impl Prepared {
    /// Absolute path of the interpreter.
    pub(crate) fn interpreter(&self) -> &str {
        &self.spec.program
    }
}

/// Finds the interpreter and the user, and writes the files of the run, with its encoded order. The
/// error is the reason for the rejection. Blocks.
pub(crate) fn prepare(
    script: &Script,
    order: &[u8],
    terms: Terms,
    scratch: &Arc<Scratch>,
    runs: &Runs,
) -> Result<Prepared, String> {
    let interpreter = interpreter::of(script, terms.powershell.as_deref())?;
    let account = platform::account(terms.run_as_user.as_deref())?;
    let write = || -> io::Result<Prepared> {
        let owner = account.user.as_ref();
        let work_dir = scratch.create(&terms.id, owner)?;
        let files: Vec<_> =
            interpreter.files.iter().map(|(name, content)| (work_dir.path().join(name), content)).collect();
        for (path, content) in &files {
            let _no_fork = SCRIPT_FILES.read().unwrap_or_else(PoisonError::into_inner);
            platform::write_script(path, content, owner)?;
        }
        let script_file = files.into_iter().next().map(|(path, _)| path).unwrap_or_default();
        let run_dir = runs.create(&terms.id, order)?;
        let spec = Spec {
            id: terms.id.clone(),
            program: interpreter.program.path.clone(),
            args: interpreter.program.args.clone(),
            raw_args: interpreter.program.raw_args.clone(),
            script_file,
            work_dir: work_dir.path().to_owned(),
            env: platform::environment(&account, terms.env.clone()),
            timeout_ms: u64::try_from(terms.timeout.as_millis()).unwrap_or(u64::MAX),
            user: account.user.clone(),
            kill_left_processes: terms.kill_left_processes,
            output_head_bytes: OUTPUT_HEAD_BYTES,
            output_tail_bytes: OUTPUT_TAIL_BYTES,
        };
        run_dir.write_spec(&spec)?;
        Ok(Prepared { run_dir, work_dir, spec })
    };
    write().map_err(|error| format!("writing the script's files failed: {error}"))
}
