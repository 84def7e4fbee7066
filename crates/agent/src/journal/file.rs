//! Journal file: one line per event, `crc32 json`, appended, and compacted when it has grown.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use proto::ScriptOutcome;

use super::{
    agent_id::{self, Identity},
    event::{Event, Key, Record, Span},
    state::JournalState,
};
use crate::{
    Error,
    data_dir::{DirLock, replace, restore_own_file},
};

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;

/// Size in bytes above which the file is compacted.
const COMPACT_BYTES: u64 = 8 << 20;

/// Opened data directory.
#[derive(Debug)]
pub(crate) struct DataDir {
    pub(crate) lock: DirLock,
    /// Identity that belongs to the journal.
    pub(crate) identity: Identity,
    pub(crate) journal: Journal,
}

/// Creates missing entries, locks the directory against a second agent, and opens the journal.
pub(crate) fn open_data_dir(dir: &Path) -> Result<DataDir, Error> {
    let lock = DirLock::acquire(dir)?;
    let failed = |source| Error::DataDir { path: dir.join("journal.log"), source };
    let content = read(dir).map_err(failed)?;
    // The new id must be durable before the new journal. After a crash between the two, the old id
    // would otherwise stand for an empty journal.
    let identity = agent_id::load_or_make(dir, content.is_whole)?;
    let journal = Journal::open(dir, content.events).map_err(failed)?;
    Ok(DataDir { lock, identity, journal })
}

/// Journal file and the state that it describes.
#[derive(Debug)]
pub(crate) struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    /// `None` after a failed compaction.
    file: Option<File>,
    len: u64,
    compact_at: u64,
    book: JournalState,
    /// Whether the file lacks events of the state, or ends in a partial line: it must be rewritten
    /// before the next append.
    behind: bool,
}

impl Journal {
    /// Applies the events of the file, and compacts it. Call it under the lock of the directory.
    fn open(dir: &Path, events: Vec<Event>) -> io::Result<Self> {
        let mut book = JournalState::default();
        for event in events {
            book.apply(event);
        }
        let (file, len) = rewrite(dir, &book)?;
        let compact_at = COMPACT_BYTES.max(len.saturating_mul(2));
        let inner = Inner { dir: dir.to_owned(), file: Some(file), len, compact_at, book, behind: false };
        Ok(Self { inner: Mutex::new(inner) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes to disk that a script is about to start. After an error the script must not start.
    pub(crate) fn start(&self, key: Key, script: u32, span: Span, at: i64) -> io::Result<()> {
        let mut inner = self.inner();
        let event = Event::Started { key, script, script_count: span.count, first_script: span.first, at };
        inner.append(&event, true)?;
        inner.book.apply(event);
        Ok(())
    }

    /// Records an event. A finish is synced unless run directories prove it until it is
    /// acknowledged. If the write fails, the event is kept in memory: the
    /// worker still receives the result, and the next successful write includes it. Meanwhile the
    /// `started` event on disk prevents a second start.
    pub(crate) fn record(&self, event: Event) {
        let mut inner = self.inner();
        let sync = match &event {
            // The desktop is about to go down.
            Event::Paused { .. } | Event::Finished { action: Some(_), .. } => true,
            Event::Finished { results, .. } => !are_proved_by_runs(results),
            _ => false,
        };
        if let Err(error) = inner.append(&event, sync) {
            tracing::error!(%error, "writing the journal failed; the event is kept in memory");
        }
        inner.book.apply(event);
    }

    /// Reads the state.
    pub(crate) fn book<T>(&self, ask: impl FnOnce(&JournalState) -> T) -> T {
        ask(&self.inner().book)
    }

    /// Makes the next write fail like a full disk.
    #[cfg(test)]
    pub(crate) fn fill_disk(&self) {
        self.inner().file = Some(crate::platform::full_disk());
    }
}

impl Inner {
    fn append(&mut self, event: &Event, sync: bool) -> io::Result<()> {
        if self.behind || self.len > self.compact_at {
            self.compact()?;
        }
        let line = encode(event)?;
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let written = file.write_all(&line).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        match &written {
            Ok(()) => self.len += line.len() as u64,
            // After a failed write or sync, the content of the file is unknown.
            Err(_) => self.behind = true,
        }
        written
    }

    fn compact(&mut self) -> io::Result<()> {
        self.behind = true;
        // Windows does not replace a file that is open.
        self.file = None;
        let (file, len) = rewrite(&self.dir, &self.book)?;
        (self.file, self.len) = (Some(file), len);
        self.compact_at = COMPACT_BYTES.max(self.len.saturating_mul(2));
        self.behind = false;
        Ok(())
    }
}

/// Whether an agent that lost the finish would come to the same results: from the run directories
/// of the scripts that ran, and because a script after a failure is skipped. Stops and rejections
/// are recorded nowhere else.
fn are_proved_by_runs(results: &[Record]) -> bool {
    let has_run = |result: &&Record| result.run.is_some();
    let is_derived =
        |result: &Record| matches!(result.outcome, ScriptOutcome::Success | ScriptOutcome::Skipped);
    results.iter().any(|result| has_run(&result))
        && results.iter().all(|result| has_run(&result) || is_derived(result))
}

/// Writes the state to a new file and replaces the journal atomically.
fn rewrite(dir: &Path, book: &JournalState) -> io::Result<(File, u64)> {
    let mut bytes = encode(&Event::Opened)?;
    for event in book.events() {
        bytes.append(&mut encode(&event)?);
    }
    let file = replace(&dir.join("journal.log"), &bytes)?;
    Ok((file, bytes.len() as u64))
}

/// Content of a journal file.
#[derive(Debug, Default)]
struct Content {
    /// Events of every readable line. Each line stands alone: a line after damage is as valid as
    /// one before it, and a forgotten start would let its script start again.
    events: Vec<Event>,
    /// Whether no start can be missing. Scripts can remove, replace and truncate the file. A
    /// damaged line may have been a start, so damage counts as a loss although the remaining lines
    /// are used.
    is_whole: bool,
}

/// Reads the file. Only entries that block it are moved aside.
fn read(dir: &Path) -> io::Result<Content> {
    let path = dir.join("journal.log");
    restore_own_file(&path)?;
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
        Err(error) => return Err(error),
    };
    let lines: Vec<Option<Event>> = bytes.split_inclusive(|byte| *byte == b'\n').map(decode).collect();
    // A partial last line was being written when the machine stopped, so no script was started for
    // it.
    let readable_end = lines.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let damaged_lines = lines.iter().take(readable_end).filter(|line| line.is_none()).count();
    if damaged_lines > 0 {
        let damaged = dir.join("journal.damaged");
        replace(&damaged, &bytes)?;
        tracing::error!(
            copy = %damaged.display(), damaged_lines,
            "journal damaged; using the readable lines"
        );
    }
    // A journal always has its first line, so a file without a readable line is not the original. A
    // damaged complete line at the end is rarely a torn write, which lacks the line end.
    let complete_lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let is_whole = readable_end > 0 && readable_end == complete_lines && damaged_lines == 0;
    Ok(Content { events: lines.into_iter().flatten().collect(), is_whole })
}

fn encode(event: &Event) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(event)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
}

fn decode(line: &[u8]) -> Option<Event> {
    let line = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (crc, json) = line.split_once(' ')?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    if crc32fast::hash(json.as_bytes()) == crc { serde_json::from_str(json).ok() } else { None }
}
