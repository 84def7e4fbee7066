//! `cargo xtask style`: the rules of CONTRIBUTING.md that a program can check.

mod checks;
mod commits;
mod phrases;
mod pieces;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::{root, say, sources};

/// Faults that one run prints at most; the rest is only counted.
const MAX_PRINTED: usize = 100;

/// Files whose text is generated, quoted from elsewhere, or about the rules themselves.
const EXEMPT: [&str; 5] = [
    "docs/cli.md",
    "docs/errors.md",
    "xtask/src/style/",
    "crates/sim/seeds.txt",
    "docs/architecture/moves.md",
];

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    /// Line of the file, from 1; `None` for a commit.
    line: Option<usize>,
    /// The broken rule, and the fix.
    message: String,
}

/// Checks all files and the subjects of new commits. Fails with the number of faults.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for path in checked_files()? {
        let text =
            std::fs::read_to_string(root().join(&path)).with_context(|| format!("cannot read {path}"))?;
        for Fault { line, message } in faults_of(Path::new(&path), &text) {
            let line = line.map_or_else(String::new, |line| format!(":{line}"));
            lines.push(format!("{path}{line}: {message}"));
        }
    }
    lines.extend(commits::faults()?.into_iter().map(|fault| fault.message));
    for line in lines.iter().take(MAX_PRINTED) {
        say(line);
    }
    if !lines.is_empty() {
        bail!("{} faults of style; CONTRIBUTING.md has the rules", lines.len());
    }
    Ok(())
}

/// All faults of one file, in the order of its lines.
fn faults_of(path: &Path, text: &str) -> Vec<Fault> {
    let pieces = pieces::of_file(path, text);
    let mut faults = checks::phrases(&pieces);
    faults.extend(checks::long_lines(path, text));
    faults.extend(checks::one_word_docs(path, &pieces));
    faults.extend(checks::prose_decisions(path, text));
    faults.extend(checks::long_test_names(path, text));
    faults.sort_by_key(|fault| fault.line);
    faults
}

/// Files that this program reads, without those that are exempt.
fn checked_files() -> anyhow::Result<Vec<String>> {
    let is_read = |path: &str| [".rs", ".md", ".proto", ".sql"].iter().any(|end| path.ends_with(end));
    let is_exempt = |path: &str| EXEMPT.iter().any(|exempt| path.starts_with(exempt));
    sources::files(|path| is_read(path) && !is_exempt(path))
}
