//! Directory of one execution, and the state that its files prove.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use crate::{Claim, Ended, Files, Spec, platform};

#[cfg(test)]
#[path = "run_dir_tests.rs"]
mod tests;

/// Maximum size of a result's JSON line.
const MAX_HEADER_BYTES: u64 = 8 << 10;

/// Directory of one execution.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

/// State of an execution, proved by its run directory.
#[derive(Debug)]
pub enum RunState {
    /// A runner holds the lock.
    Running,
    /// The script has not started. This lock keeps every runner from starting it, and after
    /// [`RunDir::void`] none ever does.
    NeverStarted(File),
    /// The result is in place.
    Ended(Ended),
    /// The runner was killed, or the machine stopped, while the script may have run. The claim is
    /// `None` if it is unreadable, as after a power loss.
    Interrupted(Option<Claim>),
}

impl RunDir {
    /// Names a run directory; nothing is read.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file in the directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes the specification, before the runner starts.
    ///
    /// # Errors
    ///
    /// If the file exists or cannot be written.
    pub fn write_spec(&self, spec: &Spec) -> io::Result<()> {
        let json = serde_json::to_vec(spec)?;
        File::create_new(self.file(Files::SPEC))?.write_all(&json)
    }

    /// Reads the specification.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read_spec(&self) -> io::Result<Spec> {
        Ok(serde_json::from_slice(&fs::read(self.file(Files::SPEC))?)?)
    }

    /// Takes the lock; `None` if another process holds it.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened or locked.
    pub fn try_lock(&self) -> io::Result<Option<File>> {
        let file = File::options().create(true).truncate(false).write(true).open(self.file(Files::LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Creates the claim and syncs the directory; fails if there is one. Call it under the lock.
    pub(crate) fn claim(&self, claim: &Claim) -> io::Result<()> {
        let json = serde_json::to_vec(claim)?;
        let mut file = File::create_new(self.file(Files::CLAIM))?;
        file.write_all(&json)?;
        // The existence of the file is the claim, so only its name must survive a power loss.
        platform::sync_new_file(&file, &self.path)
    }

    /// Writes a result, syncs it, and renames it into place.
    pub(crate) fn write_result(&self, ended: &Ended) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(ended)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(ended.output.as_bytes());
        let new = self.file(Files::NEW_RESULT);
        // Not truncated first: the file may hold space that was reserved on a disk that is full
        // now.
        let mut file = File::options().create(true).truncate(false).write(true).open(&new)?;
        file.write_all(&bytes)?;
        file.set_len(bytes.len() as u64)?;
        file.sync_data()?;
        fs::rename(&new, self.file(Files::RESULT))
    }

    /// Reads the result; `None` without one, or if it is not readable.
    pub fn result(&self) -> Option<Ended> {
        let text = fs::read(self.file(Files::RESULT)).ok()?;
        let line = text.iter().position(|byte| *byte == b'\n')?;
        let (header, output) = text.split_at_checked(line)?;
        let ended: Ended = serde_json::from_slice(header).ok()?;
        let output = String::from_utf8_lossy(output.get(1..)?).into_owned();
        Some(Ended { output, ..ended })
    }

    /// Cause of a runner's failure; `None` if it wrote none.
    pub fn error(&self) -> Option<String> {
        fs::read_to_string(self.file(Files::ERROR)).ok()
    }

    /// State that the files prove.
    ///
    /// # Errors
    ///
    /// If the directory or its lock cannot be read. A missing directory is an error of kind
    /// `NotFound`.
    pub fn state(&self) -> io::Result<RunState> {
        // A result may be in place while the runner still drains the output of a daemon.
        if let Some(ended) = self.result() {
            return Ok(RunState::Ended(ended));
        }
        let Some(lock) = self.try_lock()? else { return Ok(RunState::Running) };
        // Read again under the lock: the runner may have ended in between.
        if let Some(ended) = self.result() {
            return Ok(RunState::Ended(ended));
        }
        Ok(match self.read_claim()? {
            Some(json) => RunState::Interrupted(serde_json::from_slice(&json).ok()),
            None => RunState::NeverStarted(lock),
        })
    }

    /// Keeps a late runner from ever starting the script of a run that never started. Takes the
    /// lock of [`RunState::NeverStarted`].
    ///
    /// # Errors
    ///
    /// If the specification cannot be removed.
    pub fn void(&self, lock: File) -> io::Result<()> {
        let removed = match fs::remove_file(self.file(Files::SPEC)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        drop(lock);
        removed
    }

    /// Whether the run is void: its script certainly never started, and never will.
    pub fn is_void(&self) -> bool {
        matches!(self.state(), Ok(RunState::NeverStarted(_))) && !self.file(Files::SPEC).exists()
    }

    /// Claim; `None` without one, or if it is unreadable.
    pub fn claim_of_runner(&self) -> Option<Claim> {
        serde_json::from_slice(&self.read_claim().ok()??).ok()
    }

    fn read_claim(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.file(Files::CLAIM)) {
            Ok(json) => Ok(Some(json)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reserves space for the largest result: a script may fill the disk. Best effort.
    pub(crate) fn reserve_result(&self, output_bytes: usize) {
        let bytes = MAX_HEADER_BYTES + 3 * output_bytes as u64;
        if let Ok(file) = File::create_new(self.file(Files::NEW_RESULT)) {
            platform::reserve(&file, bytes);
        }
    }
}
