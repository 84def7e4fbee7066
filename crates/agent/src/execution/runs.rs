//! Run directories of the data directory: one for each started script, until its result is
//! acknowledged.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{self, Path, PathBuf},
};

use prost::Message as _;
use proto::{agent::Order, order_signing::sha256};
use runner::RunDir;

use crate::{
    data_dir::{RUNS_DIR, restore_private_dir},
    journal::Key,
    platform::{create_private_subdirectory, make_usable},
};

/// File in a run directory: the order of the script, for an agent that starts in mid-run.
const ORDER_FILE: &str = "order";

/// Maximum length of a run's id, which is part of file names.
const MAX_ID_BYTES: usize = 128;

/// Creates and finds run directories.
#[derive(Debug, Clone)]
pub(crate) struct Runs {
    data_dir: PathBuf,
}

impl Runs {
    pub(crate) fn new(data_dir: &Path) -> Self {
        // The runner's working directory differs from the agent's.
        Self { data_dir: path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned()) }
    }

    /// Id of a run, which names its directories and marks its processes.
    ///
    /// # Errors
    ///
    /// The reason for the rejection: the key is no file name.
    pub(crate) fn id(key: &Key, script: u32) -> Result<String, String> {
        let id = format!("{}-{}-{script}-{}", key.task, key.ordinal, key.attempt);
        let is_name = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if is_name && id.len() <= MAX_ID_BYTES {
            Ok(id)
        } else {
            Err("the order is malformed: its task id is not a UUID".to_owned())
        }
    }

    /// Names a run directory; nothing is created.
    pub(crate) fn dir(&self, id: &str) -> RunDir {
        // A script may have taken the permissions.
        make_usable(&self.data_dir);
        make_usable(&self.data_dir.join(RUNS_DIR));
        RunDir::new(self.data_dir.join(RUNS_DIR).join(id))
    }

    /// Creates a run directory with the encoded order of its script. Blocks.
    pub(crate) fn create(&self, id: &str, order: &[u8]) -> io::Result<RunDir> {
        let dir = self.dir(id);
        let create = || create_private_subdirectory(dir.path());
        if let Err(error) = create() {
            if error.kind() == ErrorKind::AlreadyExists && dir.path().is_dir() {
                self.set_aside_if_void(id, error)?;
                return self.create(id, order);
            }
            // The first run, or a script has put something in the way.
            restore_private_dir(&self.data_dir.join(RUNS_DIR))?;
            create()?;
        }
        fs::write(dir.file(ORDER_FILE), [&sha256(order)[..], order].concat())?;
        Ok(dir)
    }

    /// Order of a run; `None` if it is lost or damaged. A part of an order could decode too, and
    /// run as another user.
    pub(crate) fn order(dir: &RunDir) -> Option<Order> {
        let bytes = fs::read(dir.file(ORDER_FILE)).ok()?;
        let (hash, order) = bytes.split_first_chunk::<32>()?;
        (sha256(order) == *hash).then(|| Order::decode(order).ok())?
    }

    /// Renames a run directory, so that its run may get another one. Returns the new name, which is
    /// the id of no run.
    pub(crate) fn set_aside(&self, id: &str) -> io::Result<String> {
        let aside = format!("{id}.void-{:016x}", rand::random::<u64>());
        fs::rename(self.dir(id).path(), self.dir(&aside).path())?;
        Ok(aside)
    }

    /// Renames the directory of a void run: the agent stopped while it took back the start. Any
    /// other directory stays, and `in_the_way` is returned.
    fn set_aside_if_void(&self, id: &str, in_the_way: io::Error) -> io::Result<()> {
        let dir = self.dir(id);
        if !dir.is_void() {
            return Err(in_the_way);
        }
        self.set_aside(id).map(drop)
    }

    /// Whether a runner holds the lock of a run.
    pub(crate) fn is_locked(&self, id: &str) -> bool {
        matches!(self.dir(id).try_lock(), Ok(None))
    }

    /// Ids of all run directories.
    pub(crate) fn list(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data_dir.join(RUNS_DIR)).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_order_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::new(dir.path());
        let order = Order { run_as_user: "ada".into(), wave: 3, ..Order::default() };
        let run = runs.create("x", &order.encode_to_vec()).unwrap();
        assert_eq!(Runs::order(&run), Some(order));
        let whole = fs::read(run.file(ORDER_FILE)).unwrap();
        // Each of them would decode without the hash: as an order without its user.
        for damaged in [&whole[..whole.len() - 5], &[], &whole[..32]] {
            fs::write(run.file(ORDER_FILE), damaged).unwrap();
            assert_eq!(Runs::order(&run), None, "{}", damaged.len());
        }
    }

    #[test]
    fn directory_set_aside_gives_its_run_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::new(dir.path());
        let first = runs.create("x", b"first").unwrap();
        fs::write(first.file("spec.json"), "").unwrap();
        assert!(runs.create("x", b"").is_err(), "a runner may start it");
        let aside = runs.set_aside("x").unwrap();
        runs.create("x", b"second").unwrap();
        assert!(runs.dir(&aside).file(ORDER_FILE).exists());
        // The second run has no specification: it is void, and in no one's way.
        let third = runs.create("x", b"third").unwrap();
        assert!(fs::read(third.file(ORDER_FILE)).unwrap().ends_with(b"third"));
    }
}
