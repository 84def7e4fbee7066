//! Known circles. The list may only shrink: an unlisted circle fails the check, and so does an
//! entry whose circle no longer exists.

use super::circles::Circle;

/// Name of a crate and the modules of a circle in it.
type Known = (&'static str, &'static [&'static str]);

pub(super) const CIRCLES: &[Known] = &[];

/// Compares the circles found, each with its crate, with the list.
pub(super) fn faults(found: &[(String, Circle)], known: &[Known]) -> Vec<String> {
    let covers = |(of, modules): &Known, name: &str, circle: &Circle| {
        *of == name && circle.modules.iter().all(|module| modules.contains(&module.as_str()))
    };
    let mut faults: Vec<String> = found
        .iter()
        .filter(|(name, circle)| !known.iter().any(|entry| covers(entry, name, circle)))
        .map(|(name, circle)| format!("circle of modules in {name}: {circle}"))
        .collect();
    for entry in known {
        if !found.iter().any(|(name, circle)| covers(entry, name, circle)) {
            faults.push(format!(
                "the circle of {} in {} no longer exists: delete it from xtask/src/layers/modules/known.rs",
                entry.1.join(", "),
                entry.0
            ));
        }
    }
    faults
}
