//! Which agent this is: an id that is made once and kept with the journal.

use std::{fs, io, path::Path};

use crate::Error;

/// Tells this agent from another one that says it is the same desktop. It is no secret, and proves nothing.
pub(crate) fn load_or_make(data_dir: &Path) -> Result<String, Error> {
    let path = data_dir.join("agent-id");
    let failed = |source| Error::DataDir { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(id) if is_id(id.trim_end()) => return Ok(id.trim_end().to_owned()),
        // Nothing, or half of one: nobody was told it.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let id = format!("{:032x}", rand::random::<u128>());
    let new = data_dir.join("agent-id.new");
    fs::write(&new, format!("{id}\n")).and_then(|()| fs::rename(&new, &path)).map_err(failed)?;
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
        let id = load_or_make(one.path()).unwrap();
        assert!(is_id(&id));
        assert_eq!(load_or_make(one.path()).unwrap(), id);
        assert_ne!(load_or_make(other.path()).unwrap(), id);
        fs::write(one.path().join("agent-id"), "torn").unwrap();
        let anew = load_or_make(one.path()).unwrap();
        assert!(is_id(&anew) && anew != id);
    }
}
