//! Circles that are still there. The list can only shrink: a circle that is not listed fails the check, and so does an
//! entry whose circle is gone.

use super::circles::Circle;

/// A crate as the check names it, and the modules of a circle in it.
type Known = (&'static str, &'static [&'static str]);

// All are in the code of the rollout engine.
pub(super) const CIRCLES: &[Known] = &[];

/// Compares the circles that were found, each with its crate, with the list.
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
                "the circle of {} in {} is gone: delete it from xtask/src/layers/modules/known.rs",
                entry.1.join(", "),
                entry.0
            ));
        }
    }
    faults
}
