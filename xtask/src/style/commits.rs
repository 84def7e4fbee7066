//! Subjects of commits: at most 72 characters, as `git log --oneline` and most forges show them.

use std::process::Command;

use super::Fault;
use crate::{process, root};

/// Characters of a subject.
const MAX_CHARS: usize = 72;
/// The file that introduced the rule. Without a tag, the commits after its own are checked.
const RULES: &str = "CONTRIBUTING.md";

/// Subjects that are too long since the last tag. Empty where no history is at hand, such as in an
/// unpacked archive.
pub(super) fn faults() -> anyhow::Result<Vec<Fault>> {
    let Some(since) = first_checked() else { return Ok(Vec::new()) };
    let range = format!("{since}..HEAD");
    let log = process::output(git().args(["log", "--no-merges", "--format=%h %s", &range]))?;
    Ok(log.lines().filter_map(too_long).collect())
}

/// The last tag, or the commit that added the rules.
fn first_checked() -> Option<String> {
    let tag = process::output(git().args(["describe", "--tags", "--abbrev=0"]));
    let added = || {
        process::output(git().args(["log", "--diff-filter=A", "--format=%H", "--max-count=1", "--", RULES]))
            .ok()
    };
    let commit = tag.ok().or_else(added)?;
    Some(commit.trim().to_owned()).filter(|commit| !commit.is_empty())
}

fn git() -> Command {
    let mut git = Command::new("git");
    git.current_dir(root());
    git
}

/// A fault for a line `HASH SUBJECT` whose subject is too long.
pub(super) fn too_long(line: &str) -> Option<Fault> {
    let (commit, subject) = line.split_once(' ')?;
    let chars = subject.chars().count();
    let message = format!("commit {commit}: a subject of {chars} characters, at most {MAX_CHARS}: {subject}");
    (chars > MAX_CHARS).then_some(Fault { line: None, message })
}
