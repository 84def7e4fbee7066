//! Identity of the agent: an id, stored with the journal, and the number of starts.

use std::{fs, io, path::Path};

use crate::{
    Error,
    data_dir::{replace, restore_own_file},
};

/// Identity that one start of the agent presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Distinguishes this agent from another one that claims the same desktop. It is not a secret
    /// and proves nothing.
    ///
    /// The id stands for the journal: a script that may have started is sent again only to the same
    /// id, because its journal knows the start.
    pub(crate) agent_id: String,
    /// Number of starts in this data directory, from 1. A lower or repeated number shows the
    /// control plane that the directory is a copy or was restored.
    pub(crate) incarnation: u64,
}

/// Counts this start and returns its identity, which is durable on return. An agent whose journal,
/// id or number of starts is lost or damaged gets a new id.
pub(crate) fn load_or_make(data_dir: &Path, journal_is_whole: bool) -> Result<Identity, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::DataDir { path, source }
    };
    let counter = data_dir.join("incarnation");
    let last = read_counter(&counter).map_err(failed(&counter))?;
    let path = data_dir.join("agent-id");
    let is_known = journal_is_whole && last.is_some();
    let agent_id = read_or_make(&path, is_known).map_err(failed(&path))?;
    // The id is durable first. After a crash in between, an old id with a new number would be
    // wrong, and a new id with an old number is not.
    let incarnation = last.unwrap_or_default().saturating_add(1);
    replace(&counter, format!("{incarnation}\n").as_bytes()).map_err(failed(&counter))?;
    Ok(Identity { agent_id, incarnation })
}

/// Replaces the id, because another start used it after this data directory was copied.
pub(crate) fn renew(data_dir: &Path) -> io::Result<String> {
    make(&data_dir.join("agent-id"))
}

/// Reads the number of the last start; `None` if it is missing or damaged.
fn read_counter(path: &Path) -> io::Result<Option<u64>> {
    restore_own_file(path)?;
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim_end().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_or_make(path: &Path, is_known: bool) -> io::Result<String> {
    restore_own_file(path)?;
    match fs::read(path) {
        Ok(_) if !is_known => {
            tracing::warn!("journal or number of starts lost or damaged; creating a new agent id");
        }
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let id = text.trim_end();
            if is_id(id) {
                return Ok(id.to_owned());
            }
            // The file is truncated or was overwritten by a script.
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    make(path)
}

fn make(path: &Path) -> io::Result<String> {
    let id = format!("{:032x}", rand::random::<u128>());
    replace(path, format!("{id}\n").as_bytes())?;
    Ok(id)
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_anew_only_where_it_is_no_id() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let load = |dir: &tempfile::TempDir| load_or_make(dir.path(), true).unwrap().agent_id;
        let id = load(&one);
        assert!(is_id(&id));
        assert_eq!(load(&one), id);
        assert_ne!(load(&other), id);
        fs::write(one.path().join("agent-id"), "torn").unwrap();
        let renewed = load(&one);
        assert!(is_id(&renewed) && renewed != id);
    }

    #[test]
    fn each_start_is_counted_and_a_lost_count_costs_the_id() {
        let dir = tempfile::tempdir().unwrap();
        let load = || load_or_make(dir.path(), true).unwrap();
        let (first, second) = (load(), load());
        assert_eq!((first.incarnation, second.incarnation), (1, 2));
        assert_eq!(first.agent_id, second.agent_id);
        for damage in ["", "x", "-1"] {
            let before = load().agent_id;
            fs::write(dir.path().join("incarnation"), damage).unwrap();
            let after = load();
            assert!(after.incarnation == 1 && after.agent_id != before, "{damage:?}");
        }
    }

    #[test]
    fn renewed_id_stays() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_make(dir.path(), true).unwrap();
        let renewed = renew(dir.path()).unwrap();
        let second = load_or_make(dir.path(), true).unwrap();
        assert_ne!(first.agent_id, renewed);
        assert_eq!((second.agent_id, second.incarnation), (renewed, 2));
    }
}
