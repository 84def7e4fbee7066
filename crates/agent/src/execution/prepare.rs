//! Preparation of a script: everything that can fail before its start is journaled.

use std::{
    fs::{File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown},
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use proto::{
    limits::{OUTPUT_HEAD_BYTES, OUTPUT_TAIL_BYTES},
    types::Script,
};
use runner::{RunDir, Spec};

use super::{account, environment, interpreter, runs::Runs};
use crate::scratch::{Scratch, WorkDir};

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
    let interpreter = interpreter::of(script, environment::PATH)?;
    let account = account::account(terms.run_as_user.as_deref())?;
    let write = || -> io::Result<Prepared> {
        let owner = account.user.as_ref().map(|user| (user.uid, user.gid));
        let work_dir = scratch.create(&terms.id, owner)?;
        let script_file = work_dir.path().join(interpreter.file_name);
        write_script(&script_file, &script.content, owner)?;
        let run_dir = runs.create(&terms.id, order)?;
        let spec = Spec {
            id: terms.id.clone(),
            program: interpreter.program.clone(),
            args: interpreter.args.clone(),
            script_file,
            work_dir: work_dir.path().to_owned(),
            env: environment::of(&account, terms.env.clone()),
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

/// Writes a file that its owner may execute: a script may run `exec "$0"`.
fn write_script(path: &Path, content: &str, owner: Option<(u32, u32)>) -> io::Result<()> {
    let _no_fork = SCRIPT_FILES.read().unwrap_or_else(PoisonError::into_inner);
    let mut file = File::options().create_new(true).write(true).mode(0o700).open(path)?;
    // Independent of the umask.
    file.set_permissions(Permissions::from_mode(0o700))?;
    file.write_all(content.as_bytes())?;
    match owner {
        Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}
