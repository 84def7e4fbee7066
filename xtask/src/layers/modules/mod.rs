//! Circles of modules: sibling modules of a crate must not depend on each other in a circle, at any
//! level of its tree.

mod circles;
mod known;
mod references;
mod tree;

use std::path::Path;

use self::{circles::Circle, tree::Tree};
use super::metadata::Metadata;

/// Lists every circle of modules in the libraries and binaries of the workspace.
pub(super) fn faults(metadata: &Metadata) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for package in &metadata.packages {
        for target in package.targets.iter().filter(|target| is_checked(&target.kind)) {
            let name = format!("{} ({})", package.name, target.name);
            let is_library = target.kind.iter().any(|kind| kind == "lib");
            let name = if is_library { package.name.clone() } else { name };
            for mut circle in in_crate(&target.src_path)? {
                circle.make_relative_to(&crate::root());
                found.push((name.clone(), circle));
            }
        }
    }
    Ok(known::faults(&found, known::CIRCLES))
}

fn is_checked(kind: &[String]) -> bool {
    kind.iter().any(|kind| kind == "lib" || kind == "bin")
}

/// Finds the circles of the crate with this root file.
fn in_crate(root: &Path) -> anyhow::Result<Vec<Circle>> {
    Ok(circles::find(&Tree::read(root)?))
}

#[cfg(test)]
mod tests;
