//! The oracle: real starts and ends of scripts. Each script writes a line when it starts and a line
//! when it ends.

use std::{collections::HashMap, fs, path::Path};

use anyhow::Context as _;

/// A script of a task on a desktop.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) desktop_id: String,
    pub(crate) task_id: String,
    pub(crate) attempt: i16,
}

/// Lines of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    /// Number of starts. More than one violates an invariant.
    pub(crate) starts: u32,
    /// Exit codes that it ended with.
    pub(crate) ends: Vec<i32>,
}

/// All runs of all desktops.
pub(crate) fn read(marks: &Path) -> anyhow::Result<HashMap<Run, Marks>> {
    let mut runs: HashMap<Run, Marks> = HashMap::new();
    for entry in fs::read_dir(marks)? {
        let entry = entry?;
        let desktop_id = entry.file_name().to_string_lossy().into_owned();
        for line in fs::read_to_string(entry.path())?.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let bad = || format!("{desktop_id}: {line:?} is no mark");
            let (&[what, task_id, attempt], code) = words.split_first_chunk::<3>().with_context(bad)?;
            let run = Run {
                desktop_id: desktop_id.clone(),
                task_id: task_id.to_owned(),
                attempt: attempt.parse().with_context(bad)?,
            };
            let marks = runs.entry(run).or_default();
            match (what, code) {
                ("S", []) => marks.starts += 1,
                ("E", [code]) => marks.ends.push(code.parse().with_context(bad)?),
                _ => anyhow::bail!(bad()),
            }
        }
    }
    Ok(runs)
}
