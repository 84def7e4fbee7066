//! Acknowledged results: the acknowledgements in the journals of agents.

use std::{collections::HashMap, fs, path::Path};

use anyhow::Context as _;
use serde::Deserialize;

/// Key of an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Key {
    pub(crate) task: String,
    pub(crate) ordinal: i32,
    pub(crate) attempt: i16,
}

/// Result of a script, as its agent reported it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ScriptResult {
    pub(crate) script: i16,
    pub(crate) outcome: String,
    pub(crate) exit_code: Option<i32>,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Finished {
        key: Key,
        results: Vec<ScriptResult>,
    },
    Acked {
        key: Key,
    },
    #[serde(other)]
    Other,
}

/// The results of one journal that are acknowledged. A line is `crc32 json`; the last one may be
/// half written still.
pub(crate) fn acknowledged(journal: &Path) -> anyhow::Result<HashMap<Key, Vec<ScriptResult>>> {
    if !journal.exists() {
        return Ok(HashMap::new());
    }
    let text = fs::read_to_string(journal)?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut finished = HashMap::new();
    let mut acknowledged = HashMap::new();
    for line in whole.lines() {
        let bad = || format!("{}: {line:?}", journal.display());
        let (_, json) = line.split_once(' ').with_context(bad)?;
        match serde_json::from_str(json).with_context(bad)? {
            Line::Finished { key, results } => drop(finished.insert(key, results)),
            Line::Acked { key } => {
                if let Some(results) = finished.get(&key) {
                    acknowledged.insert(key, Vec::clone(results));
                }
            }
            Line::Other => {}
        }
    }
    Ok(acknowledged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_results_are_read_and_half_a_line_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.log");
        let finished = |ordinal: i32| {
            format!(
                "0a0b0c0d {{\"event\":\"finished\",\"key\":{{\"task\":\"t\",\"ordinal\":{ordinal},\"attempt\":1}},\
                 \"results\":[{{\"script\":0,\"outcome\":\"SUCCESS\",\"exit_code\":0,\"started_at\":1,\"ended_at\":2}}]}}\n"
            )
        };
        let acked =
            "0a0b0c0d {\"event\":\"acked\",\"key\":{\"task\":\"t\",\"ordinal\":3,\"attempt\":1}}\n0a0b";
        fs::write(&path, [finished(3), finished(4), acked.to_owned()].concat()).unwrap();
        let found = acknowledged(&path).unwrap();
        let key = Key { task: "t".into(), ordinal: 3, attempt: 1 };
        assert_eq!(found.keys().collect::<Vec<_>>(), [&key]);
        assert_eq!(found[&key][0].outcome, "SUCCESS");
    }
}
