//! Clocks that can be set for one process: by libfaketime, where it is installed.

use std::{fs, path::PathBuf, process::Command};

/// The clock on the wall of one process. What counts the time since the machine started is left
/// alone, as it is when a machine's clock is set.
pub(crate) struct Clock {
    library: Option<PathBuf>,
    file: PathBuf,
}

/// Whether clocks can be set here.
pub(crate) fn can_be_set() -> bool {
    library().is_some()
}

/// Debian puts it into the directory of the architecture.
fn library() -> Option<PathBuf> {
    let architectures = fs::read_dir("/usr/lib").ok()?.flatten();
    architectures.map(|entry| entry.path().join("faketime/libfaketime.so.1")).find(|path| path.is_file())
}

impl Clock {
    /// The right time, until it is set.
    pub(crate) fn new(file: PathBuf) -> anyhow::Result<Self> {
        let clock = Self { library: library(), file };
        clock.set(0)?;
        Ok(clock)
    }

    /// Shifts the clock by this many seconds, which may be negative. Affects running processes and
    /// later ones.
    pub(crate) fn set(&self, seconds: i64) -> anyhow::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        Ok(fs::rename(&new, &self.file)?)
    }

    /// Makes a process go by it.
    pub(crate) fn apply(&self, command: &mut Command) {
        let Some(library) = &self.library else { return };
        command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &self.file).envs([
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DISABLE_SHM", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ]);
    }
}
