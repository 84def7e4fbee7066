//! The files of the workspace. `.gitignore` decides, so that an unpacked archive has the same files
//! as a clone.

use ignore::WalkBuilder;

use crate::root;

/// Paths of all files that `accepts`, relative to the workspace and sorted.
pub(crate) fn files(accepts: impl Fn(&str) -> bool) -> anyhow::Result<Vec<String>> {
    let mut paths = Vec::new();
    let is_git = |name: &std::ffi::OsStr| name == ".git";
    let walk = WalkBuilder::new(root())
        .hidden(false)
        .require_git(false)
        .filter_entry(move |entry| !is_git(entry.file_name()))
        .build();
    for entry in walk {
        let entry = entry?;
        let path = entry.path().strip_prefix(root())?.to_string_lossy().into_owned();
        if entry.file_type().is_some_and(|kind| kind.is_file()) && accepts(&path) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_those_under_version_control() {
        let manifests = files(|path| path.ends_with("Cargo.toml")).unwrap();
        assert!(manifests.contains(&"xtask/Cargo.toml".to_owned()), "{manifests:?}");
        assert!(files(|path| path.starts_with("target/") || path.starts_with(".git/")).unwrap().is_empty());
    }
}
