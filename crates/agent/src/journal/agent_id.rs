//! Agent id, created once and stored with the journal.

use std::{fs, io, path::Path};

use crate::{
    Error,
    data_dir::{replace, restore_own_file},
};

/// Distinguishes this agent from another one that claims the same desktop. It is not a secret and
/// proves nothing.
///
/// The id stands for the journal: a script that may have started is sent again only to the same id,
/// because its journal knows the start. So an agent whose journal is damaged gets a new id. The id
/// is durable on return.
pub(crate) fn load_or_make(data_dir: &Path, journal_is_whole: bool) -> Result<String, Error> {
    let path = data_dir.join("agent-id");
    read_or_make(&path, journal_is_whole).map_err(|source| Error::DataDir { path, source })
}

fn read_or_make(path: &Path, journal_is_whole: bool) -> io::Result<String> {
    restore_own_file(path)?;
    match fs::read(path) {
        Ok(_) if !journal_is_whole => {
            tracing::warn!("journal lost or damaged; creating a new agent id");
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
        let load = |dir: &tempfile::TempDir| load_or_make(dir.path(), true).unwrap();
        let id = load(&one);
        assert!(is_id(&id));
        assert_eq!(load(&one), id);
        assert_ne!(load(&other), id);
        fs::write(one.path().join("agent-id"), "torn").unwrap();
        let renewed = load(&one);
        assert!(is_id(&renewed) && renewed != id);
    }
}
