//! Recorded frames change only by adding lines: each line was on the wire of a release.

use std::{collections::BTreeSet, path::Path, process::Command};

use anyhow::{Context as _, bail};

use crate::{process, root, say};

/// Directory of the recorded frames, from the top of the workspace.
const DIRECTORY: &str = "crates/proto/tests/frames";

/// Checks each released state of the frames against the files of today.
pub(super) fn check() -> anyhow::Result<()> {
    if !root().join(".git").exists() {
        say("== NOT CHECKED: no history, so nothing tells whether recorded frames changed");
        return Ok(());
    }
    let tags = git(&["tag", "--list", "v*"])?;
    for tag in tags.lines() {
        let names = git(&["ls-tree", "--name-only", "-r", tag, "--", DIRECTORY])?;
        for name in names.lines() {
            let then = git(&["show", &format!("{tag}:{name}")])?;
            let now = std::fs::read_to_string(root().join(name)).unwrap_or_default();
            let lost = lost(&then, &now);
            if !lost.is_empty() {
                bail!("{name} lost frames that {tag} released, restore them: {lost:?}");
            }
        }
    }
    Ok(())
}

/// Names of the frames that are missing or changed in `now`.
fn lost<'a>(then: &'a str, now: &str) -> Vec<&'a str> {
    let now: BTreeSet<&str> = now.lines().collect();
    then.lines().filter(|line| !now.contains(line)).filter_map(|line| line.split(' ').next()).collect()
}

fn git(arguments: &[&str]) -> anyhow::Result<String> {
    let directory: &Path = &root();
    process::output(Command::new("git").arg("-C").arg(directory).args(arguments))
        .with_context(|| format!("git {} failed", arguments.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_and_changed_frames_are_lost() {
        let then = "a.Hello 0a01\na.Order 0b02\n";
        assert!(lost(then, then).is_empty());
        assert!(lost(then, "a.Hello 0a01\na.More 01\na.Order 0b02\n").is_empty());
        assert_eq!(lost(then, "a.Hello 0a01\na.Order 0b03\n"), ["a.Order"]);
        assert_eq!(lost(then, ""), ["a.Hello", "a.Order"]);
    }
}
